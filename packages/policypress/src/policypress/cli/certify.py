"""``policypress certify``: a certificate from files of episodes, wherever they were played."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policypress.cli.console import echo, print_json
from policypress.cli.options import GOAL, BestReturnOption, JsonOption, KeepOption, MaxFallsOption, WorstReturnOption

if TYPE_CHECKING:
    from policypress.measurement.certificate.certifying import Certificate

NOT_CERTIFIED = 1
"""Exit code where anything is not certified, so that a script that would deploy it stops."""


def certify(
    baseline: Annotated[Path, typer.Option("--baseline", metavar="FILE", help="Episodes of the agent.")],
    candidate: Annotated[
        list[Path],
        typer.Option("--candidate", metavar="FILE", help="Episodes of the policy to certify; repeatable."),
    ],
    random: Annotated[
        Path | None,
        typer.Option(
            "--random", metavar="FILE", help="Episodes of random actions; without, the zero is a return of 0."
        ),
    ] = None,
    keep: KeepOption = 0.95,
    confidence: Annotated[
        float,
        typer.Option("--confidence", metavar="C", help="Confidence, of all candidates together.", rich_help_panel=GOAL),
    ] = 0.95,
    worst_return: WorstReturnOption = None,
    best_return: BestReturnOption = None,
    max_falls: MaxFallsOption = None,
    falls: Annotated[
        str | None,
        typer.Option("--falls", metavar="RULE", help="terminated, score<SHARE, return<VALUE or info:COLUMN."),
    ] = None,
    pairing: Annotated[
        str, typer.Option("--pairing", metavar="HOW", help="seeds, rows or none: which episodes belong together.")
    ] = "seeds",
    pilot_episodes: Annotated[
        int,
        typer.Option(
            "--pilot-episodes", metavar="N", help="First rows that only limits are taken from, if not stated."
        ),
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Certify from files of episodes, of any simulator or robot, that a policy keeps the return of another.

    A file is a CSV with a column return (and seed, if there are seeds), an .npz with returns and seeds,
    or a monitor.csv of Stable-Baselines3. More rows may be added later, and the command run again:
    the certificate stays valid.
    Exit code 0: certified, 1: not certified, 2: the input cannot be used.

    Examples:
      policypress certify --baseline base.csv --candidate int8.csv --random random.csv
      policypress certify --baseline base.csv --candidate int8.csv --worst-return 0 --best-return 1 --keep 0.9
      policypress certify --baseline base.csv --candidate int8.csv --max-falls 0.02 --falls info:fell
    """
    from policypress.measurement.certificate.trials import CertifyOptions, certify_together

    options = CertifyOptions(
        keep=keep,
        confidence=confidence,
        worst_return=worst_return,
        best_return=best_return,
        max_falls=max_falls,
        falls=falls,
        pairing=pairing,
        pilot_episodes=pilot_episodes,
    )
    names = [str(path) for path in candidate]
    found = certify_together(baseline, {name: name for name in names}, random, options)
    if as_json:
        print_json({"schema": 1, "certificates": {name: one.to_json() for name, one in found.items()}})
    else:
        for name, one in found.items():
            _show(name, one)
        if len(found) > 1:
            held = sum(one.certified for one in found.values())
            echo(f"{held} of {len(found)} are certified, all of these together with confidence {confidence:g} (Holm)")
    if not all(one.certified for one in found.values()):
        raise typer.Exit(NOT_CERTIFIED)


def _show(name: str, found: Certificate) -> None:
    from policypress.measurement.certificate.words import in_words

    echo(f"{name}: {found.verdict}")
    for sentence in in_words(found):
        echo(f"  {sentence}")
