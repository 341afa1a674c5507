"""How a search that is played elsewhere was started: kept in its store, so that it goes on in any process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from policypress.agents.overrides import Overrides
from policypress.agents.stated_overrides import StatedTexts, stated_overrides
from policypress.engine.store.reader import StoreReader
from policypress.engine.tasks.calibration import hash_of
from policypress.environments.observations import RecordedObservations
from policypress.measurement.agent_in_environment import AgentInEnvironment, agent_in_environment
from policypress.policy.identity import fingerprint
from policypress.search.defaults import MAX_EPISODES
from policypress.search.options import CompressOptions, Goal
from policypress_runtime.contract import EnvironmentSpec, Space, space_from_json, space_to_json
from policypress_runtime.errors import StoreError, StudyInputError

NOTE = "search/elsewhere"
"""Name under which the store keeps the settings."""
ELSEWHERE = EnvironmentSpec("elsewhere")
"""Where the episodes are played: nothing is known of it."""
AT_ONCE = 4
_VERSION = 1
_SPACES = ("observation_space", "action_space")


@dataclass(frozen=True)
class PlayedElsewhere:
    """Stands where the environment's maker would: there is none."""

    def __call__(self) -> Any:
        """Refuse.

        Raises:
            StoreError: always; a task was done that somebody should have been asked for.
        """
        raise StoreError("The episodes of this search are played elsewhere.", got="a task that plays them here")


@dataclass(frozen=True)
class AskOptions:
    """What is looked for by a search that is played elsewhere.

    Args:
        keep: share of the baseline's score to keep.
        confidence: of the certificate.
        minimize: ``size`` (packed bytes) or ``macs``.
        max_episodes: of all policies together.
        training: whether recipes that take gradient steps are tried as well.
        seed: of everything random.
        worst_return: the worst return that an episode counts as in a certificate; by default from the episodes before.
        best_return: the best return that an episode counts as, likewise.
        max_falls: the rate of falls that is certified together with the return; ``"baseline+0.02"``: at most so much
            more frequent than the agent's.
        falls: what a fall is: ``terminated``, ``score<SHARE`` or ``return<VALUE``.
        random_return: what random actions return, if nobody shall play them; it is taken for the zero of the score.
        at_once: how many candidates are asked for at once. More take fewer rounds, and more episodes.

    Raises:
        StudyInputError: a number or a name that cannot be.
    """

    keep: float = 0.95
    confidence: float = 0.95
    minimize: str = "size"
    max_episodes: int = MAX_EPISODES
    training: bool = True
    seed: int = 0
    worst_return: float | None = None
    best_return: float | None = None
    max_falls: float | str | None = None
    falls: str | None = None
    random_return: float | None = None
    at_once: int = AT_ONCE

    def __post_init__(self) -> None:
        if self.minimize not in ("size", "macs"):
            raise StudyInputError(
                "A search that waits for returns minimizes what is computed: what is measured is never the same twice.",
                got=self.minimize,
                expected="size or macs",
                hint="Measure the winner's latency and energy afterwards: policypress bench.",
            )
        if self.at_once < 1:
            raise StudyInputError("At least one candidate is asked for.", got=str(self.at_once), expected="at least 1")
        rule = self.goal.fall_rule
        if rule is not None and rule.kind == "info":
            raise StudyInputError(
                "The table of a search that is played elsewhere has no column of info.",
                got=str(self.falls),
                expected="terminated, score<SHARE or return<VALUE",
                hint="Say --falls terminated, and 1 in the column terminated of every episode that was a fall.",
            )

    @property
    def goal(self) -> Goal:
        """The same as a search in an environment has it; its minutes are not counted."""
        own = ("random_return", "at_once")
        shared = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in own}
        return CompressOptions(**shared, costs=False).goal


@dataclass(frozen=True)
class Settings:
    """How the search was started.

    Args:
        agent: path or Hub id.
        observations: path of recorded observations.
        stated: facts of the agent, as texts.
        options: what is looked for.
        spaces: of the environment that the user named, where the agent's file leaves them open.
        policy: fingerprint of the agent's policy.
        observed: hash of the observations.
    """

    agent: str
    observations: str
    stated: StatedTexts
    options: AskOptions
    spaces: tuple[Space, Space] | None = None
    policy: str = ""
    observed: str = ""

    @property
    def overrides(self) -> Overrides:
        """What is stated of the agent."""
        overrides = stated_overrides(**self.stated)
        if self.spaces is None:
            return overrides
        return replace(overrides, observation_space=self.spaces[0], action_space=self.spaces[1])

    def read(self) -> tuple[AgentInEnvironment, RecordedObservations]:
        """The agent, as one that is played elsewhere, and the observations.

        Raises:
            InputError: one of them cannot be read, or is not what the search began with.
        """
        agent = agent_in_environment(self.agent, overrides=self.overrides, needs_environment=False)
        recorded = RecordedObservations.load(Path(self.observations), agent.policy.observation_space)
        for what, file, begun, found in (
            ("agent", self.agent, self.policy, fingerprint(agent.policy)),
            ("recorded observations", self.observations, self.observed, hash_of(recorded)),
        ):
            if begun not in ("", found):
                raise StudyInputError(
                    f"The {what} changed since the search began.",
                    got=file,
                    expected=f"the {what} that it began with",
                    hint="Put the file back as it was, or start a new search in another folder.",
                )
        return replace(agent, environment=ELSEWHERE, factory=PlayedElsewhere()), recorded

    def to_text(self) -> str:
        """JSON, for the store."""
        spaces = None if self.spaces is None else [space_to_json(space) for space in self.spaces]
        own = {**vars(self), "options": vars(self.options), "stated": dict(self.stated), "spaces": spaces}
        return json.dumps({"version": _VERSION, **own}, sort_keys=True)

    @staticmethod
    def from_text(text: str) -> Settings:
        """Inverse of :meth:`to_text`.

        Raises:
            StoreError: it is something else, or of a newer version.
        """
        try:
            data = json.loads(text)
            if data.pop("version") != _VERSION:
                raise ValueError("another version")
            spaces, options = data.pop("spaces"), AskOptions(**data.pop("options"))
            read = None
            if spaces is not None:
                first, second = (space_from_json(space, name) for space, name in zip(spaces, _SPACES, strict=True))
                read = (first, second)
            found = Settings(options=options, spaces=read, **data)
            _ = found.overrides
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                "The store does not say how its search was started.",
                got=f"{type(error).__name__}: {error}",
                expected="the settings of policypress search start",
                hint="Upgrade policypress if a newer version wrote it.",
            ) from error
        return found


def settings_in(store: StoreReader) -> Settings:
    """How the search in ``store`` was started.

    Raises:
        StudyInputError: none was.
    """
    text = store.note(NOTE)
    if text is None:
        raise StudyInputError(
            "No search that is played elsewhere was started in this folder.",
            got=str(store.folder),
            expected="the folder of policypress search start",
            hint="Start one: policypress search start AGENT --observations logged.npz -o DIR",
        )
    return Settings.from_text(text)


def settings_of(
    agent: str | Path,
    observations: str | Path,
    options: AskOptions,
    env: EnvironmentSpec | str | None,
    stated: Mapping[str, Any],
) -> Settings:
    """Settings of a new search, after everything that they name was read.

    Raises:
        InputError: something cannot be read.
    """
    if not isinstance(agent, str | Path):
        raise StudyInputError(
            "A search that is played elsewhere reads its agent again in every process.",
            got=f"a live {type(agent).__name__}",
            expected="the path of a file",
            hint="Export it: policypress.export.publish, or torch.onnx.export; then give the file.",
        )
    texts: StatedTexts = {**stated}  # type: ignore[typeddict-item]
    for name in ("normalizer", "check"):
        path = stated.get(name)
        if path not in (None, "none"):
            texts[name] = str(Path(str(path)).absolute())
    source = str(agent) if str(agent).startswith("hub:") else str(Path(agent).absolute())
    begun = Settings(source, str(Path(observations).absolute()), texts, options)
    if env is not None:
        found = agent_in_environment(source, env=env, overrides=begun.overrides, needs_environment=False).policy
        begun = replace(begun, spaces=(found.observation_space, found.action_space))
    subject, recorded = begun.read()
    return replace(begun, policy=fingerprint(subject.policy), observed=hash_of(recorded))
