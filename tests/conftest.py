"""Test-wide settings: shapes are checked at run time, one thread, reproducible property tests."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from pathlib import Path

# A shell ignores Ctrl-C for what it runs in the background, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "disable")
# Hundreds of throw-away artifacts are not worth compiling; tests of the native runtime ask for it by name.
os.environ.setdefault("POLICYPRESS_RUNTIME", "onnxruntime")

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SOURCES = sorted(ROOT.glob("packages/*/src")) + sorted(ROOT.glob("papers/*/src"))
BEGAN_S = time.monotonic()
# What tests of several folders share lies here.
sys.path.insert(0, str(TESTS))
# Before workers of pytest start, which inherit it.
importlib.import_module("kept_for_a_run").folder_of_the_run()


def _with_shapes() -> list[str]:
    """The modules that state shapes: checks of every other function would double the time of importing them."""
    return sorted(
        ".".join(path.relative_to(source).with_suffix("").parts)
        for source in SOURCES
        for path in source.rglob("*.py")
        if "from jaxtyping import" in path.read_text()
    )


install_import_hook(_with_shapes(), "beartype.beartype")

# C is compiled with its plain kernels alone, in a fraction of the time, where a test does not ask for all of them. How
# fast small networks are does not matter.
PLAIN_ALONE = importlib.import_module("kernels_here").PLAIN_ALONE
COMPILING = [importlib.import_module(f"policypress.export.{name}") for name in ("compiled_c", "footprint")]
for module in COMPILING:
    vars(module)["FLAGS"] += PLAIN_ALONE
os.environ.setdefault("CFLAGS", " ".join(("-O1", *PLAIN_ALONE)))

settings.register_profile(
    "policypress",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("policypress")


@pytest.fixture
def every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """C is compiled with all its kernels, modules with those of this processor."""
    monkeypatch.setenv("CFLAGS", "-O1")
    for module in COMPILING:
        monkeypatch.setattr(module, "FLAGS", tuple(flag for flag in module.FLAGS if flag not in PLAIN_ALONE))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=None, help="Skip what has not begun after so many minutes.")


def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = item.config.getoption("--minutes")
    if minutes is not None and time.monotonic() - BEGAN_S > 60 * minutes:
        pytest.skip(f"the {minutes:g} minutes that it may take were over")


# Where time is short, what only a whole product can break comes before the many small networks.
FIRST = (
    "test_every_agent.py",
    "train/qat/",
    "compression/test_qat.py",
    "train/test_trainer.py",
    "train/native/",
    "train/",
    "study/test_injections.py",
    "engine/",
    "cli/",
    "compression/",
    "export/",
    "runtimes/",
    "codegen/test_microcontrollers.py",
    "policy/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests stand in the order of :data:`FIRST`, all others as they were found."""

    def rank(item: pytest.Item) -> int:
        place = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
        return next((rank for rank, start in enumerate(FIRST) if place.startswith(start)), len(FIRST))

    slow = iter(sorted((item for item in items if item.get_closest_marker("slow")), key=rank))
    items[:] = [next(slow) if item.get_closest_marker("slow") else item for item in items]


@pytest.fixture(scope="session")
def shared_agents() -> Path:
    """Folder of real trained agents beside the repository; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "agents"
    if not folder.is_dir():
        pytest.skip("the folder of real agents beside the repository is absent")
    return folder


# Parallel workers must collect alike, with the folder and without it, so the names stand here.
SHARED_AGENTS = (
    "ddpg-Hopper-v4",
    "ddpg-LunarLanderContinuous-v2",
    "ddpg-Pendulum-v1",
    "dqn-CartPole-v1",
    "dqn-LunarLander-v2",
    "ppo-HalfCheetah-v3",
    "ppo-Hopper-v3",
    "ppo-LunarLander-v2",
    "sac-HalfCheetah-v3",
    "sac-Pendulum-v1",
    "td3-HalfCheetah-v4",
    "trpo-CartPole-v1",
    "trpo-HalfCheetah-v3",
)


@pytest.fixture(params=SHARED_AGENTS)
def shared_agent(request: pytest.FixtureRequest, shared_agents: Path) -> Path:
    """Every real agent's folder in turn; none is forgotten."""
    assert set(SHARED_AGENTS) == {path.parent.name for path in shared_agents.glob("*/*.zip")}
    return shared_agents / str(request.param)


@pytest.fixture(scope="session")
def own_agents() -> Path:
    """Folder of the small agents that the repository ships."""
    return ROOT / "examples" / "agents"
