"""The six algorithms with the gradient step in C (TRPO: its critic's): the same learning, several times as fast.

What is the same: every formula, the order in which random numbers are drawn, what is saved and where it lies. What
differs: rounding.
"""
