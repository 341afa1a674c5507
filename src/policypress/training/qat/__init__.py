"""Quantization-aware training inside the six algorithms."""
