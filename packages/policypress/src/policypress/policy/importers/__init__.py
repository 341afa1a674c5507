"""Policies from agents, from modules and from ONNX files."""
