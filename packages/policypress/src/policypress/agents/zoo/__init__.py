"""Folders of the RL Zoo."""
