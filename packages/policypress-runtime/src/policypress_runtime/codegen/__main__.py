"""``python -m policypress_runtime.codegen MODEL.onnx -o policy.c``: C from an artifact, without torch."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from policypress_runtime.atomic_write import write_all_atomic
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import render
from policypress_runtime.codegen.targets import TARGETS, Target, target_of
from policypress_runtime.errors import ArtifactError, PolicypressError


def main(arguments: list[str] | None = None) -> int:
    """Write the files; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m policypress_runtime.codegen", description=__doc__)
    parser.add_argument("model", type=Path, help="an ONNX artifact")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .c file; the .h lies beside it")
    parser.add_argument("--target", choices=sorted(TARGETS), default="host")
    parser.add_argument("--name", help="prefix of the C names; the output's name without .c if left out")
    parser.add_argument("--constants", choices=["text", "incbin"], default="text")
    parser.add_argument("--stack", type=int, help="most bytes of working memory that a call takes from the stack")
    given = parser.parse_args(arguments)
    try:
        target = target_of(given.target)
        if given.stack is not None:
            target = replace(target, stack_bytes=given.stack)
        generate(given.model, given.output, target, given.name or given.output.stem, given.constants)
    except PolicypressError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def generate(model: Path, output: Path, target: Target, name: str, constants: str) -> None:
    """Write ``output`` and what belongs beside it, each whole.

    Raises:
        ArtifactError: there is no such file, or it is not ONNX.
        NetworkError: an operator that C code cannot be written for.
    """
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ArtifactError("The file cannot be read.", got=f"{model}: {error.strerror}", expected="ONNX") from error
    form = "incbin" if constants == "incbin" else "text"
    source = render(read_program(content), target, name, "incbin" if form == "incbin" else "text")
    files = {output: source.c.encode(), output.with_name(f"{name}.h"): source.h.encode()}
    if source.weights is not None:
        files[output.with_name(source.weights_file)] = source.weights
    write_all_atomic(files)


if __name__ == "__main__":
    sys.exit(main())
