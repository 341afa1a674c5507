"""What a search, or recipes that were asked for, gave: for Python and notebooks."""
