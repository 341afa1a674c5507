"""Agents of the Hub, out of a cache laid out as huggingface_hub does, without a network."""

from __future__ import annotations

import builtins
import hashlib
from pathlib import Path
from typing import Any

import pytest

from policypress.agents.hub import read_hub
from policypress.agents.loading import load_agent
from policypress_runtime.errors import AgentError, MissingDependencyError

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a client that may not use the network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    return folder


def put(cache: Path, repository: str, files: dict[str, bytes]) -> None:
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / REVISION
    for name, content in files.items():
        blob = root / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text(REVISION)


def test_repository_as_the_zoo_pushes_it(build: Any, cache: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "discrete")
    files = {
        "ppo-CartPole-v1.zip": saved.path.read_bytes(),
        "train_eval_metrics.zip": b"no agent",
        "args.yml": b"algo: ppo\nenv: CartPole-v1\n",
        "config.yml": b"policy: MlpPolicy\nnormalize: false\n",
        "env_kwargs.yml": b"render_mode: rgb_array\n",
        "README.md": b"",
        "ppo-CartPole-v1/data": b"{}",
    }
    put(cache, "sb3/ppo-CartPole-v1", files)
    for source in ("hub:sb3/ppo-CartPole-v1", f"hub:sb3/ppo-CartPole-v1@{REVISION}"):
        bundle = load_agent(source)
        assert bundle.algorithm == "ppo"
        assert bundle.environment is not None
        assert (bundle.environment.id, bundle.environment.kwargs) == ("CartPole-v1", ())
        assert bundle.provenance.source == f"hub:sb3/ppo-CartPole-v1@{REVISION}"
        assert bundle.provenance.sha256 == hashlib.sha256(files["ppo-CartPole-v1.zip"]).hexdigest()


def test_repository_with_nothing_but_a_zip(build: Any, cache: Path) -> None:
    saved = build("SAC", "MlpPolicy", "vector", "box")
    put(cache, "someone/my_agent", {"sac-Pendulum-v1.zip": saved.path.read_bytes()})
    bundle = read_hub("hub:someone/my_agent")
    assert bundle.environment is not None
    assert bundle.environment.id == "Pendulum-v1"


def test_repository_that_is_not_cached(cache: Path) -> None:
    with pytest.raises(AgentError, match="sb3/absent"):
        read_hub("hub:sb3/absent")


@pytest.mark.parametrize("source", ["hub:", "hub:name", "hub:a/b/c", "hub:../x", "hub:a/b@", "hub:a/ b"])
def test_ids_that_are_none(source: str) -> None:
    with pytest.raises(AgentError, match="not the id"):
        read_hub(source)


def test_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"policypress\[hub\]"):
        read_hub("hub:sb3/ppo-CartPole-v1")
