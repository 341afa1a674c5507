"""The vector environments that agents learn in, and their state."""
