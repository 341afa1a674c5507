"""What quantization-aware training learned beside the weights: ranges of values, as plain data.

policypress's quantized policies (``policypress_train.qat``) keep them in the checkpoint as ``running_min``,
``running_max`` and ``running_peak`` of each quantized layer, and the numbers of bits among the policy's arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from policypress.agents.bundle import Array, LearnedQuantizer
from policypress.agents.sb3.data import Sb3Data
from policypress_runtime.errors import DamagedAgentError

MODULES = ("policypress_train.qat.policies", "policypress.training.qat.policies")
"""Where the classes of quantized policies are, now and in zips of before."""
_ARGUMENT = "qat"
_OBSERVER = re.compile(r"(.+)\.running_(min|max|peak)")
_BITS = range(2, 9)


def split_ranges(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """The tensors without observers, and the observers (``min``, ``max``, maybe ``peak``) by layer.

    Only a layer that has both a minimum and a maximum has observers of ours; anything else is left where it was.
    """
    observers: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        match = _OBSERVER.fullmatch(name)
        if match is not None:
            observers.setdefault(match.group(1), {})[match.group(2)] = array
    whole = {layer: parts for layer, parts in observers.items() if {"min", "max"} <= parts.keys()}
    own = {f"{layer}.running_{part}" for layer, parts in whole.items() for part in parts}
    return {name: array for name, array in tensors.items() if name not in own}, whole


def read_quantizers(
    data: Sb3Data, observers: Mapping[str, Mapping[str, Array]], state: Mapping[str, Array]
) -> dict[str, LearnedQuantizer]:
    """The quantizer of each acting layer by the layer's name; empty for an agent that was trained in fp32.

    Args:
        data: the zip's fields, for the numbers of bits.
        observers: of every layer.
        state: the acting tensors.

    Raises:
        DamagedAgentError: ranges that cannot be, or bits that are missing or out of range.
    """
    acting = {layer: parts for layer, parts in observers.items() if f"{layer}.weight" in state}
    if not acting:
        return {}
    weight_bits, activation_bits, per_channel = _settings(data)
    quantizers: dict[str, LearnedQuantizer] = {}
    for layer, parts in acting.items():
        low, high, peak = parts["min"], parts["max"], parts.get("peak")
        features = state[f"{layer}.weight"].shape[1:2]
        if low.shape or high.shape or not low <= 0 <= high or (peak is not None and _wrong(peak, features)):
            raise DamagedAgentError(
                f"The ranges that the layer {layer!r} learned are invalid.",
                got=f"minimum {low}, maximum {high}" + ("" if peak is None else f", peaks of shape {peak.shape}"),
                expected=f"a minimum ≤ 0, a maximum ≥ 0, and no or {features} peaks ≥ 0",
            )
        peaks = None if peak is None else tuple(float(value) for value in peak)
        quantizers[layer] = LearnedQuantizer(float(low), float(high), peaks, weight_bits, activation_bits, per_channel)
    return quantizers


def _wrong(peak: Array, features: tuple[int, ...]) -> bool:
    return peak.shape != features or bool((peak < 0).any())


def _settings(data: Sb3Data) -> tuple[int, int, bool]:
    stored: Any = data.argument(_ARGUMENT, None)
    if isinstance(stored, Mapping):
        bits = [stored.get("weight_bits"), stored.get("activation_bits")]
        per_channel = stored.get("per_channel", True)
        if all(type(number) is int and number in _BITS for number in bits) and isinstance(per_channel, bool):
            return int(bits[0]), int(bits[1]), per_channel  # type: ignore[arg-type]  # integers, as was checked
    raise DamagedAgentError(
        "The agent learned ranges for quantization, but its file does not state the bit widths.",
        got=f"{_ARGUMENT}: {str(stored)[:120]}",
        expected="weight_bits and activation_bits from 2 to 8 among the policy's arguments",
    )
