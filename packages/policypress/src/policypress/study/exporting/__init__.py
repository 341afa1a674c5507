"""Exporting one artifact in many forms."""
