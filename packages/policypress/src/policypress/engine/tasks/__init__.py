"""What workers do: each task is a function of plain data."""
