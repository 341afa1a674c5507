"""Proof by pairs: observations, and the actions that the author's own code gave for them, against the policy.

What acts here must be what the author has, from the raw observation (before ``VecNormalize``) to the action that the
environment gets, as ``model.predict(observation, deterministic=True)`` gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from policypress.policy.pairs import Comparison, Pairs, apart, compare, read_pairs
from policypress.policy.policy import Policy
from policypress_runtime.contract import Checked
from policypress_runtime.errors import AgentError, NetworkError, ObservationError
from policypress_runtime.foreign_text import plain

# Of what is allowed: nearer than this is no chance.
_CLOSE = 0.1
_HINT = (
    "Observations are as the environment gives them, before VecNormalize; actions as model.predict(observation, "
    "deterministic=True) gives them. State what differs (--activation, --cnn-strides, --normalizer; of checkpoints "
    "also --squash, --action-scale, --layers); or load the model with its own code in Python and give "
    "Policy.from_module(model) to policypress; or give an ONNX file of it."
)


def check_pairs(policy: Policy, path: str | Path) -> Policy:
    """``policy`` itself, with a notice, if it acts as the pairs in the ``.npz`` at ``path`` say.

    The file holds ``observations`` (or ``obs``, ``x``; for Dict spaces ``observations.KEY``) and ``actions`` (or
    ``y``): for discrete spaces the choices, or the scores of all of them. It is not unpickled.

    Raises:
        ObservationError: it cannot be read, does not fit the policy, or proves too little.
        NetworkError: the policy acts otherwise.
    """
    pairs = read_pairs(Path(path), policy)
    found = compare(policy, pairs)
    if not found.same:
        raise _differs(pairs, found, ())
    return _accepted(policy, pairs, found, "The policy")


def first_proven(
    candidates: Iterable[tuple[str, Callable[[], Policy]]], path: str | Path, own: tuple[str, ...]
) -> Policy:
    """The candidate that acts as the pairs say, told in a notice.

    Args:
        candidates: policies that the agent's tensors may stand for, in words and made when needed; the likeliest first.
        path: the pairs.
        own: what of the agent is its author's own code.

    Raises:
        ObservationError: as :func:`check_pairs`; or the pairs do not tell two candidates apart.
        NetworkError: none acts so.
    """
    pairs: Pairs | None = None
    tried: list[tuple[str, Comparison]] = []
    refused: list[AgentError | NetworkError] = []
    passed: list[tuple[str, Comparison, Policy]] = []
    for words, make in candidates:
        try:
            policy = make()
        except (AgentError, NetworkError) as error:
            refused.append(error)
            continue
        pairs = pairs or read_pairs(Path(path), policy)
        found = compare(policy, pairs)
        tried.append((words, found))
        if found.same:
            passed.append((words, found, policy))
            # Numbers that agree are proof; choices may agree by chance.
            if found.worst < _CLOSE and not found.by_choice:
                break
    if pairs is None:
        raise refused[0]
    if not passed:
        raise _differs(pairs, tried[0][1], [words for words, _ in tried])
    words, best, policy = min(passed, key=lambda item: item[1].worst)
    others = [other for other, found, _ in passed if best.by_choice and apart(best, found)]
    if others:
        raise ObservationError(
            f"The choices in {pairs.name} do not determine which network the custom code creates.",
            got=f"{pairs.rows} choices that are those of {', '.join([words, *others][:6])}",
            expected="choices that one of them alone makes, or the scores of every choice",
            hint="Give the scores as actions, or more observations; or state --activation.",
        )
    return _accepted(policy, pairs, best, f"{'; '.join(own)}: custom code, read as {words}; that")


def _accepted(policy: Policy, pairs: Pairs, found: Comparison, subject: str) -> Policy:
    """``policy``, whose contract and notices say by what it was accepted."""
    same = "the same choices" if found.by_choice else f"largest difference {found.worst:.2g} of what is allowed"
    notice = (
        f"{subject} gives the actions of {pairs.name} ({pairs.rows} observations), compared before anything is "
        f"written: {same}"
    )
    worst = 0.0 if found.by_choice else found.worst
    checked = Checked(plain(pairs.name), pairs.sha256, pairs.rows, float(worst), found.by_choice)
    policy.origin = replace(policy.origin, notices=(*policy.origin.notices, notice), checked=checked)
    return policy


def _differs(pairs: Pairs, found: Comparison, tried: Iterable[str]) -> NetworkError:
    names = list(tried)
    words = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return NetworkError(
        f"The network that is read does not compute the actions in {pairs.name}.",
        got=f"row {found.row}: {found.got} ({found.differing} of {pairs.rows} rows differ)"
        + (f"; tried {words}" if words else ""),
        expected=found.expected,
        hint=_HINT,
    )
