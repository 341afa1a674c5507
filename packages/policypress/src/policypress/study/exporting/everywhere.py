"""One artifact for every target and as every package, from one proof's observations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from policypress.environments.batches import ObservationBatch
from policypress.export.extension_module import SUFFIX
from policypress.export.form import Form
from policypress.export.lite_file import SUFFIX as TFLITE
from policypress.export.packages.registry import PACKAGES, check_folder
from policypress.export.parity import ParityReport
from policypress.export.publish import ProvenArtifact
from policypress.study.export_artifact import written_as
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.errors import InputError, PolicypressError

WINNER = "policy.onnx"
FOLDER = "targets"


@dataclass(frozen=True)
class Written:
    """One output: a file or a folder, and what it has of flash; or why it was not written.

    ``flash_bytes`` and ``parity`` are None where there is none, ``refused`` is empty where it was written.
    """

    path: Path
    flash_bytes: int | None = None
    parity: ParityReport | None = None
    refused: str = ""


def winner_of(place: Path) -> Path:
    """The artifact at ``place``: a file, or the winner in a search's folder.

    Raises:
        InputError: there is none.
    """
    artifact = place / WINNER if place.is_dir() else place
    if artifact.suffix != ".onnx" or not artifact.is_file():
        raise InputError(
            "There is no artifact to export for all targets.",
            got=str(place),
            expected=f"an artifact (.onnx), or the folder of a search, with the winner {WINNER}",
            hint="Write one first: policypress compress AGENT -o FOLDER, or policypress export AGENT -o policy.onnx.",
        )
    return artifact


def forms() -> tuple[tuple[str, Form], ...]:
    """Every output below the folder, and its form."""
    return (
        *((f"c/{name}/policy.c", Form(target=name)) for name in TARGETS),
        (f"policy{TFLITE}", Form()),
        (f"policy{SUFFIX}", Form()),
        *((f"packages/{name}", Form(package=name)) for name in PACKAGES),
    )


def export_everywhere(
    artifact: ProvenArtifact, met: ObservationBatch, folder: Path, on_written: Callable[[Written], None]
) -> tuple[Written, ...]:
    """Write ``artifact`` in every form below ``folder``; what one form cannot hold does not stop the others.

    Args:
        artifact: proven.
        met: observations that each output is proven on.
        folder: must not exist, or be empty.
        on_written: is told of each.

    Raises:
        OutputError: the folder holds something.
        PolicypressError: not one form could be written; the first reason.
    """
    check_folder(folder)
    done: list[Written] = []
    for name, form in forms():
        output = folder / name
        try:
            parity, c = written_as(artifact, met, output, form)
            done.append(Written(output, None if c is None else c.footprint.flash_bytes, parity))
        except PolicypressError as error:
            done.append(Written(output, refused=f"{error.message} {error.got or ''}".strip()))
            first = error
        on_written(done[-1])
    if all(one.refused for one in done):
        raise first
    return tuple(done)
