"""Writers of artifacts: ONNX, the source of truth."""
