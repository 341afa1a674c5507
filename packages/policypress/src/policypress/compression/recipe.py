"""Recipes: what is done to a policy, as a frozen list of steps.

Text form, for the command line and file names: ``prune(l2, 0.5) > equalize > int8``; the empty recipe is
``none``. An argument is a number, a name, or a list of integers: ``hidden=[64,64]``. JSON form with a version. The
hash identifies the recipe.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from itertools import pairwise
from typing import Any

from policypress.compression.registry import STEPS
from policypress.compression.step import Stage, Step
from policypress_runtime.errors import RecipeError

RECIPE_VERSION = 1
NONE = "none"
_STEP = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\((.*)\))?\s*$", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$")
# A comma that no bracket closes behind, but for one that opens behind it too.
_BETWEEN_ARGUMENTS = re.compile(r",(?![^\[\]]*\])")


@dataclass(frozen=True)
class Recipe:
    """A frozen list of steps, in the order of their stages.

    Raises:
        RecipeError: a step is out of order.
    """

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        numeric = [step for step in self.steps if step.stage >= Stage.QUANTIZATION]
        if len(numeric) > 1:
            raise RecipeError(
                "A recipe can quantize only once.",
                got=" and ".join(step.name for step in numeric),
                expected="one step of quantization or lowering",
            )
        for before, after in pairwise(self.steps):
            if after.stage < before.stage:
                raise RecipeError(
                    f"The step {after.name} cannot follow {before.name}.",
                    got=self.text,
                    expected=" → ".join(stage.name.lower() for stage in Stage) + " (lowering ends a recipe)",
                    hint=_reordered(self.steps),
                )

    @staticmethod
    def parse(text: str) -> Recipe:
        """Recipe from its text form.

        >>> Recipe.parse("equalize>int8").text
        'equalize > int8'

        Raises:
            RecipeError: unknown step, wrong parameter, or steps out of order.
        """
        if text.strip() in ("", NONE):
            return Recipe()
        return Recipe(tuple(_parse_step(part, text) for part in text.split(">")))

    @property
    def text(self) -> str:
        """Canonical text form."""
        return " > ".join(step.text() for step in self.steps) or NONE

    def __repr__(self) -> str:
        return f"Recipe.parse({self.text!r})"

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that identify the recipe; stable across processes and versions."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def slug(self) -> str:
        """The text form as a file name."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", self.text).strip("-")

    @property
    def versions(self) -> dict[str, int]:
        """Version of every method used; part of a cell's key."""
        return {step.name: step.version for step in self.steps}

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "version": RECIPE_VERSION,
            "steps": [
                {"step": step.name, **{key: _json(value) for key, value in step.identity().items()}}
                for step in self.steps
            ],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Recipe:
        """Inverse of :meth:`to_json`.

        Raises:
            RecipeError: another version, an unknown step, or a wrong parameter.
        """
        if data.get("version") != RECIPE_VERSION:
            raise RecipeError(
                "The recipe has an unsupported version.", got=repr(data.get("version")), expected=str(RECIPE_VERSION)
            )
        entries = data.get("steps")
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise RecipeError("The recipe has no steps.", got=repr(entries), expected='a list of {"step": name, ...}')
        steps: list[Step] = []
        for entry in entries:
            arguments = {key: value for key, value in entry.items() if key != "step"}
            kind = _step_class(str(entry.get("step")), json.dumps(entry))
            steps.append(_construct(kind, (), arguments, json.dumps(entry)))
        return Recipe(tuple(steps))


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _reordered(steps: tuple[Step, ...]) -> str:
    ordered = sorted(steps, key=lambda step: step.stage)
    return "try " + " > ".join(step.text() for step in ordered)


def _parse_step(part: str, whole: str) -> Step:
    match = _STEP.match(part)
    if match is None:
        raise RecipeError(
            "A step of the recipe cannot be parsed.",
            got=f"{part.strip()!r} in {whole!r}",
            expected="name or name(argument, key=value), joined by >",
        )
    kind = _step_class(match[1], whole)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    listed = (match[2] or "").strip()
    for argument in (a.strip() for a in _BETWEEN_ARGUMENTS.split(listed)) if listed else ():
        key, separator, value = (word.strip() for word in argument.rpartition("="))
        if separator and key in named:
            raise RecipeError("An argument is given twice.", got=part.strip(), expected=f"one {key}")
        if separator:
            named[key] = _value(value, part, whole)
        elif named:
            raise RecipeError(
                "A positional argument follows a named one.", got=part.strip(), expected="name(argument, key=value)"
            )
        else:
            positional.append(_value(argument, part, whole))
    return _construct(kind, tuple(positional), named, part.strip())


def _value(text: str, part: str, whole: str) -> Any:
    if _NUMBER.match(text):
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        return text
    if text.startswith("[") and text.endswith("]"):
        inside = text[1:-1].strip()
        entries = [entry.strip() for entry in inside.split(",")] if inside else []
        if all(_NUMBER.match(entry) for entry in entries):
            return [_value(entry, part, whole) for entry in entries]
    raise RecipeError(
        "An argument of the recipe cannot be parsed.",
        got=f"{text!r} in {whole!r}",
        expected="a number or a name, or a list of numbers such as [64,64]",
        hint=f"Look at {part.strip()!r}.",
    )


def _step_class(name: str, whole: str) -> type[Step]:
    if name in STEPS:
        return STEPS[name]
    near = difflib.get_close_matches(name, STEPS, n=1)
    raise RecipeError(
        "Unknown step in the recipe.",
        got=f"{name!r} in {whole!r}",
        expected=", ".join(sorted(STEPS)),
        hint=f"Did you mean {near[0]!r}?" if near else None,
    )


def _construct(kind: type[Step], positional: tuple[Any, ...], named: Mapping[str, Any], part: str) -> Step:
    parameters = fields(kind)  # type: ignore[arg-type]
    known = [f.name for f in parameters]
    places = [f.name for f in parameters if f.metadata.get("positional")]
    signature = f"{kind.name}({', '.join([*places, *(f'{n}=…' for n in known if n not in places)])})"
    arguments = {**dict(zip(places, positional, strict=False)), **named}
    missing = [f.name for f in parameters if f.default is MISSING and f.name not in arguments]
    unknown = [name for name in arguments if name not in known]
    if len(positional) > len(places) or missing or unknown or set(places[: len(positional)]) & set(named):
        raise RecipeError(f"The arguments of {kind.name} do not fit.", got=part, expected=signature)
    return kind(**{f.name: _typed(kind, f, arguments[f.name]) for f in parameters if f.name in arguments})


_EXPECTED = {
    "float": "a number",
    "int": "an integer",
    "str": "a name",
    "tuple[int, ...]": "a list of integers, e.g. [64,64]",
}


def _typed(kind: type[Step], parameter: Field[Any], value: Any) -> Any:
    """``value`` as the number, the name or the list of integers that ``parameter`` is.

    Raises:
        RecipeError: it is another of these, or an integer is wanted.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # A type is text where a file has `from __future__ import annotations`.
    annotated = parameter.type if isinstance(parameter.type, str) else inspect.formatannotation(parameter.type)
    match annotated:
        case "float" if number:
            return float(value)
        case "int" if number and isinstance(value, int):
            return value
        case "str" if isinstance(value, str):
            return value
        case "tuple[int, ...]" if isinstance(value, list) and all(type(entry) is int for entry in value):
            return tuple(value)
    expected = _EXPECTED[annotated]
    raise RecipeError(f"{kind.name} cannot use this {parameter.name}.", got=repr(value), expected=expected)
