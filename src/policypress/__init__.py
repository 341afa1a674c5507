"""Makes trained reinforcement-learning policies small, fast and frugal without losing return."""
