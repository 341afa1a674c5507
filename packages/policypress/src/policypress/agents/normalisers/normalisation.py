"""How an agent's observations are normalised: what the user states, what ``config.yml`` says, what is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policypress.agents.bundle import Normaliser
from policypress.agents.normalisers.fit import Fitted, fitted
from policypress.agents.normalisers.search import NONE, Chosen, found_around, refuse_unclear, stated
from policypress.agents.normalisers.vecnormalize import Statistics
from policypress.agents.overrides import Overrides
from policypress.agents.zoo.config import ZooConfig
from policypress_runtime.contract import NO_NORMALISER_FOUND, Box, Contract, DictSpace, Space
from policypress_runtime.errors import AgentError, DamagedAgentError

# As the RL Zoo and the Hub call them.
STATISTICS = ("vecnormalize.pkl", "vec_normalize.pkl")
STACKED_AFTER = (
    "observations were stacked after normalisation; at the start of an episode the stack holds zeros "
    "that were not normalised"
)

_LEFT_OUT = "config.yml says that observations were normalised; --normalizer none leaves that out"


@dataclass(frozen=True)
class Surroundings:
    """What stands around a zip.

    Args:
        agent: the zip.
        companions: the folder of the files that the RL Zoo wrote for it; its own folder where there is no other.
        config: what its YAML files say.
        doubtful: folders whose statistics may be those of another time of the same training.
    """

    agent: Path
    companions: Path
    config: ZooConfig
    doubtful: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Normalisation:
    """What is done to the observations before the network, and what has to be said of it; ``file`` holds them."""

    normalisers: Mapping[str, Normaliser] = field(default_factory=dict)
    caller_supplies: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    file: Path | None = None


def normalisation_of(around: Surroundings, space: Space, overrides: Overrides) -> Normalisation:
    """How the observations ``space`` of the agent are normalised.

    Raises:
        UndeterminedAgentError: it is not certain which statistics are the agent's; lists them and names the flag.
        DamagedAgentError: they are missing, cannot be read or do not fit.
        AgentError: the file that the user named is not there.
    """
    config = around.config

    def fit(statistics: Statistics) -> Fitted | str:
        return fitted(statistics, space, None if config.normalises is None else config.frame_stack)

    if overrides.normalizer is not None:
        if overrides.normalizer != NONE:
            return _used(stated(overrides.normalizer, fit), ())
        return Normalisation(notices=(_LEFT_OUT,) if config.normalises else ())
    if config.normalises is False:
        return Normalisation(notices=_not_used(around.companions))
    by_name = _named(around.companions) if config.normalises else None
    if by_name is not None:
        return _used(stated(str(by_name), fit), ())
    own = (around.agent.with_suffix(""), around.companions)
    chosen = found_around(around.agent, own, fit, around.doubtful)
    if chosen is not None:
        return _used(chosen, _told(chosen))
    if config.normalises:
        raise _missing(around.companions)
    return Normalisation(assumptions=(NO_NORMALISER_FOUND,) if _could_be_normalised(space) else ())


def normalisation_of_network(
    path: Path, space: Space, overrides: Overrides, contract: Contract | None
) -> Normalisation:
    """How the observations ``space`` are normalised before the network of an ONNX file.

    Args:
        path: the file.
        space: what it observes.
        overrides: what the user states.
        contract: of an artifact of ours, which says what it folds in.

    Raises:
        AgentError: statistics for a file that normalises by itself, or as :func:`normalisation_of`.
        UndeterminedAgentError: a file from elsewhere beside statistics that fit.
    """

    def fit(statistics: Statistics) -> Fitted | str:
        return fitted(statistics, space)

    if overrides.normalizer is not None and contract is not None and "normalise" in contract.folded:
        raise AgentError(
            f"{path.name} normalises its observations itself.",
            got=f"--normalizer {overrides.normalizer}",
            expected="no statistics for this file",
            hint="Leave the option out; or export the agent that it was made from with the option.",
        )
    if overrides.normalizer == NONE:
        return Normalisation()
    if overrides.normalizer is not None:
        return _used(stated(overrides.normalizer, fit), ())
    if contract is None:
        refuse_unclear(path, fit)
    return Normalisation(assumptions=() if contract is None else contract.assumptions)


def _named(folder: Path) -> Path | None:
    """The statistics in an RL Zoo folder under the name that the Zoo gives them."""
    return next((folder / name for name in STATISTICS if (folder / name).is_file()), None)


def _not_used(folder: Path) -> tuple[str, ...]:
    found = _named(folder)
    return () if found is None else (f"{found.name} is not used: config.yml does not normalise observations",)


def _used(chosen: Chosen, told: tuple[str, ...]) -> Normalisation:
    stacked = chosen.fitted.frames > 1 and bool(chosen.fitted.normalisers)
    return Normalisation(
        chosen.fitted.normalisers,
        ("frame_stack",) if stacked else (),
        (*told, STACKED_AFTER) if stacked else told,
        file=chosen.path,
    )


def _told(chosen: Chosen) -> tuple[str, ...]:
    if not chosen.fitted.normalisers:
        return ()
    frames = "" if chosen.fitted.frames == 1 else f", for each of {chosen.fitted.frames} stacked frames"
    return (f"observations are normalised with {chosen.path}{frames}",)


def _could_be_normalised(space: Space) -> bool:
    """Whether VecNormalize would normalise these observations in an ordinary training: numbers that are no images."""
    if isinstance(space, DictSpace):
        return any(_could_be_normalised(part) for _, part in space.spaces)
    return isinstance(space, Box) and not (space.dtype == "uint8" and len(space.shape) == 3)


def _missing(folder: Path) -> DamagedAgentError:
    return DamagedAgentError(
        "The agent was trained on normalised observations, and their statistics are missing.",
        got=f"'normalize' in config.yml, and no {STATISTICS[0]} in {folder}",
        expected=f"{folder / STATISTICS[0]}",
        hint="Copy the file that the RL Zoo wrote beside the agent, or give it by --normalizer FILE.",
    )
