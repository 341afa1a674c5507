"""Acting with an artifact. Needs numpy and onnxruntime only."""
