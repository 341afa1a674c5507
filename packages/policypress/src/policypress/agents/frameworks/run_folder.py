"""Folders that trainings leave: which of their checkpoints is read."""

from __future__ import annotations

import re
from pathlib import Path

_LAST_NUMBER = re.compile(r"(\d+)(?!.*\d)")
# Framework by framework: where a run keeps its checkpoints, the newest by the last number of its name.
_PATTERNS = (
    "model_*.pt",
    "checkpoints/best_agent.pt",
    "checkpoints/agent_*.pt",
    "checkpoint_p0/checkpoint_*.pth",
    "nn/*.pth",
    "*.cleanrl_model",
)
# rl_games' nn/ holds the best model under the task's name, and last_..._ep_N_rew_R.pth.
_NOT_BEST = re.compile(r"last_")


def checkpoint_in(folder: Path) -> Path | None:
    """The checkpoint of a run's folder: the best where one is called so, else the newest; None where there is none."""
    for pattern in _PATTERNS:
        found = [path for path in folder.glob(pattern) if path.is_file()]
        best = [path for path in found if not _NOT_BEST.match(path.name)] if pattern.startswith("nn/") else found
        if best or found:
            return max(best or found, key=_age)
    return None


def _age(path: Path) -> tuple[int, str]:
    name = path.stem.partition("_ep_")[2].partition("_")[0] if "_ep_" in path.stem else path.stem
    number = _LAST_NUMBER.search(name)
    # Sample Factory's names end in the steps: checkpoint_000000979_4009984.pth.
    return (int(number.group(1)[:18]) if number else -1, path.name)
