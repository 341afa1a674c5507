"""Recurrent layers among the tensors of a checkpoint."""
