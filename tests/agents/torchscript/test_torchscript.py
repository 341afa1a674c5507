"""TorchScript files are followed as text: what the module does is what the policy does, and nothing of it runs."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policypress.agents.loading import load_agent
from policypress.agents.stated_overrides import stated_overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.contract import Discrete
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError, UnsupportedAgentError

ROWS = torch.randn(64, 6, generator=torch.Generator().manual_seed(1)) * 3

# torch says of torch.jit that it is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Normalised(nn.Module):
    """As the exporters of rsl_rl write it: statistics in buffers, then the actor."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(1, 6))
        self.register_buffer("std", torch.rand(1, 6) + 0.5)
        self.eps = 0.01
        self.actor = nn.Sequential(nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x + 1
        return torch.clamp(self.actor((x - self.mean) / (self.std + self.eps)), -100.0, 100.0)


class Scaled(nn.Module):
    """tanh on the action, times a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.SiLU(), nn.Dropout(0.5), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return 2.0 * torch.tanh(self.body(x)) - 0.5


def _net(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), activation, nn.Linear(8, 8), activation, nn.Linear(8, 3))


KINDS = (nn.ELU, nn.ReLU, nn.Tanh, nn.SiLU, nn.Sigmoid, nn.LeakyReLU, nn.GELU, nn.SELU, nn.Softplus, nn.Mish)
NETS: dict[str, Callable[[], nn.Module]] = {
    "normalised": Normalised,
    "scaled": Scaled,
    **{
        kind.__name__: lambda kind=kind: _net(kind())  # type: ignore[misc]
        for kind in (
            nn.ELU,
            nn.ReLU,
            nn.Tanh,
            nn.SiLU,
            nn.Sigmoid,
            nn.LeakyReLU,
            nn.GELU,
            nn.SELU,
            nn.Softplus,
            nn.Mish,
        )
    },
}


def _saved(module: nn.Module, path: Path, *, traced: bool) -> Path:
    module.eval()
    script = torch.jit.trace(module, ROWS) if traced else torch.jit.script(module)
    torch.jit.save(script, str(path))
    return path


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_a_script_acts_as_its_module(name: str, traced: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = NETS[name]()
    policy = policy_from_agent(load_agent(_saved(module, tmp_path / "p.pt", traced=traced)))
    with torch.no_grad():
        got, expected = policy(ROWS), module(ROWS)
    assert bool(((got - expected).abs() <= 1e-5 * (1 + expected.abs())).all())


class Remembers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hidden", torch.zeros(1, 6))
        self.actor = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.hidden = self.hidden + x
        return self.actor(self.hidden)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 0):
            return self.actor(x)
        return self.actor(-x)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Linear(6, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.actor(x + y)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(self.actor(x), 1)


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.memory(x)[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Remembers, "memory"),
        (Branches, "torch.|control flow"),
        (Two, "2 inputs"),
        (Odd, "torch.cumsum"),
        (Lstm, "Lstm"),
    ],
)
def test_what_is_not_followed_is_named_with_the_ways_on(make: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedAgentError, match=words) as refused:
        load_agent(_saved(make(), tmp_path / "p.pt", traced=False))
    assert "Policy.from_module" in str(refused.value.hint)
    assert "torch.onnx.export" in str(refused.value.hint)


def test_what_is_stated_of_a_script_is_used_or_refused(tmp_path: Path) -> None:
    path = _saved(_net(nn.ELU()), tmp_path / "p.pt", traced=False)
    assert load_agent(path, overrides=stated_overrides(actions=3)).action_space == Discrete(3)
    bare = policy_from_agent(load_agent(path))(ROWS)
    scaled = policy_from_agent(load_agent(path, overrides=stated_overrides(action_scale="0.25")))(ROWS)
    assert torch.allclose(bare * 0.25, scaled)
    for stated in ({"activation": "elu"}, {"squash": "tanh"}, {"layers": "0,2"}, {"action_size": 3}):
        with pytest.raises(AgentError, match="--"):
            load_agent(path, overrides=stated_overrides(**stated))  # type: ignore[arg-type]


def _changed(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


class Runs:
    """Unpickling it creates a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return _saved(_net(nn.ELU()), tmp_path / "p.pt", traced=False)


def test_code_in_its_pickles_never_runs(script: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pickle.dump(Runs(tmp_path / "ran"), buffer, protocol=2)
    _changed(script, lambda name, old: buffer.getvalue() if name.endswith("/data.pkl") else old)
    with pytest.raises(UnsafeAgentError, match="mkdir"):
        load_agent(script)
    assert not (tmp_path / "ran").exists()


HEAD = b"  def forward(self, input: Tensor) -> Tensor:\n"


@pytest.mark.parametrize(
    "body",
    [
        b"    return ops.mine.evil(input, )\n",
        b"    return __import__('os').mkdir('ran')\n",
        b"    return open('ran', 'w')\n",
        b"    return (self).forward(input, )\n",
        b"    return input.__class__\n",
        b"    x = [a for a in (1, 2)]\n    return x\n",
        b"    return torch.zeros([100000, 100000])\n",
        b"    return " + b"(" * 5000 + b"input" + b")" * 5000 + b"\n",
        b"    while True:\n      pass\n    return input\n",
        b"    return \xff\n",
        b"    return 9 ** 9 ** 9\n",
        b"    x = 3\n" + b"    x = torch.mul(x, x)\n" * 200 + b"    return torch.add(input, x)\n",
        b"    return torch.add(input, torch.div(1, 0))\n",
        b"    w = (getattr(self, '0')).weight\n"
        + b"    w = torch.mul(torch.unsqueeze(w, 0), torch.unsqueeze(torch.unsqueeze(w, 2), 3))\n" * 6
        + b"    return torch.add(input, w)\n",
        b"    x = input\n" + b"    x = torch.relu(x)\n" * 1500 + b"    return x\n",
    ],
)
def test_code_that_does_something_else_is_refused_and_not_run(
    body: bytes, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def change(name: str, old: bytes) -> bytes:
        return b"class Sequential(Module):\n" + HEAD + body if "/container" in name and name.endswith(".py") else old

    _changed(script, change)
    with pytest.raises(AgentError):
        load_agent(script)
    assert not (tmp_path / "ran").exists()


def test_storages_that_are_too_short_or_not_finite(script: Path) -> None:
    _changed(script, lambda name, old: b"\0" * 4 if "/data/0" in name else old)
    with pytest.raises(DamagedAgentError):
        load_agent(script)


def test_every_truncation_is_an_error(script: Path) -> None:
    whole = script.read_bytes()
    for end in range(1, len(whole) - 1, len(whole) // 30):
        script.write_bytes(whole[:end])
        with pytest.raises(AgentError):
            load_agent(script)


ROBOTS = Path(__file__).resolve().parents[4] / "shared" / "robots"
SHARED = (
    "booster_torchscript/T1",
    "booster_torchscript/k1_fight_001",
    "rl_sar_go2_torchscript/policy",
    "legged_ros2_go2_pair/policy",
    "walk_these_ways_adaptation/adaptation_module_latest",
    "made_here/rsl_rl_5.5.1_mlp/policy",
)
MEMORIES = ("unitree_g1_lstm/motion", "made_here/rsl_rl_5.5.1_lstm/policy", "made_here/rsl_rl_5.5.1_gru/policy")


@pytest.mark.shared
@pytest.mark.parametrize("name", SHARED)
def test_a_robots_script_acts_as_torch_runs_it(name: str) -> None:
    if not ROBOTS.is_dir():
        pytest.skip("the folder of real robots' policies beside the repository is absent")
    path = next(found for end in (".pt", ".jit") if (found := ROBOTS / (name + end)).is_file())
    check = ROBOTS / f"{name}.check.npz"
    policy = policy_from_agent(load_agent(path, overrides=stated_overrides(check=check)))
    with np.load(check) as stored:
        observations, expected = stored["x"].astype(np.float32), stored["y"]
    with torch.no_grad():
        got = policy(torch.from_numpy(observations)).numpy()
    # Two float32 evaluations; walk-these-ways reaches thousands on these observations.
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-5 * (1 + np.abs(expected).max()))


@pytest.mark.shared
@pytest.mark.parametrize("name", MEMORIES)
def test_a_robots_memory_is_called_so(name: str) -> None:
    if not ROBOTS.is_dir():
        pytest.skip("the folder of real robots' policies beside the repository is absent")
    with pytest.raises(UnsupportedAgentError, match="memory"):
        load_agent(ROBOTS / f"{name}.pt")
