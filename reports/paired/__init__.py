"""Evaluations of the same images side by side: in pairs, as the page opens with them, and two stores."""
