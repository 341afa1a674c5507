"""Cells, their keys, and what writes them."""
