"""A smaller student learns what the policy does."""
