"""Whether a policy keeps a share of an agent's return, from episodes alone: limits, evidence, certificate."""
