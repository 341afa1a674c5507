"""The only way to create an artifact: written to a temporary file, proven equal, renamed."""
