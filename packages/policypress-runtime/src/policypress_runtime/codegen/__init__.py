"""From an ONNX artifact to dependency-free C."""
