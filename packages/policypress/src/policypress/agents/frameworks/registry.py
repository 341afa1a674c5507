"""The frameworks whose checkpoints are read, one line each; the first that recognises a file reads it."""

from __future__ import annotations

from policypress.agents.frameworks import cleanrl, rl_games, rsl_rl, sample_factory, skrl, torchrl
from policypress.agents.frameworks.found import Framework

FRAMEWORKS: tuple[Framework, ...] = (
    rsl_rl.FRAMEWORK,
    rl_games.FRAMEWORK,
    sample_factory.FRAMEWORK,
    skrl.FRAMEWORK,
    cleanrl.FRAMEWORK,
    torchrl.FRAMEWORK,
)
