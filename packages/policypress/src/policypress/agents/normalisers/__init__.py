"""Statistics that observations are normalised with: where they are and whether they fit."""
