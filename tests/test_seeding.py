"""Named streams: the same for the same names, unrelated for others, and longer lists extend shorter ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from policypress.seeding import CALIBRATION, CERTIFICATION, EVALUATION, PARITY, episode_seeds, generator

SEEDS = st.integers(-(2**63), 2**63)
NAMES = st.lists(st.text("ab é\x1f", max_size=8) | st.integers(-99, 99), max_size=3)


@given(seed=SEEDS, names=NAMES)
def test_a_stream_depends_on_seed_and_names_alone(seed: int, names: list[str | int]) -> None:
    first = generator(seed, *names).random(5)
    generator(seed, "other").random(100)
    np.testing.assert_array_equal(generator(seed, *names).random(5), first)
    assert not np.array_equal(generator(seed, *names, "x").random(5), first)
    assert not np.array_equal(generator(seed + 1, *names).random(5), first)


def test_names_do_not_run_together() -> None:
    streams = [
        generator(0, "a", "b"),
        generator(0, "ab"),
        generator(0, "a", "b", ""),
        generator(0, "b", "a"),
        generator(0),
    ]
    drawn = {tuple(stream.integers(2**62, size=2).tolist()) for stream in streams}
    assert len(drawn) == len(streams)


@given(seed=SEEDS, purpose=st.text("ab é\x1f", max_size=8), short=st.integers(0, 20), more=st.integers(0, 20))
def test_longer_lists_start_with_the_shorter(seed: int, purpose: str, short: int, more: int) -> None:
    seeds = episode_seeds(seed, purpose, short + more)
    assert seeds[:short] == episode_seeds(seed, purpose, short)
    assert len(set(seeds)) == len(seeds) == short + more
    assert all(isinstance(s, int) and 0 <= s < 2**31 for s in seeds)


def test_purposes_share_no_seed() -> None:
    lists = [set(episode_seeds(0, p, 500)) for p in (EVALUATION, CALIBRATION, PARITY, CERTIFICATION)]
    assert len(set().union(*lists)) == 2000


def test_the_numbers_are_fixed_for_ever() -> None:
    """Stored studies name episodes by these seeds: a change orphans them."""
    assert episode_seeds(0, EVALUATION, 3) == (1984526302, 513723243, 1188204416)


def test_the_same_in_another_process() -> None:
    code = "from policypress.seeding import episode_seeds; print(*episode_seeds(7, 'x', 5))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert tuple(map(int, done.stdout.split())) == episode_seeds(7, "x", 5)
