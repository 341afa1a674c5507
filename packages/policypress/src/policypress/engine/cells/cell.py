"""The unit of a study: one agent, one recipe, one evaluation protocol; its key is its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from policypress.records import EvaluationProtocol
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import StudyInputError
from policypress_runtime.runtimes.protocol import ONNXRUNTIME

KEY_VERSION = 1
BASELINE_RECIPE = "none"

CellKind = Literal["baseline", "variant", "random", "agent", "cost"]
Json = dict[str, Any]


def canonical_json(value: object) -> str:
    """The one JSON text of ``value``: sorted keys, no spaces, ASCII, finite numbers only.

    >>> canonical_json({"b": 1, "a": (2.0,)})
    '{"a":[2.0],"b":1}'

    Raises:
        StudyInputError: a value has no JSON form, or is not finite.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StudyInputError(
            "An input of a cell cannot be written as JSON, so it has no stable key.",
            got=f"{type(error).__name__}: {error}",
            expected="strings, finite numbers, booleans, null, lists and mappings with string keys",
        ) from error


@dataclass(frozen=True)
class Cell:
    """What is to be built and evaluated, and everything that decides the result.

    ``kind``: ``baseline`` (the recipe ``none``: the fp32 agent), ``variant`` (any other recipe),
    ``random`` (a policy that draws actions uniformly; belongs to the environment alone, so that all
    agents of an environment share it), ``agent`` (what comes before its other cells and is done once:
    training it where a study trains it, and its rollouts), or ``cost`` (what acting with the artifact of a
    recipe costs under the protocol's runtime; it plays no episodes).

    Args:
        kind: see above.
        protocol: which episodes are played; no episodes means that the artifact is only built.
        environment: where they are played; None if there is none (recorded observations).
        agent_sha256: identity of the parent agent; None for ``random``.
        recipe: text form of the recipe.
        recipe_hash: the recipe's own stable hash; what stands for the recipe in the key.
        recipe_json: JSON form of the recipe, kept for the record.
        method_versions: integer version of every method that takes part, by name. Raising one gives
            new keys, so that results of the old method are not taken for the new one's.
        inputs: whatever else decides the result, by name (a calibration seed, the hash of recorded
            observations); JSON values.

    Raises:
        StudyInputError: the fields contradict each other.
    """

    kind: CellKind
    protocol: EvaluationProtocol
    environment: EnvironmentSpec | None = None
    agent_sha256: str | None = None
    recipe: str = BASELINE_RECIPE
    recipe_hash: str = ""
    recipe_json: Mapping[str, Any] = field(default_factory=dict)
    method_versions: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.kind == "random") != (self.agent_sha256 is None):
            raise StudyInputError(
                "A cell has an agent, except the random policy, which has none.",
                got=f"kind {self.kind!r} with agent {self.agent_sha256!r}",
            )
        if self.kind != "cost" and (self.kind == "variant") == (self.recipe == BASELINE_RECIPE):
            raise StudyInputError(
                "A variant has a recipe; the baseline and the random policy have none.",
                got=f"kind {self.kind!r} with recipe {self.recipe!r}",
            )
        if self.kind in ("agent", "cost") and self.protocol.episodes > 0:
            raise StudyInputError(
                "A cell that prepares an agent or measures costs plays no episodes: baseline and variants do.",
                got=f"{self.protocol.episodes} episodes",
            )
        if self.environment is None and self.protocol.episodes > 0:
            raise StudyInputError(
                "Episodes need an environment.",
                got=f"{self.protocol.episodes} episodes without an environment",
                expected="an environment, or a protocol of 0 episodes",
            )

    def __hash__(self) -> int:
        """That of the key; equal cells have one key."""
        return hash(self.key)

    @cached_property
    def key(self) -> str:
        """Sha256, in hex, of the canonical JSON of :meth:`identity`."""
        return hashlib.sha256(canonical_json(self.identity()).encode()).hexdigest()

    def identity(self) -> Json:
        """What the key is the hash of. Package versions are provenance and do not stand here.

        ``trained_id`` of the environment is history: it does not change what is played. ONNX Runtime is not named,
        so that cells keep the keys that they had before there was another runtime.
        """
        protocol = self.protocol.to_json()
        if self.protocol.runtime in ("", ONNXRUNTIME):
            del protocol["runtime"]
        environment = None
        if self.environment is not None:
            environment = {name: value for name, value in self.environment.to_json().items() if name != "trained_id"}
        return {
            "cell": KEY_VERSION,
            "kind": self.kind,
            "agent": self.agent_sha256,
            "environment": environment,
            "recipe": self.recipe_hash,
            "protocol": protocol,
            "methods": dict(self.method_versions),
            "inputs": dict(self.inputs),
        }

    def seeds(self) -> tuple[int, ...]:
        """Environment seeds of its episodes, in the order of the protocol."""
        return self.protocol.seeds()

    def to_json(self) -> Json:
        """JSON form: every field."""
        return {
            "kind": self.kind,
            "protocol": self.protocol.to_json(),
            "environment": None if self.environment is None else self.environment.to_json(),
            "agent_sha256": self.agent_sha256,
            "recipe": self.recipe,
            "recipe_hash": self.recipe_hash,
            "recipe_json": dict(self.recipe_json),
            "method_versions": dict(self.method_versions),
            "inputs": dict(self.inputs),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Cell:
        """Inverse of :meth:`to_json`; the key stays the same.

        Raises:
            StudyInputError: a field is missing or unknown.
        """
        try:
            environment = data["environment"]
            fields = {name: value for name, value in data.items() if name not in ("protocol", "environment")}
            return Cell(
                protocol=EvaluationProtocol(**data["protocol"]),
                environment=None if environment is None else EnvironmentSpec.from_json(environment),
                **fields,
            )
        except (KeyError, TypeError) as error:
            raise StudyInputError(
                "This is not the JSON of a cell.",
                got=f"{type(error).__name__}: {error}",
                expected="every field of a cell",
                hint="Upgrade policypress if a newer version wrote it.",
            ) from error
