"""The paper's statements, each with its test."""
