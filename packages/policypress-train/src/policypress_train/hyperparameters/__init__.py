"""Published hyperparameters, what the user states, and what a training is made of them."""
