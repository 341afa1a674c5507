"""The agents of a study file: each named once, with its identity, before anything is trained or read twice."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.engine.store.reader import AgentRow
from policypress.environments.making import user_environment
from policypress.environments.trust import trusted_modules
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.policy.identity import fingerprint
from policypress.study.kept_agents import kept_agents
from policypress.study.spec import Agents, StudySpec, Training
from policypress.study.training_identity import training_identity, training_name
from policypress.training_package import TrainingRequest, training_services
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import StudyInputError

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class PlannedAgent:
    """An agent of a study.

    Args:
        identity: hash of the training's spec, or fingerprint of the policy that was given.
        label: of its axis in the study file.
        algorithm: its name.
        environment: where it acts.
        recipes: text forms of what is done to it.
        max_steps: limit of an episode where the environment has none.
        training: JSON of the training's spec; None for an agent that was given.
        origin: where the training's hyperparameters come from.
        source: where a given agent is.
        notices: for the user.
        assumptions: what a given agent's files leave open and was taken to be so.
        stated: environment in which the study file puts a given agent, or trains one where a module of the user's
            makes it.
        overrides: what the study file states of it.
        library_version: of the library that saved a given agent.
        details: what a given agent's file says of its training.
        kept: folder of the agent where it was trained before; empty where it was not.
        masked: it acts among the actions that its environment allows.
    """

    identity: str
    label: str
    algorithm: str
    environment: EnvironmentSpec
    recipes: tuple[str, ...]
    max_steps: int | None = None
    training: dict[str, Any] | None = None
    origin: str = ""
    source: str = ""
    notices: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    stated: EnvironmentSpec | None = None
    overrides: Overrides = NO_OVERRIDES
    library_version: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    kept: str = ""
    masked: bool = False

    @property
    def name(self) -> str:
        """For files and people: algorithm, environment, what is special, steps and seed of a training."""
        if self.training is None:
            return f"{self.algorithm}-{self.environment.id}-{self.identity[:8]}".replace("/", "-")
        return training_name(self.training)

    def row(self) -> AgentRow:
        """What the store keeps of it."""
        training = dict(self.details) if self.training is None else {"spec": self.training, "from": self.origin}
        return AgentRow(
            sha256=self.identity,
            source=self.source or "trained by the study",
            algorithm=self.algorithm,
            environment=self.environment,
            library_version=self.library_version,
            training={"label": self.label, **training},
            notices=(*self.notices, *self.assumptions),
        )


def planned_agents(spec: StudySpec, folder: Path) -> tuple[PlannedAgent, ...]:
    """Every agent that ``spec`` asks for, in the order of their turn; one asked for twice is one, with both recipes.

    Args:
        spec: the study.
        folder: that the paths in it are relative to.

    Raises:
        StudyInputError: a path matches nothing.
        InputError: an algorithm, a hyperparameter, an environment or a file cannot be used.
    """
    found: dict[str, PlannedAgent] = {}
    kept = {} if spec.trained is None else kept_agents(folder / spec.trained)
    for axis in spec.agents:
        recipes = tuple(dict.fromkeys(axis.recipes or spec.recipes))
        agents = _trained(axis, axis.train, recipes) if axis.train is not None else _given(axis, recipes, folder)
        for agent in agents:
            agent = replace(agent, kept=kept.get(agent.identity, ""))
            known = found.get(agent.identity)
            if known is not None:
                agent = replace(known, recipes=tuple(dict.fromkeys((*known.recipes, *agent.recipes))))
            found[agent.identity] = agent
    return tuple(sorted(found.values(), key=_turn))


def _turn(agent: PlannedAgent) -> tuple[bool, int]:
    """What is ready comes first, then the first seed of everything: an unfinished study shows as much as it can."""
    if agent.training is None or agent.kept:
        return (False, 0)
    return (True, int(agent.training["seed"]))


def _trained(axis: Agents, training: Training, recipes: tuple[str, ...]) -> Iterator[PlannedAgent]:
    services = training_services()
    qat = None if training.qat is None else training.qat.model_dump()
    for algorithm in training.algorithms:
        for environment in training.environments:
            for seed in training.seeds:
                request = TrainingRequest(
                    algorithm,
                    user_environment(environment),
                    steps=training.steps_of(algorithm),
                    seed=seed,
                    overrides=tuple(training.hyperparameters.items()),
                    qat=qat,
                    sparse=None if training.sparse is None else tuple(training.sparse.items()),
                    prune=training.prune,
                    episodes=training.episodes,
                    by=training.published,
                    update=training.update,
                    kernels=training.kernels,
                )
                planned = services.plan(request)
                yield PlannedAgent(
                    identity=training_identity(planned.stored),
                    label=axis.label,
                    algorithm=algorithm,
                    environment=planned.environment,
                    recipes=recipes,
                    training=planned.stored,
                    # The JSON of a training may come from a file; what the study file names may be imported.
                    stated=planned.environment if trusted_modules(planned.environment) else None,
                    origin=planned.source,
                    notices=planned.notices,
                )


def _given(axis: Agents, recipes: tuple[str, ...], folder: Path) -> Iterator[PlannedAgent]:
    stated = None if axis.environment is None else user_environment(axis.environment)
    overrides = axis.overrides(folder)
    for text in axis.files:
        for source in _sources(text, folder):
            subject = agent_in_environment(source, env=stated, overrides=overrides)
            if subject.environment is None:
                raise StudyInputError(
                    "It is not known which environment an agent of the study acts in.",
                    got=source,
                    expected="an environment in its files, or `environment:` beside `files:`",
                )
            yield PlannedAgent(
                identity=fingerprint(subject.policy),
                label=axis.label,
                algorithm=subject.policy.origin.algorithm,
                environment=subject.environment,
                recipes=recipes,
                max_steps=subject.max_steps,
                source=source,
                notices=subject.notices,
                assumptions=subject.policy.origin.assumptions,
                stated=stated,
                overrides=overrides,
                library_version=subject.library_version,
                details=subject.policy.origin.training,
                masked=subject.masked,
            )


def _sources(text: str, folder: Path) -> tuple[str, ...]:
    """Paths that match, or the Hub id itself."""
    if _WILDCARDS & set(text):
        matches = sorted(glob.glob(str(folder / text), recursive=True))
        if not matches:
            raise StudyInputError("No agent matches.", got=f"{folder / text}", expected="at least one file or folder")
        return tuple(matches)
    return (str(folder / text) if (folder / text).exists() else text,)
