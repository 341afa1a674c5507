"""The error tree: what the docstring draws is what there is; every error keeps its fields."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress_runtime import errors
from policypress_runtime.errors import AgentError, InputError, ParityError, PolicypressError, UnusableCompilerError

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, PolicypressError)]
TEXT = st.none() | st.text("ab é\x1f", max_size=20)


def drawn() -> dict[str, str]:
    """Name of each class in the docstring's tree, and of the one above it."""
    assert errors.__doc__ is not None
    above: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^([\s│├└─]*)([A-Z]\w+Error)\b", line)
        if match is None:
            continue
        depth = len(match[1])
        while stack and stack[-1][0] >= depth:
            stack.pop()
        above[match[2]] = stack[-1][1] if stack else "Exception"
        stack.append((depth, match[2]))
    return above


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert drawn() == {c.__name__: c.__base__.__name__ for c in CLASSES if c.__base__ is not None}
    assert len(CLASSES) > 15


@pytest.mark.parametrize("kind", CLASSES)
@given(got=TEXT, expected=TEXT, hint=TEXT)
def test_errors_survive_pickling(
    kind: type[PolicypressError], got: str | None, expected: str | None, hint: str | None
) -> None:
    error = kind("What happened.", got=got, expected=expected, hint=hint)
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is kind
        assert (again.message, again.got, again.expected, again.hint) == ("What happened.", got, expected, hint)
        assert str(again) == str(error)


def test_message() -> None:
    error = AgentError("It cannot be read.", got="3 bytes", expected="a zip", hint="Get it again.")
    assert str(error) == "It cannot be read.\n  got: 3 bytes\n  expected: a zip\n  what to do: Get it again."
    assert str(AgentError("It cannot be read.")) == "It cannot be read."
    assert str(AgentError("Empty.", got="")) == "Empty.\n  got: "


@pytest.mark.parametrize("kind", CLASSES)
def test_exit_codes(kind: type[PolicypressError]) -> None:
    # What CC and CFLAGS say is the user's as well.
    assert kind.exit_code == (2 if issubclass(kind, InputError | UnusableCompilerError) else 1)
    assert kind.__doc__


def test_a_wrong_file_of_ours_is_not_the_user_s_input() -> None:
    assert not issubclass(ParityError, InputError)
