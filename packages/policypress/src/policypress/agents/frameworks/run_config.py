"""The configuration that a run keeps beside its checkpoints, as plain data: ``params/agent.yaml`` of Isaac Lab, others.

It is read where a checkpoint is silent, and only what is understood of it is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policypress.agents.archive import read_bytes
from policypress.agents.bundle import Activation
from policypress.agents.sb3.activation_text import stated_activation
from policypress.agents.zoo.yaml_data import MAX_YAML_BYTES, read_yaml
from policypress_runtime.errors import DamagedAgentError, InputError

# Below the run's folder; checkpoints lie in it, or one folder below.
FILES = ("params/agent.yaml", "config.yaml", "config.json", "cfg.json", "ppo_network_config.json")


@dataclass(frozen=True)
class RunConfig:
    """``name`` of the file, for messages, and what it says."""

    name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def at(self, path: str) -> Any:
        """The value at a path of keys and positions, ``models.policy.network.0``; None where there is none."""
        value: Any = self.fields
        for key in path.split("."):
            if isinstance(value, Mapping):
                value = value.get(key)
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value

    def activation(self, *paths: str) -> Activation | None:
        """The activation that one of ``paths`` names without doubt."""
        for path in paths:
            stored = self.at(path)
            if isinstance(stored, list) and stored and all(item == stored[0] for item in stored):
                stored = stored[0]
            # rsl_rl's crelu was ReLU and is CELU: no name that can be trusted.
            if isinstance(stored, str) and stored.lower() != "crelu":
                try:
                    return stated_activation({"lrelu": "leaky_relu"}.get(stored.lower(), stored))
                except InputError:
                    continue
        return None


NO_CONFIG = RunConfig()


def config_near(checkpoint: Path) -> RunConfig:
    """The configuration of the run whose checkpoint this is; empty where none lies around it.

    Raises:
        UnsafeAgentError: it asks for code to be executed.
        DamagedAgentError: it cannot be read.
    """
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        for name in FILES:
            path = folder / name
            if path.is_file():
                content = read_bytes(path, limit_bytes=MAX_YAML_BYTES)
                return RunConfig(name, _json(content, name) if name.endswith(".json") else read_yaml(content, name))
    return NO_CONFIG


def _json(content: bytes, name: str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedAgentError(
            f"{name} is not readable JSON.", got=str(error)[:200], expected="the configuration of a run"
        ) from error
    return data if isinstance(data, dict) else {}
