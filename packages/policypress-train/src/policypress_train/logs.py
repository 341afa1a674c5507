"""The library's own logs: to TensorBoard if asked for, else nowhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from policypress_runtime.errors import MissingDependencyError


def logger_for(folder: Path | None) -> Logger:
    """A logger that writes TensorBoard events to ``folder``, or a silent one.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    writers: list[KVWriter] = []
    if folder is not None:
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingDependencyError(
                "TensorBoard logs need the package tensorboard.", hint="pip install 'policypress-train[tensorboard]'"
            )
        writers.append(TensorBoardOutputFormat(str(folder)))
    return Logger(folder=None if folder is None else str(folder), output_formats=writers)
