"""Proposes cells to a study until the best recipe is certified."""
