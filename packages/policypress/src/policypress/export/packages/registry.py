"""The packages of ``policypress export --package``, and how one is written: whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from policypress.export.c_source import ProvenSource, c_name, prove_c
from policypress.export.form import Form
from policypress.export.packages import arduino, cargo, cmake, esp_idf, npm, platformio, ros2, zephyr
from policypress.export.packages.policy_in_c import PolicyInC, policy_in_c
from policypress.export.packages.texts import beside
from policypress.export.parity import Observations
from policypress.export.publish import ProvenArtifact
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.targets import target_of
from policypress_runtime.errors import InputError, OutputError
from policypress_runtime.runtimes.memory import refuse_memory


@dataclass(frozen=True)
class Package:
    """One kind: the target of its C unless another is named, its files, and its part of the README."""

    target: str
    files: Callable[[PolicyInC], dict[str, bytes]]
    how: str


PACKAGES = {
    "arduino": Package("avr", arduino.files, arduino.HOW),
    "esp-idf": Package("esp32c3", esp_idf.files, esp_idf.HOW),
    "platformio": Package("avr", platformio.files, platformio.HOW),
    "zephyr": Package("cortex-m4", zephyr.files, zephyr.HOW),
    "ros2": Package("host", ros2.files, ros2.HOW),
    "cmake": Package("host", cmake.files, cmake.HOW),
    "cargo": Package("host", cargo.files, cargo.HOW),
    "npm": Package("freestanding", npm.files, npm.HOW),
}


def package_of(name: str) -> Package:
    """The package called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in PACKAGES:
        raise InputError("There is no such package.", got=name, expected=", ".join(PACKAGES))
    return PACKAGES[name]


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        OutputError: it does, or it is no folder.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(
            "A package is written into a folder of its own.",
            got=f"{folder}, which exists" + ("" if folder.is_dir() else " and is no folder"),
            expected="a folder that does not exist yet, or is empty",
            hint="Choose another name, or remove it.",
        )


def package_name(folder: Path) -> str:
    """Name of a package and prefix of its C names, from its folder; never a word of a language.

    >>> package_name(Path("out/Gait-2")), package_name(Path("my policy"))
    ('gait_2_policy', 'my_policy')
    """
    name = c_name(folder.with_suffix("") if folder.suffix else folder)
    return name if name.endswith("policy") and name != "policy" else f"{name.removesuffix('_policy')}_policy"


def publish_package(artifact: ProvenArtifact, observations: Observations, folder: Path, form: Form) -> ProvenSource:
    """Write a package of ``artifact`` into ``folder``.

    Raises:
        InputError: no such package, or a policy that it cannot hold.
        OutputError: the folder holds something.
        ParityError: the C would not do what the policy does; nothing is written.
    """
    package = package_of(form.package or "")
    check_folder(folder)
    refuse_memory(artifact.contract, "A package", "Write C (-o NAME.c): its header says how the state is carried.")
    name = package_name(folder)
    proven = prove_c(artifact, observations, target_of(form.target or package.target), name)
    policy = policy_in_c(name, proven.source, read_program(artifact.model), artifact.contract)
    made = package.files(policy)
    how = package.how.replace("@EXAMPLE@", npm.example(policy))
    _write(folder, {**made, **beside(policy, how)})
    return proven


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """All files beside the place, then one rename."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".policypress-", dir=folder.parent) as beside_it:
            whole = Path(beside_it) / "package"
            for path, content in files.items():
                place = whole / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            if folder.is_dir():
                folder.rmdir()
            shutil.move(whole, folder)
    except OSError as error:
        raise OutputError(
            "The package cannot be written.", got=f"{folder}: {error.strerror}", expected="a folder that can be written"
        ) from error
