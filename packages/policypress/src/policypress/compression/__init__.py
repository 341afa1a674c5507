"""Recipes and the methods they name, one file each."""
