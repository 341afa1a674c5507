"""A simulator that is not ours, with a program of its own around it: it knows tables and artifacts, and no gymnasium.

``python elsewhere_player.py FOLDER TABLE FILLED`` plays every row of a table that has no return, and writes the table
with its returns.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from policypress_runtime import load_artifact

STEPS = 40
State = tuple[float, float, float, float]


def pole(state: State, push: int) -> State:
    """One fiftieth of a second of a cart with a pole (Barto, Sutton and Anderson 1983)."""
    place, speed, angle, turning = state
    force = 10.0 if push else -10.0
    sine, cosine = math.sin(angle), math.cos(angle)
    pressed = (force + 0.05 * turning**2 * sine) / 1.1
    angular = (9.8 * sine - cosine * pressed) / (0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1))
    linear = pressed - 0.05 * angular * cosine / 1.1
    return place + 0.02 * speed, speed + 0.02 * linear, angle + 0.02 * turning, turning + 0.02 * angular


def started(seed: int) -> State:
    place, speed, angle, turning = np.random.default_rng(seed).uniform(-0.05, 0.05, 4).tolist()
    return place, speed, angle, turning


def episode(act: Callable[[np.ndarray], int], seed: int) -> float:
    state = started(seed)
    for step in range(STEPS):
        state = pole(state, act(np.array(state, np.float32)))
        if abs(state[2]) > 0.2095 or abs(state[0]) > 2.4:
            return step + 1.0
    return float(STEPS)


def actor(folder: Path, artifact: str, seed: int) -> Callable[[np.ndarray], int]:
    if artifact == "random":
        rng = np.random.default_rng(seed)
        return lambda _: int(rng.integers(2))
    policy = load_artifact(folder / artifact, "onnxruntime")
    return lambda observation: int(policy.act(observation))


def observations(count: int) -> np.ndarray:
    """What a log of the simulator may hold."""
    rng, rows = np.random.default_rng(0), []
    while len(rows) < count:
        state = started(len(rows))
        for _ in range(15):
            rows.append(state)
            state = pole(state, int(rng.integers(2)))
    return np.array(rows[:count], np.float32)


def fill(folder: Path, table: Path, filled: Path) -> None:
    actors: dict[str, Callable[[np.ndarray], int]] = {}
    with table.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name, seed = row["artifact"], int(row["seed"])
        if name == "random" or name not in actors:
            actors[name] = actor(folder, name, seed)
        row["return"] = str(episode(actors[name], seed))
    with filled.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    fill(*(Path(argument) for argument in sys.argv[1:]))
    heavy = [name for name in ("gymnasium", "torch", "policypress") if name in sys.modules]
    sys.exit(f"the simulator has loaded {heavy}" if heavy else 0)
