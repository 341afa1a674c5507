"""Policies with memory: recurrent cells as layers of a policy, and the state that a step takes and gives."""
