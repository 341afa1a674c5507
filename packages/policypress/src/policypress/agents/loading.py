"""The one door for agents: a zip, an experiment folder, a Hub id or an ONNX file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from policypress.agents.bundle import AgentBundle
from policypress.agents.frameworks.reading import is_checkpoint, read_checkpoint_file
from policypress.agents.frameworks.run_folder import checkpoint_in
from policypress.agents.hub import read_hub
from policypress.agents.near_files import KINDS, PREFIX, missing, near_file, unzipped_model
from policypress.agents.onnx_reading.file import read_onnx
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.agents.zoo.reading import is_zoo_folder, read_zoo_folder, read_zoo_zip
from policypress_runtime.contract import EnvironmentSpec, space_from_json, space_to_json
from policypress_runtime.errors import AgentError, ArtifactError, DamagedAgentError
from policypress_runtime.reading_limits import limited
from policypress_runtime.regular_file import check_regular, open_regular


def load_agent(source: str | Path, *, overrides: Overrides = NO_OVERRIDES) -> AgentBundle:
    """Read a trained agent; nothing of it is executed.

    A zip is read together with the files that the RL Zoo wrote beside it, if there are any.

    Args:
        source: path of a zip, of an experiment folder or of an ONNX file, or ``hub:organisation/repository``.
        overrides: what the user states; needed only where the agent's files leave something open.

    Raises:
        AgentError: the agent cannot be read; its subclasses say why, and the message what to do.
        MissingDependencyError: a Hub id without ``huggingface_hub``.
    """
    with limited(str(source)[:200], error=DamagedAgentError, file_bytes=_size_bytes(source)):
        bundle = _read(source, overrides)
    _check_texts(bundle)
    return bundle if overrides.check is None else replace(bundle, check=overrides.check)


def _read(source: str | Path, overrides: Overrides) -> AgentBundle:
    if isinstance(source, str) and source.startswith(PREFIX):
        return read_hub(source, overrides=overrides)
    path = Path(source)
    try:
        if path.is_dir():
            return _read_folder(path, overrides)
        exists = path.is_file()
        if not exists and path.exists():
            check_regular(path, error=AgentError)
    except (OSError, ValueError) as error:
        raise AgentError("This path cannot be accessed.", got=f"{str(source)[:200]!r}: {error}") from error
    if not exists:
        raise missing(path)
    if path.suffix.lower() == ".onnx":
        return read_onnx(path, overrides=overrides)
    if is_checkpoint(path):
        return read_checkpoint_file(path, overrides=overrides)
    like_zip = _starts_like_zip(path)
    near = None if like_zip else near_file(path)
    if near is not None:
        raise near
    if path.suffix.lower() == ".zip" or like_zip:
        return read_zoo_zip(path, overrides=overrides)
    raise AgentError(
        f"{path.name} is not a supported agent file.",
        got=path.suffix or "a file without suffix",
        expected=KINDS,
        hint="For a torch.nn.Module use Policy.from_module in Python.",
    )


def _check_texts(bundle: AgentBundle) -> None:
    """Refuse names and arguments that no contract can state, before they reach a screen, a page or a C file."""
    try:
        space_from_json(space_to_json(bundle.observation_space), "observation_space")
        space_from_json(space_to_json(bundle.action_space), "action_space")
        if bundle.environment is not None:
            EnvironmentSpec.from_json(bundle.environment.to_json())
    except ArtifactError as error:
        raise DamagedAgentError(
            "The agent's files contain values that no training writes.",
            got=error.got,
            expected=error.expected,
            hint="Copy the agent again from where it was trained, or correct its files.",
        ) from error


def _size_bytes(source: str | Path) -> int:
    """Bytes of the agent's largest file, 0 where there is nothing to be seen."""
    path = Path(source)
    try:
        files = [path] if path.is_file() else path.iterdir() if path.is_dir() else ()
        return max((file.stat().st_size for file in files if file.is_file()), default=0)
    except (OSError, ValueError):
        return 0


def _read_folder(folder: Path, overrides: Overrides) -> AgentBundle:
    unzipped = unzipped_model(folder)
    if unzipped is not None:
        raise unzipped
    network = network_in(folder)
    if network is not None:
        return read_onnx(network, overrides=overrides)
    checkpoint = checkpoint_of_run(folder)
    if checkpoint is not None:
        return read_checkpoint_file(checkpoint, overrides=overrides)
    return read_zoo_folder(folder, overrides=overrides)


def network_in(source: str | Path) -> Path | None:
    """The ONNX file that is read for ``source``: itself, or the one in a folder that is no RL Zoo's; or None."""
    path = Path(source)
    if str(source).startswith(PREFIX) or not path.is_dir():
        return path if path.suffix.lower() == ".onnx" else None
    networks = sorted(path.glob("*.onnx"))
    alone = len(networks) == 1 and not any(path.glob("*.zip")) and not is_zoo_folder(path)
    return networks[0] if alone else None


def checkpoint_of_run(source: str | Path) -> Path | None:
    """The other framework's checkpoint that is read for ``source``: itself, or that of a run's folder; or None."""
    path = Path(source)
    if str(source).startswith(PREFIX):
        return None
    if not path.is_dir():
        return path if path.suffix.lower() != ".onnx" and path.is_file() and is_checkpoint(path) else None
    if is_zoo_folder(path) or any(path.glob("*.zip")) or any(path.glob("*.onnx")):
        return None
    found = checkpoint_in(path)
    return found if found is not None and is_checkpoint(found) else None


def _starts_like_zip(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(2) == b"PK"
    except AgentError:
        return False
