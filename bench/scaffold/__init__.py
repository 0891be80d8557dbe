"""New plug-ins: a working file of each kind and its test, written into this repository or into anybody's package."""
