"""What a fall is, as the user says it: ``terminated``, ``score<SHARE``, ``return<VALUE`` or ``info:KEY``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from policypress.measurement.certificate.error_budget import checked_share
from policypress_runtime.errors import StudyInputError

Kind = Literal["terminated", "score", "return", "info"]
TERMINATED = "terminated"
FORMS = "terminated, score<SHARE (such as score<0.5), return<VALUE or info:KEY"


BASELINE = "baseline+"


@dataclass(frozen=True)
class FallLimit:
    """How frequent falls may be: at most ``rate``, or at most ``rate`` more frequent than the agent's."""

    rate: float
    over_baseline: bool = False

    @classmethod
    def of(cls, stated: float | str | None) -> FallLimit | None:
        """The limit that a number or a text (``0.02``, ``baseline+0.02``) states; None where there is none.

        Raises:
            StudyInputError: it states none.

        >>> FallLimit.of("baseline+0.02")
        FallLimit(rate=0.02, over_baseline=True)
        """
        if stated is None:
            return None
        text = str(stated).replace(" ", "")
        over = text.startswith(BASELINE)
        try:
            rate = float(text.removeprefix(BASELINE))
        except ValueError:
            raise StudyInputError(
                "It is not clear how frequent falls may be.", got=text, expected="0.02, or baseline+0.02"
            ) from None
        return cls(checked_share("rate of falls", rate), over)

    def in_words(self) -> str:
        """What is certified of falls."""
        if self.over_baseline:
            return f"falls are at most {self.rate:.2%} of the episodes more frequent than the baseline's"
        return f"at most {self.rate:.2%} of the episodes are falls"


def fall_rule_of(falls: str | None, max_falls: float | str | None) -> FallRule | None:
    """What a fall is, where it is said or their rate is limited; without a word a termination.

    Raises:
        StudyInputError: the rule says nothing, or the limit is none.
    """
    FallLimit.of(max_falls)
    if falls is not None:
        return FallRule.parse(falls)
    return None if max_falls is None else FallRule.parse(TERMINATED)


@dataclass(frozen=True)
class FallRule:
    """A rule that says of every episode whether it was a fall.

    ``key`` names what is true of a fall (``terminated``, or a key of the environment's ``info``); ``below`` is the
    share of the agent's score, or the return, that a fall stays below.
    """

    kind: Kind
    key: str = ""
    below: float = 0.0

    @classmethod
    def parse(cls, text: str) -> FallRule:
        """The rule that ``text`` states.

        Raises:
            StudyInputError: it states none.

        >>> FallRule.parse("score<0.5").below, FallRule.parse("info:fell").key
        (0.5, 'fell')
        """
        stated = text.replace(" ", "")
        if stated == TERMINATED:
            return cls("terminated", TERMINATED)
        head, _, tail = stated.partition(":")
        if head == "info" and tail:
            return cls("info", tail)
        head, _, tail = stated.partition("<")
        try:
            value = float(tail)
        except ValueError:
            value = math.nan
        if head == "return" and math.isfinite(value):
            return cls("return", below=value)
        if head == "score" and 0 < value < 1:
            return cls("score", below=value)
        raise StudyInputError("It is not clear what a fall is.", got=text, expected=FORMS)

    def threshold(self, baseline_mean: float, zero: float) -> float:
        """The return that a fall stays below, from means of episodes that nothing is certified with."""
        return zero + self.below * (baseline_mean - zero) if self.kind == "score" else self.below

    def in_words(self, threshold: float) -> str:
        """What a fall is."""
        if self.kind == "terminated":
            return "the environment terminated the episode"
        if self.kind == "info":
            return f"{self.key} was true"
        share = f", {self.below:g} of the agent's score" if self.kind == "score" else ""
        return f"the return is below {threshold:.4g}{share}"

    def marks(
        self, returns: Sequence[float], flags: Mapping[str, tuple[bool, ...]], threshold: float, where: str
    ) -> tuple[bool, ...]:
        """Which episodes were falls.

        Raises:
            StudyInputError: ``flags`` does not say.
        """
        if self.kind in ("score", "return"):
            return tuple(value < threshold for value in returns)
        found = flags.get(self.key) or flags.get(self.key.lower())
        if found is None:
            raise StudyInputError(
                f"{where} does not say which episodes were falls.",
                got=", ".join(flags) or "no column of true and false",
                expected=f"a column {self.key} of true or false for every episode",
                hint="Add the column, or say otherwise what a fall is: --falls 'score<0.5'.",
            )
        return found
