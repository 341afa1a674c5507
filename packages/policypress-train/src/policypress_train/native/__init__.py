"""The six algorithms with the gradient step in C (TRPO: only its critic's), several times as fast.

Formulas, the order of random numbers and the saved files are the library's. Only rounding differs.
"""
