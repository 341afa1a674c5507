"""The only way an artifact comes into being: written aside, proven equal, renamed."""
