"""What a winner is deployed as beside its ONNX file: its C, proven like every C."""

from __future__ import annotations

import tempfile
from pathlib import Path

from policypress.agents.overrides import NO_OVERRIDES
from policypress.study.export_artifact import ExportedArtifact, export_artifact
from policypress_runtime.errors import InputError, NetworkError, PolicypressError

NAMES = ("policy.c", "policy.h")


def c_of_winner(artifact: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """``policy.c`` and ``policy.h`` of the artifact at a path, and notices: the reason where it has no C form."""
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        output = Path(folder) / NAMES[0]
        try:
            written = _written(artifact, output)
        except PolicypressError as error:
            return {}, (f"There is no C of the winner: {error.message} {error.got or ''}".strip(),)
        notices = () if written.c is None else written.c.notices
        return {name: output.with_name(name).read_bytes() for name in NAMES}, notices


def _written(artifact: Path, output: Path) -> ExportedArtifact:
    """The C, compared on what the artifact meets in its environment, or on drawn observations where that cannot be."""
    try:
        return export_artifact(artifact, output, overrides=NO_OVERRIDES)
    except NetworkError:
        raise
    except InputError:
        # Only the user's word lets a module make an environment, and it may be in none of the file's packages.
        return export_artifact(artifact, output, overrides=NO_OVERRIDES, plays=False)
