"""Training agents: the six algorithms of the study on Stable-Baselines3 and sb3-contrib."""
