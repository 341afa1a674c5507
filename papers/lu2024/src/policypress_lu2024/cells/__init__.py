"""The cells of a study as the paper's combinations, and its aggregates."""
