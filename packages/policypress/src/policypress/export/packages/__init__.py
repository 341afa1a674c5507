"""Ready folders around a policy's C: one file for each kind."""
