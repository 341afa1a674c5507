"""Acting with a memory: what it holds when an observation is met, and when it begins anew."""
