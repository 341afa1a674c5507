"""LiteRT files from ONNX files."""
