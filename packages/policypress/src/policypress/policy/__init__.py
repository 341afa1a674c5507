"""The policy: one module, raw observation in, environment action out; its layers and their quantization."""
