"""The wall behind the readers: memory, time and depth end a read with one error, and nothing stays limited."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
import threading

import pytest

from policypress_runtime import reading_limits
from policypress_runtime.errors import ArtifactError, DamagedAgentError
from policypress_runtime.reading_limits import limited, parsed_json, shown

BEFORE = """
import resource, signal
from policypress_runtime import reading_limits
from policypress_runtime.reading_limits import limited
from policypress_runtime.errors import PolicypressError
limits = resource.getrlimit(resource.RLIMIT_DATA)
try:
    with limited("It", cpu_s=CPU):
        BODY
except PolicypressError as error:
    print("GOT", error.got)
assert resource.getrlimit(resource.RLIMIT_DATA) == limits
assert signal.getsignal(signal.SIGPROF) is signal.SIG_DFL
assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def read(body: str, cpu_s: float = 30.0) -> tuple[str, int]:
    """What a read of ``body`` is told in a process of its own, and how much memory it took, MiB."""
    code = BEFORE.replace("BODY", body).replace("CPU", str(cpu_s))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout, int(run.stdout.split("PEAK ")[1])


@pytest.mark.parametrize(
    "body",
    [
        "bytearray(6 * 2**30)",
        "x = []\n        while True: x.append(bytes(10**6))",
        "import numpy; numpy.ones(2**31)",
        "import torch; x = torch.ones(2**29)",
        "x = [0] * 10**6\n        while True: x = x + x",
    ],
)
def test_memory(body: str) -> None:
    told, peak_mib = read(body)
    assert "GOT more memory than such a file should need" in told
    assert peak_mib < 1500


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "while True:\n            try: sum(range(1000))\n            except Exception: pass",
        "import re; re.match('(a+)+b', 'a' * 60)",
    ],
)
def test_time(body: str) -> None:
    assert "GOT more than 1 seconds" in read(body, 1.0)[0]


def test_depth_and_range() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ArtifactError, match="nesting"), limited("It", error=ArtifactError):
        repr(deep)
    with pytest.raises(DamagedAgentError, match=r"It cannot be read[\s\S]*out of range"), limited("It"):
        float(10**400)


def test_other_errors_pass_and_nothing_stays() -> None:
    for kind in (ValueError, RuntimeError, DamagedAgentError):
        with pytest.raises(kind, match="mine"), limited("It"), limited("inside"):
            raise kind("mine")
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.getrlimit(resource.RLIMIT_DATA)[0]


def test_a_thread_beside_is_not_limited() -> None:
    """The limit is the whole process's: where others work beside, only what readers count holds."""
    seen: list[tuple[int, int]] = []

    def beside() -> None:
        with limited("It"):
            seen.append(resource.getrlimit(resource.RLIMIT_DATA))

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    assert seen == [resource.getrlimit(resource.RLIMIT_DATA)]


def test_a_profiler_keeps_its_alarm() -> None:
    mine = signal.signal(signal.SIGPROF, lambda *_: None)
    try:
        with limited("It"):
            assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGPROF, mine)


def test_json_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed_json('{"a": [1, 2.5, null]}') == parsed_json(b'{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="more than 5"):
        parsed_json("[1, 2]", limit_bytes=5)
    with pytest.raises(ValueError, match="nested"):
        parsed_json("[" * 100_000)
    with pytest.raises(json.JSONDecodeError):
        parsed_json("{")
    monkeypatch.setattr(reading_limits, "MAX_JSON_MARKS", 10)
    with pytest.raises(ValueError, match="11 values"):
        parsed_json(b"[" + b"[]," * 5 + b"0]")


def test_shown_is_short_for_anything() -> None:
    laughs: object = ["ha"]
    for _ in range(100):
        laughs = [laughs] * 10
    endless: list[object] = []
    endless.append(endless)
    for value in (laughs, endless, 10**100_000, -(10**5000), {"a": laughs}, "x" * 10**7, b"y" * 10**7):
        assert len(shown(value)) <= 120
    assert shown(10**5000) == "an integer of 16610 bits"
    assert re.fullmatch(r"\{'a': \[1, 2\]\}", shown({"a": [1, 2]}))
