"""Configuration of quantization-aware training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policypress_runtime.errors import TrainingInputError

LEAST_BITS, MOST_BITS = 2, 8
Networks = Literal["actor", "all"]


@dataclass(frozen=True)
class QatConfig:
    """Quantization-aware training.

    The papers' raw form is ``QatConfig(observation_scaling=False, per_channel=False)``.

    Attributes:
        weight_bits: of weights, 2 to 8.
        activation_bits: of the layers' inputs, 2 to 8.
        networks: ``actor`` quantizes the acting network, ``all`` the value networks too.
        observation_scaling: scale each observation dimension in float before the first quantizer; without it, the
            papers' raw form.
        per_channel: one weight scale per output channel, else one per weight matrix.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    networks: Networks = "actor"
    observation_scaling: bool = True
    per_channel: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TrainingInputError: bits outside 2 to 8, an unknown choice of networks, or a flag that is not a bool.
        """
        for name in ("weight_bits", "activation_bits"):
            bits = getattr(self, name)
            if isinstance(bits, bool) or not isinstance(bits, int) or not LEAST_BITS <= bits <= MOST_BITS:
                raise TrainingInputError(
                    f"{name} of quantization-aware training is out of range.",
                    got=repr(bits),
                    expected=f"{LEAST_BITS} to {MOST_BITS}",
                )
        if self.networks not in ("actor", "all"):
            raise TrainingInputError(
                "Unknown choice of networks for quantization-aware training.",
                got=repr(self.networks),
                expected="actor, all",
            )
        for name in ("observation_scaling", "per_channel"):
            if not isinstance(getattr(self, name), bool):
                raise TrainingInputError(
                    f"{name} of quantization-aware training must be True or False.",
                    got=repr(getattr(self, name)),
                    expected="True or False",
                )
