"""Trained agents as plain data, and the readers that get them without executing anything."""
