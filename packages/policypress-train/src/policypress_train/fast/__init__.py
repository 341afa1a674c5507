"""The off-policy algorithms with a hand-tuned update: the libraries' learning, in fewer and cheaper operations.

What is the same: every formula, the order in which random numbers are drawn, what is saved. What differs: rounding.
"""
