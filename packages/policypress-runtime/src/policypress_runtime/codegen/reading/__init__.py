"""From the operators of an ONNX file to a program."""
