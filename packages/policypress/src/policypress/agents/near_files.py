"""Files that are near an agent: named as what they are, with the way on; read where that is without doubt.

Only the first bytes of a file and the names in a zip are looked at. Nothing is executed.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from policypress.agents.archive import listing
from policypress_runtime.errors import AgentError, PolicypressError, UnsupportedAgentError

PREFIX = "hub:"
KINDS = f"a Stable-Baselines3 zip, an RL Zoo folder, an .onnx file, or {PREFIX}organisation/repository"
AGENT_SUFFIXES = (".zip", ".onnx", "")
_HEAD_BYTES = 4096
_MODEL = ("data", "policy.pth")
_LFS = b"version https://git-lfs.github.com/spec/"
_STEPS = re.compile(r"(.*?)_(\d+)_steps")
_CODE = (
    "Build the network with its own code in Python, load these weights into it, and give "
    "Policy.from_module(network, observation_space, action_space) to policypress; or give an ONNX file of it."
)


def check_there(
    source: str | Path,
    *,
    error: type[PolicypressError] = AgentError,
    expected: str = KINDS,
    suffixes: tuple[str, ...] = AGENT_SUFFIXES,
) -> None:
    """Refuse a path at which nothing lies, before what would read it is imported.

    Args:
        source: of an agent (also ``hub:organisation/repository``), or of another file.
        error: the type of the error.
        expected: what should lie there.
        suffixes: of the files that may be meant; ``""`` stands for folders.

    Raises:
        PolicypressError: of type ``error``: there is nothing.
    """
    if str(source).startswith(PREFIX):
        return
    try:
        there = Path(source).exists()
    except (OSError, ValueError):
        return
    if not there:
        raise missing(Path(source), error=error, expected=expected, suffixes=suffixes)


def missing(
    path: Path,
    *,
    error: type[PolicypressError] = AgentError,
    expected: str = KINDS,
    suffixes: tuple[str, ...] = AGENT_SUFFIXES,
) -> PolicypressError:
    """The error for a path at which nothing lies, with what lies near it; ``suffixes`` as of :func:`check_there`."""
    folder = path.parent
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    names = [entry.name for entry in entries]
    fitting = [entry.name for entry in entries if _may_be_meant(entry, suffixes)]
    near = [str(folder / name) for name in difflib.get_close_matches(path.name, fitting, n=3, cutoff=0.5)]
    return error(
        f"There is no {path}.",
        got=f"{folder} with {listing(names)}" if folder.is_dir() else f"no folder {folder} either",
        expected=expected,
        hint=f"Did you mean {' or '.join(map(shlex.quote, near))}?" if near else None,
    )


def _may_be_meant(entry: Path, suffixes: tuple[str, ...]) -> bool:
    if entry.name.startswith("."):
        return False
    return "" in suffixes if entry.is_dir() else entry.suffix.lower() in set(suffixes) - {""}


def model_prefix(names: Iterable[str]) -> str | None:
    """The one folder inside a zip in which a whole model lies, ``model/``; ``""`` for none, None without a model.

    >>> model_prefix(["model/data", "model/policy.pth", "__MACOSX/x"])
    'model/'
    """
    known = set(names)
    found = {name.removesuffix(_MODEL[0]) for name in known if name == _MODEL[0] or name.endswith("/" + _MODEL[0])}
    whole = sorted(prefix for prefix in found if prefix + _MODEL[1] in known and not prefix.startswith("__MACOSX/"))
    if "" in whole:
        return ""
    return whole[0] if len(whole) == 1 else None


def unzipped_model(folder: Path) -> AgentError | None:
    """The error for a folder in which the members of a model's zip lie themselves."""
    if not all((folder / name).is_file() for name in _MODEL):
        return None
    return _near(
        str(folder),
        "a model that was unzipped",
        f"Zip it again: python -m zipfile -c agent.zip {shlex.quote(str(folder))}/*, and give agent.zip.",
    )


def near_zip(label: str, names: tuple[str, ...]) -> AgentError | None:
    """What a zip without a whole model is; None if it is nothing that is known."""
    bare = {name.rpartition("/")[2] for name in names}
    if {"parameter_list", "parameters"} & bare and "policy.pth" not in bare:
        return _near(
            label,
            "a model of Stable-Baselines 2 (TensorFlow)",
            "Train it again with Stable-Baselines3, or give its policy as an ONNX file (tf2onnx).",
        )
    if "data" in bare and {name for name in bare if name.endswith(".pth")} == {"pytorch_variables.pth"}:
        return _near(
            label,
            "a model of SBX (Stable-Baselines in JAX), whose networks are not read",
            "Export its actor to ONNX, or give the same network as a torch.nn.Module to Policy.from_module in Python.",
        )
    if any(name.partition("/")[2].startswith("code/") for name in names) and "constants.pkl" in bare:
        return _near(
            label,
            "a TorchScript file (torch.jit.save)",
            "Give the torch.nn.Module that it was made from to Policy.from_module in Python, or export that to ONNX.",
        )
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return _near(
            label,
            "a PyTorch file (torch.save): a state_dict, policy.save() of Stable-Baselines3, or a checkpoint",
            "It holds weights but not the network. If it is of a Stable-Baselines3 model, load the model in Python "
            f"and save all of it: model.save('agent.zip'). Else: {_CODE}",
        )
    inner = sorted(name for name in names if name.lower().endswith((".zip", ".onnx")))
    if inner:
        return _near(label, f"a zip of other files: {listing(inner, 4)}", f"Unpack it and give {inner[0]!r} of it.")
    if any(name.endswith(".keras") or name in ("saved_model.pb", "config.json") for name in bare):
        return _near(label, "a model of another library", "Export its network to ONNX and give that file.")
    return None


def near_file(path: Path) -> AgentError | None:
    """What a file that is no zip and no ONNX file is, by its first bytes and its suffix; None if that is not known."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        size = path.stat().st_size
    except OSError:
        return None
    found = _by_content(head, size) or _by_suffix(path.suffix.lower())
    return None if found is None else _near(path.name, *found)


def _by_content(head: bytes, size: int) -> tuple[str, str] | None:
    text = head.lstrip()[:64].lower()
    if not head:
        return "an empty file", "Copy or download it again."
    if head.startswith(_LFS):
        return (
            "a pointer of Git LFS, not the file itself",
            "Fetch the file: git lfs install, then git lfs pull in the repository; or download it from the web page.",
        )
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page", "Download the file itself: the raw or download link, not the page about it."
    if text.startswith((b'{"error', b"access denied", b"not found", b"invalid username", b"entry not found")):
        return "a server's answer, not the file", "Download it again, logged in if need be."
    if len(head) > 9 and head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < size:
        return "a safetensors file: weights without the network", _CODE
    if head.startswith(b"\x80") and head[1:2] <= b"\x05":
        return (
            "a pickle: a replay buffer, statistics, or a PyTorch file of before version 1.6",
            "Give the zip that model.save() writes; statistics of VecNormalize go to --normalizer. For weights: "
            + _CODE,
        )
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file (Keras)", "Export its network to ONNX and give that file."
    if head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")):
        return "a packed archive of another kind", "Unpack it and give the agent's zip."
    return None


def _by_suffix(suffix: str) -> tuple[str, str] | None:
    kinds = {
        ".pth": ("a PyTorch file", _CODE),
        ".pt": ("a PyTorch file", _CODE),
        ".tflite": ("a LiteRT model", "Give the network that it was made from, or an ONNX file of it."),
        ".pb": ("a TensorFlow graph", "Convert it with tf2onnx and give the ONNX file."),
    }
    return kinds.get(suffix)


def _near(label: str, what: str, hint: str) -> UnsupportedAgentError:
    return UnsupportedAgentError(
        f"{label} is {what}.",
        got=what,
        expected="a zip as Stable-Baselines3's model.save() writes it, an RL Zoo folder, or an .onnx file",
        hint=hint,
    )


def checkpoints_only(folder: Path) -> AgentError | None:
    """The error for a folder of checkpoints and no last model: names the newest."""
    steps = {
        path: int(match.group(2)) for path in folder.glob("*.zip") if (match := _STEPS.fullmatch(path.stem)) is not None
    }
    if not steps:
        return None
    newest = max(steps, key=lambda path: (steps[path], path.name))
    return AgentError(
        f"{folder} holds checkpoints of a training and no last model.",
        got=listing(sorted(path.name for path in steps)),
        expected="one agent",
        hint=f"Give the one you mean; the newest is {shlex.quote(str(newest))}.",
    )
