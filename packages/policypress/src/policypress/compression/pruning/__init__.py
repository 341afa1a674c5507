"""Whole units are removed."""
