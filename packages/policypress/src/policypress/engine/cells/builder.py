"""The cells of one agent. Both forms of keys that stores have are written here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from policypress.compression.recipe import Recipe
from policypress.engine.cells.cell import Cell
from policypress.records import EvaluationProtocol
from policypress_runtime.contract import EnvironmentSpec

PREPARATION, COSTS = "preparation", "costs"
PREPARATION_VERSION = 1
"""Part of the keys of a study's agents: raise it when rollouts or training give other results."""
COSTS_VERSION = 1
"""Part of the key of every cost cell: raise it when costs are measured in another way."""


@dataclass(frozen=True)
class CellBuilder:
    """Makes the cells of one agent; :meth:`of_agent` and :meth:`of_study` give the two forms of their keys.

    Args:
        agent: its identity.
        environment: where it acts; None where recorded observations stand in.
        protocol: of its episodes.
        inputs: what decides the results beside the agent, the recipe and the protocol.
        method_versions: of what comes before every recipe.
    """

    agent: str
    environment: EnvironmentSpec | None
    protocol: EvaluationProtocol
    inputs: Mapping[str, Any]
    method_versions: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def of_agent(
        agent: str,
        environment: EnvironmentSpec | None,
        protocol: EvaluationProtocol,
        calibration: int,
        observations: str | None = None,
    ) -> CellBuilder:
        """Cells of an agent that has a store of its own.

        Args:
            agent: fingerprint of its policy.
            environment: see above.
            protocol: see above.
            calibration: number of observations that are calibrated on.
            observations: hash of the recorded observations, if there are any.
        """
        inputs: dict[str, Any] = {"seed": protocol.seed, "calibration": calibration}
        if observations is not None:
            inputs["observations"] = observations
        return CellBuilder(agent, environment, protocol, inputs)

    @staticmethod
    def of_study(agent: str, environment: EnvironmentSpec, protocol: EvaluationProtocol) -> CellBuilder:
        """Cells of an agent of a study file, which has a cell of its own for its training and its rollouts."""
        versions = {PREPARATION: PREPARATION_VERSION}
        return CellBuilder(agent, environment, protocol, {"seed": protocol.seed}, versions)

    def recipe(
        self,
        recipe: Recipe,
        protocol: EvaluationProtocol | None = None,
        environment: EnvironmentSpec | None = None,
    ) -> Cell:
        """The cell of ``recipe``; the empty recipe is the baseline. Other episodes and another place on request."""
        return Cell(
            kind="variant" if recipe.steps else "baseline",
            protocol=protocol or self.protocol,
            environment=environment or self.environment,
            agent_sha256=self.agent,
            recipe=recipe.text,
            recipe_hash=recipe.hash,
            recipe_json=recipe.to_json(),
            method_versions={**recipe.versions, **self.method_versions},
            inputs=self.inputs,
        )

    def random(self, protocol: EvaluationProtocol | None = None, environment: EnvironmentSpec | None = None) -> Cell:
        """The cell of random actions. They are drawn without a runtime, and so are the same under each."""
        where = environment or self.environment
        # The name that it was trained under changes nothing in it.
        plain = None if where is None else replace(where, trained_id=None)
        return Cell("random", replace(protocol or self.protocol, runtime=""), plain)

    def own(self) -> Cell:
        """The cell of what is done once for the agent: its training, and its rollouts."""
        return Cell(
            kind="agent",
            protocol=EvaluationProtocol(episodes=0, seed=self.protocol.seed, masked=self.protocol.masked),
            environment=self.environment,
            agent_sha256=self.agent,
            method_versions=self.method_versions,
            inputs=self.inputs,
        )


def cost_cell(maker: Cell, runtime: str, stated: Mapping[str, Any]) -> Cell:
    """The cell of what acting costs with the artifact that ``maker`` makes.

    Args:
        maker: a baseline or a variant.
        runtime: of the artifact.
        stated: how much is measured; JSON values.
    """
    return replace(
        maker,
        kind="cost",
        protocol=replace(maker.protocol, episodes=0, max_steps=None, runtime=runtime),
        method_versions={**maker.method_versions, COSTS: COSTS_VERSION},
        inputs={**maker.inputs, COSTS: stated},
    )
