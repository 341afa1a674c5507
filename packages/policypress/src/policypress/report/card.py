"""``README.md`` of an output folder: a model card, as hubs of models read it, of what is deployed there."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from html import escape
from pathlib import Path

import policypress
from policypress.measurement.certificate.words import assumed, certain
from policypress.report import words
from policypress.report.quantities import percent, size, times
from policypress.report.recipe_results import RecipeResult
from policypress.report.results import Results
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.foreign_text import plain

CARD_NAME = "README.md"
OURS = "# Written by policypress, which replaces it when the folder changes."
_MARKDOWN = re.compile(r"([\\`*_\[\]|#!~])")


def write_card(results: Results, folder: Path, typed: Sequence[str]) -> None:
    """Write the card of the winner, or take an earlier one away where nothing is deployed.

    A ``README.md`` that is not ours is never touched.

    Args:
        results: of the folder.
        folder: that holds ``policy.onnx``.
        typed: what one types there to deploy it.
    """
    path = folder / CARD_NAME
    if path.is_symlink() or (path.exists() and OURS not in path.read_bytes()[:400].decode(errors="replace")):
        return
    text = card(results, typed)
    if text is None:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_text() != text:
        write_atomic(path, text.encode())


def card(results: Results, typed: Sequence[str]) -> str | None:
    """The card, or None where nothing has won. Text that comes from files is quoted."""
    winner, base = results.winner, results.baseline.artifact
    if winner is None or winner.artifact is None or base is None or not typed:
        return None
    smaller = times(base.packed_bytes / winner.artifact.packed_bytes)
    body = [
        f"# {_text(_subject(results))}, {smaller} smaller",
        "A policy for reinforcement learning, compressed by policypress "
        f"{_text(policypress.__version__)} with the recipe {_code(winner.name)}: {size(winner.artifact.packed_bytes)} "
        f"of weights in place of {size(base.packed_bytes)}. It takes the raw observation of the environment and gives "
        "the action that it expects.",
        "## What is certain\n\n" + "\n\n".join(map(_text, _certificate(results))),
        "## How to run it\n\n```\n" + "\n".join(plain(line).replace("```", "'''") for line in typed) + "\n```",
        "`policy.onnx` needs no other file: its contract (names, shapes, bounds, what is computed inside and what the "
        "caller supplies) is in it, and readable in `policy.onnx.json`. `results.json` and `report.html` have every "
        "candidate and every episode.",
        "## Licence\n\nThe weights were made from those of the agent, whose licence holds for them. State it in the "
        "first lines of this file before you publish it.",
    ]
    return f"---\n{OURS}\n{_front_matter(results, winner)}---\n\n" + "\n\n".join(body) + "\n"


def _subject(results: Results) -> str:
    algorithm = "a policy" if results.agent is None else results.agent.algorithm.upper()
    where = "" if results.environment is None else f" on {results.environment.id}"
    return f"{algorithm}{where}"


def _certificate(results: Results) -> list[str]:
    """What is certified and assumed; of recipes that were asked for, what was measured."""
    found = None if results.search is None else results.search.certificate
    if found is not None:
        return [certain(found), assumed(found), *words.caution(results)[-1:]]
    winner = results.winner
    kept = None if winner is None else getattr(winner.retention, "estimate", None)
    told = "" if kept is None else f" It kept {percent(kept)} of the return above random actions in the episodes."
    return [f"Nothing is certified: recipes were asked for, and measured on the same seeds.{told}"]


def _front_matter(results: Results, winner: RecipeResult) -> str:
    """What a hub reads; a mean and a deviation of the returns where there are any, as its own cards have it."""
    tags = ["reinforcement-learning", "deep-reinforcement-learning", "onnx"]
    lines = ["library_name: policypress", "license: other", "pipeline_tag: reinforcement-learning"]
    returns = _returns(results, winner)
    if results.environment is None:
        return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags)]) + "\n"
    environment = _quoted(results.environment.id)
    lines += ["tags:", *(f"- {tag}" for tag in tags), f"- {environment}"]
    if len(returns) > 1:
        value = f"{statistics.fmean(returns):.2f} +/- {statistics.stdev(returns):.2f}"
        lines += [
            "model-index:",
            f"- name: {_quoted(_subject(results))}",
            "  results:",
            "  - task:",
            "      type: reinforcement-learning",
            "      name: reinforcement-learning",
            "    dataset:",
            f"      name: {environment}",
            f"      type: {environment}",
            "    metrics:",
            "    - type: mean_reward",
            f"      value: {_quoted(value)}",
            "      name: mean_reward",
            "      verified: false",
        ]
    return "\n".join(lines) + "\n"


def _returns(results: Results, winner: RecipeResult) -> Sequence[float]:
    """Of the held-out episodes of the certificate, or those that were played."""
    won = None if results.search is None else results.search.won
    return winner.returns if won is None else won.returns


def _quoted(text: str) -> str:
    """A text of YAML on one line."""
    return json.dumps(plain(text), ensure_ascii=False)


def _text(text: str) -> str:
    r"""A text in Markdown that can neither link, load nor format anything.

    >>> _text("![x](http://y) <b>")
    '\\!\\[x\\](http://y) &lt;b&gt;'
    """
    return _MARKDOWN.sub(r"\\\1", escape(plain(text, 2000), quote=False))


def _code(text: str) -> str:
    return "`" + plain(text).replace("`", "'") + "`"
