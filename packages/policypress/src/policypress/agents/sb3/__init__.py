"""Zips of Stable-Baselines3 and sb3-contrib, read without either."""
