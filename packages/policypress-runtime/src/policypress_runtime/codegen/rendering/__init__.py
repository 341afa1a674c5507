"""From a program to the parts of a C file."""
