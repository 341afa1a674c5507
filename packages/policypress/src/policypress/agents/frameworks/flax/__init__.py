"""Parameters of flax (JAX): its files, and the networks in them."""
