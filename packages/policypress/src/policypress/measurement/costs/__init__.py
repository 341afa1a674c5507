"""Time, memory and energy: one quantity per file."""
