"""Cells, executors, and the store of results."""
