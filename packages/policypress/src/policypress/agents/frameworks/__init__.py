"""Checkpoints of other frameworks than Stable-Baselines3: one file per framework, recognised by what they hold."""
