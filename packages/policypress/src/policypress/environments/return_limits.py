"""What an episode can return at all, where an environment's rewards are bounded: nothing has to be assumed then."""

from __future__ import annotations

import math

import gymnasium

from policypress_runtime.contract import EnvironmentSpec

Ends = tuple[float | None, float | None]

# The lowest and the highest reward of a step.
_PER_STEP: dict[str, tuple[float, float]] = {
    "CartPole-v0": (0.0, 1.0),
    "CartPole-v1": (0.0, 1.0),
    "InvertedPendulum-v4": (0.0, 1.0),
    "InvertedPendulum-v5": (0.0, 1.0),
    # Of angle and speed, and of a torque within its bounds: π² + 0.1·8² + 0.001·2².
    "Pendulum-v1": (-(math.pi**2 + 0.1 * 8**2 + 0.001 * 2**2), 0.0),
    "MountainCar-v0": (-1.0, 0.0),
    "Acrobot-v1": (-1.0, 0.0),
}
# Rewards that come once, at the end of an episode.
_PER_EPISODE: dict[str, tuple[float, float]] = {
    "FrozenLake-v1": (0.0, 1.0),
    "FrozenLake8x8-v1": (0.0, 1.0),
    "Blackjack-v1": (-1.0, 1.5),
}


def return_limits(spec: EnvironmentSpec | None) -> Ends:
    """The lowest and the highest return of an episode; None where it is not known.

    Known are a few environments of gymnasium as they are registered: arguments and wrappers may change rewards, so
    that nothing is known with them.

    >>> return_limits(EnvironmentSpec("CartPole-v1")), return_limits(EnvironmentSpec("Hopper-v5"))
    ((0.0, 500.0), (None, None))
    """
    if spec is None or spec.kwargs or spec.wrappers:
        return None, None
    if spec.id in _PER_EPISODE:
        return _PER_EPISODE[spec.id]
    steps = _horizon(spec.id)
    if spec.id not in _PER_STEP or steps is None:
        return None, None
    low, high = _PER_STEP[spec.id]
    return low * steps, high * steps


def _horizon(name: str) -> int | None:
    try:
        return gymnasium.spec(name).max_episode_steps
    except gymnasium.error.Error:
        return None
