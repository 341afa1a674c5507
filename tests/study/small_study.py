"""A study that is done in seconds: two trained agents and a given one on CartPole."""

from __future__ import annotations

from pathlib import Path

import yaml

from policypress.study.whole_study import Study, open_study

ROOT = Path(__file__).resolve().parents[2]


def study_file(folder: Path, steps: int = 128, episodes: int = 6, **changes: object) -> Path:
    data = {
        "policypress-study": 1,
        "name": "small",
        "agents": [
            {
                "label": "trained",
                "train": {
                    "algorithms": "ppo",
                    "environments": "CartPole-v1",
                    "steps": steps,
                    "seeds": "0..1",
                    "hyperparameters": {"n_steps": 32, "n_envs": 1, "n_epochs": 1, "batch_size": 32},
                },
            },
            {"files": str(ROOT / "examples" / "agents" / "dqn-CartPole-v1.zip"), "recipes": ["equalize > int8"]},
        ],
        "recipes": ["none", "prune(l2, 0.2..0.4/0.2)"],
        "evaluation": {"episodes": episodes, "runtimes": "onnxruntime"},
        **changes,
    }
    path = folder / "small.yml"
    path.write_text(yaml.safe_dump(data))
    return path


def small_study(folder: Path, **changes: object) -> Study:
    return open_study(study_file(folder, **changes), folder / "results")  # type: ignore[arg-type]
