"""Graphs that ``torch.export`` traces, on their way into a policy."""
