"""Wrappers, and what is checked of an environment while it is used."""
