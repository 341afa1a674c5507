"""The general report on a study: any agents, any recipes; what is kept, what it costs, and what dominates what."""
