"""Strips: every episode is drawn or it is said how many are, and joules are never without their source."""

from __future__ import annotations

from collections.abc import Callable

from policypress.report.interval_plots import energy, latency, memory, returns
from policypress.report.results import Results

Read = Callable[..., Results]


def test_every_episode_is_a_dot(read: Read) -> None:
    drawn = returns(read())
    assert drawn is not None
    dots = [row for rows in drawn.spec["datasets"].values() for row in rows if "told" in row]
    assert len(dots) == 12 * 5
    assert "drawn" not in drawn.meaning


def test_of_many_episodes_the_extremes_stay(read: Read) -> None:
    results = read(episodes=250, recipes=("none", "ptdq"))
    drawn = returns(results)
    assert drawn is not None
    dots = [row for rows in drawn.spec["datasets"].values() for row in rows if "told" in row]
    ptdq = [row["value"] for row in dots if row["recipe"] == "ptdq"]
    row = results.row("ptdq")
    assert row is not None
    assert len(ptdq) == 200
    assert (min(ptdq), max(ptdq)) == (min(row.returns), max(row.returns))
    assert "200 are drawn" in drawn.meaning


def test_nothing_is_drawn_of_what_was_not_measured(read: Read) -> None:
    results = read(with_costs=False, episodes=0)
    assert [draw(results) for draw in (returns, latency, memory, energy)] == [None] * 4


def test_energy_is_always_labelled(read: Read) -> None:
    drawn = energy(read())
    assert drawn is not None
    assert "modelled" in drawn.title
    assert "not measured" in drawn.meaning
    titles = [layer["encoding"]["x"]["title"] for layer in drawn.spec["layer"]]
    assert set(titles) == {"one action (modelled)"}


def test_latency_tells_the_harness_floor_and_memory_the_interpreter(read: Read) -> None:
    results = read()
    fast, small = latency(results), memory(results)
    assert fast is not None
    assert small is not None
    assert "100 ns" in fast.meaning
    assert "interpreter" in small.meaning
