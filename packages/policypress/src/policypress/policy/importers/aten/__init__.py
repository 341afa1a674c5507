"""Operators of an exported torch module as layers."""
