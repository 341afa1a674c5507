"""One fuzz target per reader of files; those of what writes foreign text are added. Each takes bytes, raises or not."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzz.pages import PAGES
from benchmarks.fuzz.writers import WRITERS

from policypress.agents.loading import load_agent
from policypress.agents.normalisers.vecnormalize import read_vecnormalize
from policypress.agents.sb3.space_text import SpaceTextError, parse
from policypress.agents.sb3.tensors import read_tensors
from policypress.agents.stated_overrides import stated_overrides
from policypress.agents.zoo.config import read_zoo_config
from policypress.agents.zoo.expressions import read_expression
from policypress.agents.zoo.yaml_data import read_yaml
from policypress.engine.store.reader import StoreReader
from policypress.environments.observations import read_arrays
from policypress.measurement.certificate.episode_files import read_episodes
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.study.spec import read_spec
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.contract import Contract
from policypress_runtime.errors import PolicypressError, UndeterminedAgentError

Target = Callable[[bytes], None]
NAMED: dict[str, Any] = {"layers": "a,b,c", "activation": "elu", "squash": "none", "normalizer": "none"}
# From nothing to everything, since what is of no use is refused.
STATED: tuple[dict[str, Any], ...] = (
    {},
    {"activation": "elu"},
    {"activation": "elu", "squash": "tanh"},
    {"activation": "elu", "action_size": 3},
    {"activation": "elu", "actions": 4},
    {"normalizer": "none"},
)


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _in_file(name: str, read: Callable[[Path], object]) -> Target:
    def target(content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            read(path)

    return target


def _agent(path: Path) -> None:
    policy_from_agent(load_agent(path))


def _checkpoint(path: Path) -> None:
    """What a checkpoint leaves open is stated, as its errors ask for it."""
    for stated in STATED:
        try:
            policy_from_agent(load_agent(path, overrides=stated_overrides(**stated)))
        except UndeterminedAgentError:
            continue
        return


def _safetensors(path: Path) -> None:
    policy_from_agent(load_agent(path, overrides=stated_overrides(**NAMED)))


def _zoo(content: bytes) -> None:
    data = read_yaml(content, "config.yml")
    read_zoo_config(data, data, {})


def _space(content: bytes) -> None:
    try:
        parse(_text(content))
    except SpaceTextError:
        return


def _store(path: Path) -> None:
    store = StoreReader(path)
    try:
        store.note("spec_json")
        store.agents()
        store.cells()
    finally:
        store.close()


def _episodes(content: bytes) -> None:
    for name in ("returns.csv", "monitor.csv", "returns.npz"):
        try:
            _in_file(name, read_episodes)(content)
        except PolicypressError as error:
            if error.exit_code != 2:
                raise


TARGETS: dict[str, Target] = {
    "sb3_zip": _in_file("ppo-CartPole-v1.zip", _agent),
    "tensors": lambda content: _finite(content),
    "statistics": lambda content: void(read_vecnormalize(content, "x.pkl")),
    "zoo_yaml": _zoo,
    "expression": lambda content: void(read_expression(_text(content))),
    "space_text": _space,
    "onnx": _in_file("agent.onnx", _agent),
    "contract": lambda content: void(Contract.from_text(_text(content))),
    "c_reader": lambda content: void(read_program(content)),
    "arrays": _in_file("x.npz", lambda path: read_arrays(path)),
    "study_file": _in_file("study.yaml", lambda path: read_spec(path)),
    "store": _in_file("study.db", _store),
    "checkpoints": _in_file("model.pt", _checkpoint),
    "torchscript": _in_file("policy.pt", _agent),
    "brax": _in_file("params", _checkpoint),
    "safetensors": _in_file("net.safetensors", _safetensors),
    "episodes": _episodes,
    **WRITERS,
    **PAGES,
}
"""By name; each raises an error of ours that exits with 2, or none."""


def void(value: object) -> None:
    """Nothing of what was read is needed."""


def _finite(content: bytes) -> None:
    for array in read_tensors(content, "x").values():
        if not math.isfinite(float(abs(array).sum(dtype="f8"))):
            raise ValueError("weights that are not finite")
