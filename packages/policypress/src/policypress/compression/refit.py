"""``refit``: after pruning, every following layer makes up for what it lost.

Layer by layer, in the order in which they run, the weights and the bias that bring the pruned policy's value nearest
to the fp32 policy's: with A the activations that the pruned policy has there (earlier layers refitted already) and T
the fp32 policy's values of the channels that are left, both centred,

    W ← (Aᵀ A / n + λ I)⁻¹ (Aᵀ T / n + λ W),  λ = 10⁻³ · mean variance of the activations

a ridge towards the weights as they are: what the observations do not determine stays, and the error on them
never grows. After the layer-wise least squares of He et al. 2017 (Channel pruning, arXiv:1707.06168).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from policypress.compression.calibration import with_neighbours
from policypress.compression.reconstruction import refit_layer
from policypress.compression.step import Context, Stage, Step
from policypress.policy.folding import fold_affines
from policypress.policy.layers import Conv2d
from policypress.policy.policy import Policy
from policypress_runtime.errors import RecipeError


@dataclass(frozen=True)
class Refit(Step):
    """Ridge refit of every layer after a pruned one; without pruning it does nothing, with a notice."""

    name: ClassVar[str] = "refit"
    stage: ClassVar[Stage] = Stage.CONDITIONING
    version: ClassVar[int] = 1

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Copy of ``policy`` with other weights behind what was pruned.

        Grouped convolutions stay as they are: each output reads a share of the inputs only.

        Raises:
            RecipeError: there is no fp32 policy to compare with.
        """
        if context.teacher is None:
            raise RecipeError("refit compares with the fp32 policy.", got="a context without one")
        result, teacher = policy.clone(), fold_affines(context.teacher)
        if policy.states:
            notice = "refit did nothing: it compares single steps, and this policy has memory."
            result.origin = replace(result.origin, notices=(*result.origin.notices, notice))
            return result
        observations = with_neighbours(context.calibration, context.seed, policy.state_names)
        behind = _behind_pruned(result)
        if not behind:
            notice = "refit did nothing: nothing was pruned before it."
            result.origin = replace(result.origin, notices=(*result.origin.notices, notice))
        for name in behind:
            layer = result.layers[name]
            if name in teacher.layers and not (isinstance(layer, Conv2d) and layer.groups != 1):
                refit_layer(result, name, teacher, observations)
        return result


def _behind_pruned(policy: Policy) -> list[str]:
    """Weighted layers that something reaches which was pruned, in the order in which they run."""
    changed: set[str] = set()
    found: list[str] = []
    weighted = {name for name, _ in policy.weighted_layers()}
    for node in policy.nodes:
        if changed & set(node.inputs):
            changed.add(node.name)
            if node.name in weighted:
                found.append(node.name)
        if node.name in policy.kept_channels:
            changed.add(node.name)
    return found
