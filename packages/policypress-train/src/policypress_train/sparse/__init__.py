"""Training towards networks with fewer units or weights."""
