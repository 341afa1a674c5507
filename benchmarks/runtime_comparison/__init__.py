"""What ``benchmarks/runtimes.py`` is made of."""
