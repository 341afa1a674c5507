"""TorchScript files, read without executing them: tensors, the inert structure, and the code as text."""
