"""Agents and artifacts in the words of `policypress inspect`."""
