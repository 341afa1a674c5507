"""Loading an artifact with the best runtime that this machine has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from policypress_runtime.errors import ArtifactError, InputError, NativeBuildError
from policypress_runtime.runtimes.protocol import NATIVE, ONNXRUNTIME, Runtime, RuntimeChoice, RuntimeName
from policypress_runtime.sidecar import check_pair

VARIABLE = "POLICYPRESS_RUNTIME"
"""Environment variable that says what ``auto`` means: native or onnxruntime."""


def load_artifact(path: str | Path, runtime: RuntimeChoice = "auto") -> Runtime:
    """The policy in the artifact ``path``, ready to act.

    Args:
        path: an ``.onnx`` file written by policypress.
        runtime: ``native`` (machine code, built with this machine's C compiler and kept in a cache),
            ``onnxruntime``, or ``auto``: native, and where that cannot be had ONNX Runtime, with a notice.

    Raises:
        ArtifactError: the file does not exist, is not ONNX, or carries no contract; or the sidecar beside it belongs
            to another artifact.
        NativeBuildError: ``runtime`` is ``native``, and there is no compiler or no C form of the artifact.
    """
    check_artifact_there(path)
    file = Path(path)
    loaded = load_model(file, runtime)
    check_pair(file)
    return loaded


def check_artifact_there(path: str | Path) -> None:
    """Refuse a path at which no file lies.

    Raises:
        ArtifactError: there is none.
    """
    if not Path(path).is_file():
        raise ArtifactError(
            "There is no artifact at this path.",
            got=str(path),
            expected="an .onnx file written by `policypress export` or `policypress compress`",
        )


def load_model(model: Path | bytes, runtime: RuntimeChoice = "auto") -> Runtime:
    """The same, of an artifact's file or its bytes.

    Raises:
        ArtifactError: this is no artifact.
        NativeBuildError: as for :func:`load_artifact`.
    """
    wanted = chosen(runtime)
    notice: str | None = None
    if wanted != ONNXRUNTIME:
        from policypress_runtime.runtimes.native.native_runtime import NativeRuntime

        try:
            return NativeRuntime(model)
        except NativeBuildError as error:
            if wanted == NATIVE:
                raise
            notice = fallback_notice(error)
    # Not before it is needed: it is larger than everything else together.
    from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

    loaded = OnnxRuntime(model)
    if notice is not None:
        loaded.notices = (notice,)
    return loaded


def chosen(runtime: RuntimeChoice) -> RuntimeChoice:
    """What ``auto`` means in this process: what :data:`VARIABLE` names, else still ``auto``.

    Raises:
        InputError: there is no such runtime.
    """
    if runtime != "auto":
        return runtime_named(runtime)
    return runtime_named(os.environ.get(VARIABLE, "") or "auto", f"{VARIABLE}=")


def runtime_named(name: str, where: str = "") -> RuntimeChoice:
    """The runtime called ``name``; ``where`` says in an error where that was found.

    Raises:
        InputError: there is none.
    """
    choices: tuple[RuntimeChoice, ...] = get_args(RuntimeChoice)
    for choice in choices:
        if name == choice:
            return choice
    raise InputError("There is no such runtime.", got=f"{where}{name}", expected=", ".join(choices))


def resolved(runtime: RuntimeChoice) -> tuple[RuntimeName, tuple[str, ...]]:
    """The runtime that a whole study uses, decided once, and what to tell the user.

    Native needs a compiler, and a folder to keep what it builds.

    Raises:
        InputError: there is no such runtime.
        NativeBuildError: native was asked for, and cannot be had.
    """
    wanted = chosen(runtime)
    if wanted == ONNXRUNTIME:
        return ONNXRUNTIME, ()
    # Not before they are needed: with what they import they are 5 MiB of a small process.
    from policypress_runtime.toolchain.cache import Cache
    from policypress_runtime.toolchain.compiler import check_compiler, find_compiler

    try:
        compiler = find_compiler()
        check_compiler((*compiler.command, *compiler.options))
        cache = Cache()
        cache.prepare()
    except NativeBuildError as error:
        if wanted == NATIVE:
            raise
        return ONNXRUNTIME, (fallback_notice(error),)
    return NATIVE, () if cache.notice is None else (cache.notice,)


def fallback_notice(error: NativeBuildError) -> str:
    """The notice if ONNX Runtime is used instead."""
    advice = f" {error.hint}" if error.hint else ""
    return f"ONNX Runtime is used instead of the native runtime. {error.message} {error.got or ''}.{advice}"
