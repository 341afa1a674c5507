"""Quantization-aware training inside the six algorithms: ``QatConfig`` and ``quantized_policy``."""
