"""A package of plug-ins that knows only bench.api."""
