"""Making environments, rolling out anything that acts, and sources of observations. No torch."""
