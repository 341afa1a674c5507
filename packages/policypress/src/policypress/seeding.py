"""Named random streams: one user seed, independent numbers for every purpose.

A stream depends on the seed and on the names alone, never on how often another stream was used, so
adding a consumer does not move anybody else's numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np

EVALUATION = "evaluation"
CALIBRATION = "calibration"
PARITY = "parity"
CERTIFICATION = "certification"


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Independent generator for ``names`` under ``seed``.

    >>> generator(0, "a").integers(100) == generator(0, "a").integers(100)
    np.True_
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    digest = hashlib.sha256(text.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    return np.random.default_rng(np.random.SeedSequence(words))


def episode_seeds(seed: int, purpose: str, count: int) -> tuple[int, ...]:
    """The first ``count`` environment seeds (31 bits, all different) of ``purpose``.

    A longer list starts with the shorter one, so that more episodes extend a run.
    """
    drawn: dict[int, None] = {}
    stream = generator(seed, "episodes", purpose)
    while len(drawn) < count:
        drawn.setdefault(int(stream.integers(2**31 - 1)))
    return tuple(drawn)
