"""What the inputs and outputs of an ONNX file from elsewhere mean, and the weights that stand beside it."""
