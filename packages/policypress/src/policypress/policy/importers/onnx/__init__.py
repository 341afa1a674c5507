"""Operators of ONNX as layers."""
