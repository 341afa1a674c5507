"""Facts in an artifact's contract: what was measured, what was compared, and what the file before it says.

Each is plain data that compares by value, with a reader that refuses what is not valid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policypress_runtime import contract_schema as schema
from policypress_runtime.foreign_text import is_plain, plain_lines
from policypress_runtime.space import NAME_LENGTH, Json

_QUANTITY = ("mean", "lower", "upper", "confidence")
# Of another program's metadata: names of a robot's joints take a few hundred characters.
MAX_ENTRIES = 200
MAX_VALUE = 10_000
MAX_METADATA = 100_000
# What policypress writes itself begins with one of these.
_OWN = ("policypress.", "policypress_runtime.")


@dataclass(frozen=True)
class Quantity:
    """A measured mean with its confidence interval, e.g. the return over ``count`` episodes."""

    mean: float
    lower: float
    upper: float
    confidence: float
    count: int


@dataclass(frozen=True)
class Checked:
    """That a network was accepted because it gives the actions of the author's own code for some observations.

    Args:
        file: name of the file of observations and actions.
        sha256: of that file.
        pairs: how many.
        worst: largest difference, as a share of what is allowed; 0 where choices were compared, which all agree.
        by_choice: choices were compared, which other networks may make too, and not numbers.
    """

    file: str
    sha256: str
    pairs: int
    worst: float
    by_choice: bool = False

    def in_words(self) -> str:
        """What was compared, and how near it was.

        >>> Checked("pairs.npz", "0" * 64, 64, 0.031).in_words()
        '64 pairs of pairs.npz, largest difference 0.031 of what is allowed'
        """
        same = "the same choices" if self.by_choice else f"largest difference {self.worst:.2g} of what is allowed"
        return f"{self.pairs} pairs of {self.file}, {same}"


@dataclass(frozen=True)
class SourceNames:
    """What the ONNX file that an artifact was made from calls its parts, and says beside its network.

    Args:
        inputs: names of its inputs, in the order of the artifact's.
        output: name of the output that became the action, or the scores.
        metadata: its ``metadata_props``, e.g. a robot's ``joint_names`` and ``action_scale``, by key, as they are.
    """

    inputs: tuple[str, ...]
    output: str
    metadata: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> Json:
        """JSON form."""
        return {"inputs": list(self.inputs), "output": self.output, "metadata": dict(self.metadata)}


def kept_metadata(entries: Iterable[tuple[str, str]]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    r"""Another program's metadata that a contract can hold, and the keys of what it cannot.

    Left out are repeated keys, what would steer a terminal, and what is too long. What policypress itself writes is
    neither.

    >>> kept_metadata([("joint_names", "hip,knee"), ("x", "\x1b[2J")])
    ((('joint_names', 'hip,knee'),), ('x',))
    """
    kept: dict[str, str] = {}
    left: list[str] = []
    room = MAX_METADATA
    for key, value in entries:
        if key.startswith(_OWN):
            continue
        fits = _is_key(key) and _is_value(value) and key not in kept
        if fits and len(kept) < MAX_ENTRIES and len(key) + len(value) <= room:
            kept[key] = value
            room -= len(key) + len(value)
        else:
            left.append(key)
    return tuple(sorted(kept.items())), tuple(left)


def _is_key(key: str) -> bool:
    return 0 < len(key) <= NAME_LENGTH and is_plain(key)


def _is_value(value: str) -> bool:
    return len(value) <= MAX_VALUE and plain_lines(value) == value


def source_from(value: object) -> SourceNames:
    """Inverse of :meth:`SourceNames.to_json`.

    Raises:
        ArtifactError: a field is missing, of another type, too long, or not printable.
    """
    where = "source"
    found = schema.fields(value, where)
    metadata = tuple(sorted(schema.fields(schema.member(found, "metadata", where), f"{where}.metadata").items()))
    if len(metadata) > MAX_ENTRIES:
        schema.refused(f"{where}.metadata", f"{len(metadata)} entries", f"at most {MAX_ENTRIES}")
    for key, text in metadata:
        if not _is_key(key) or not isinstance(text, str) or not _is_value(text):
            schema.refused(f"{where}.metadata.{str(key)[:60]}", text, f"a text of at most {MAX_VALUE} characters")
    return SourceNames(
        schema.items(
            schema.member(found, "inputs", where), f"{where}.inputs", lambda one, at: schema.text(one, at, NAME_LENGTH)
        ),
        schema.text(schema.member(found, "output", where), f"{where}.output", NAME_LENGTH),
        metadata,
    )


def quantity_from(value: object) -> Quantity:
    """A quantity of its JSON form.

    Raises:
        ArtifactError: a field is missing, unknown, or no number.
    """
    where = "measured_return"
    found = schema.fields(value, where)
    if set(found) - set(_QUANTITY) - {"count"}:
        schema.refused(where, sorted(map(str, found))[:9], ", ".join((*_QUANTITY, "count")))
    mean, lower, upper, confidence = (
        schema.number(schema.member(found, key, where), f"{where}.{key}") for key in _QUANTITY
    )
    count = schema.integer(schema.member(found, "count", where), f"{where}.count", 0, 2**63)
    return Quantity(mean, lower, upper, confidence, count)


def checked_from(value: object) -> Checked:
    """A comparison of its JSON form.

    Raises:
        ArtifactError: a field is missing, or of another type.
    """
    where = "checked"
    found = schema.fields(value, where)
    worst = schema.number(schema.member(found, "worst", where), f"{where}.worst")
    if not 0.0 <= worst <= 1.0:
        schema.refused(f"{where}.worst", worst, "a share of what is allowed, 0 to 1")
    return Checked(
        schema.text(schema.member(found, "file", where), f"{where}.file", NAME_LENGTH),
        schema.text(schema.member(found, "sha256", where), f"{where}.sha256", NAME_LENGTH),
        schema.integer(schema.member(found, "pairs", where), f"{where}.pairs", 1, 2**63),
        worst,
        schema.flag(schema.member(found, "by_choice", where), f"{where}.by_choice"),
    )
