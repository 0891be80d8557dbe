"""Plug-ins of bench."""
