"""What is read off an ONNX file, whatever it becomes."""
