"""The machine's C compiler and processor, and a cache of compiled modules, for training and inference."""
