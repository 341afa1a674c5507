"""From the store to what a person reads. No torch."""
