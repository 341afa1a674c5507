"""Compression of policies with memory."""
