"""Robustness evaluation: the cells of a policy and of its baseline in disturbed environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from policypress.compression.pipeline import CalibrationData
from policypress.compression.recipe import Recipe
from policypress.engine.events import PhaseStarted
from policypress.environments.wrappers.allowed import WrappedFactory
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.masks import offers_masks
from policypress.measurement.agent_in_environment import Factory
from policypress.measurement.statistics import Missing, retention, score_difference
from policypress.search.robustness import Condition, Disturbed, Robustness, conditions
from policypress.search.session import EpisodeRequest, Session
from policypress_runtime.contract import Box, EnvironmentSpec, Space
from policypress_runtime.errors import PolicypressError

EPISODES = 50
PURPOSE = "robustness"


def deviations_of(space: Space, materials: CalibrationData) -> tuple[float, ...] | None:
    """Standard deviation of each dimension on the agent's own episodes, to four digits; None for images."""
    seen = materials.calibration
    if not isinstance(space, Box) or space.dtype == "uint8" or not isinstance(seen, np.ndarray):
        return None
    spread = seen.reshape(len(seen), -1).astype(np.float64).std(axis=0)
    return tuple(float(f"{value:.4g}") for value in spread)


def measure_robustness(
    session: Session,
    recipes: Sequence[Recipe],
    space: Space,
    environment: EnvironmentSpec,
    factory: Factory,
    deviations: tuple[float, ...] | None,
    episodes: int = EPISODES,
) -> Robustness:
    """Play ``recipes`` and the baseline under every condition that the environment can be put under.

    Raises:
        KeyboardInterrupt: what is complete is in the store.
    """
    session.on_event(PhaseStarted("robustness"))
    reference, floor = EpisodeRequest(Recipe(), PURPOSE, episodes), EpisodeRequest(None, PURPOSE, episodes)
    session.play([reference, floor])
    base, random = session.returns(reference), session.returns(floor)
    rows: list[Disturbed] = []
    for condition in conditions(space, deviations):
        reason = _impossible(factory, condition)
        if reason is not None:
            nothing = Missing(reason)
            rows += [Disturbed(condition, r.text, nothing, nothing, nothing, reason) for r in recipes]
            continue
        where = replace(environment, wrappers=(*environment.wrappers, *condition.wrappers))
        plays = [EpisodeRequest(recipe, PURPOSE, episodes, where) for recipe in (Recipe(), *recipes)]
        session.play(plays)
        returns = [session.returns(play) for play in plays]
        rows += [
            Disturbed(
                condition,
                recipe.text,
                retention(base, returns[0], random),
                retention(base, own, random),
                score_difference(base, random, returns[0], own),
            )
            for recipe, own in zip(recipes, returns[1:], strict=True)
        ]
    return Robustness(episodes, tuple(rows))


def _impossible(factory: Factory, condition: Condition) -> str | None:
    """Why the environment cannot be put under ``condition``, if so."""
    try:
        with opened(WrappedFactory(factory, condition.wrappers)) as env:
            late = any(wrapper.name == "ActionDelay" for wrapper in condition.wrappers)
            if late and offers_masks(env):
                return "a delayed action may no longer be allowed"
    except PolicypressError as error:
        return error.message.rstrip(".")
    return None
