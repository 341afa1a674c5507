"""What makes two trainings the same one, and what one is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def training_identity(stored: Mapping[str, Any]) -> str:
    """Identity of the agent that a training gives: SHA-256 of its spec without device and update, in hex.

    The updates are the same learning up to rounding, as two machines are.
    """
    kept = {name: value for name, value in stored.items() if name not in ("device", "update")}
    text = json.dumps({"training": kept}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# What differs from quantization-aware training as it is by default; "{}" stands for the value.
_QAT_WORDS = {
    "weight_bits": (8, "w{}"),
    "activation_bits": (8, "a{}"),
    "networks": ("actor", "{}"),
    "observation_scaling": (True, "unscaled"),
    "per_channel": (True, "per-tensor"),
}


def training_name(stored: Mapping[str, Any]) -> str:
    """The name of a training's agent for files and people; not every setting is in it, so two may have the same.

    >>> stored = {"algorithm": "ppo", "environment": {"id": "Hopper-v4"}, "steps": 9, "seed": 0}
    >>> training_name({**stored, "qat": {"weight_bits": 4}})
    'ppo-Hopper-v4-qat-w4-9-s0'
    """
    episodes = stored.get("episodes")
    parts = [
        str(stored["algorithm"]),
        str(stored["environment"]["id"]),
        *_special(stored),
        str(stored["steps"]) if episodes is None else f"{episodes}ep",
        f"s{stored['seed']}",
    ]
    return "-".join(parts).replace("/", "-")


def qat_words(qat: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells a form of quantization-aware training from that by default; nothing where it is that.

    >>> qat_words({"weight_bits": 4, "per_channel": False})
    ('w4', 'per-tensor')
    """
    said = [(qat[name], usual, word) for name, (usual, word) in _QAT_WORDS.items() if name in qat]
    return tuple(word.format(value) for value, usual, word in said if value != usual)


def _special(stored: Mapping[str, Any]) -> list[str]:
    """What is done while learning, with what tells one kind of it from another."""
    found = []
    if stored.get("qat") is not None:
        found += ["qat", *qat_words(stored["qat"])]
    if stored.get("sparse") is not None:
        found.append("sparse")
    if stored.get("prune") is not None:
        found.append("prune")
    return found
