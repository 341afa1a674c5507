"""The C compiler of this machine, its processor, and a cache of what was built: for what trains and what acts."""
