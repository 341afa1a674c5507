"""The door for checkpoints of other frameworks: from a file or a run's folder to an agent.

What a file does not determine is asked for by the name of an option, all of it at once. Nothing is guessed in silence.
"""

from __future__ import annotations

from pathlib import Path

from policypress.agents.applicable import AgentKind, refuse_useless, useless
from policypress.agents.archive import Archive, read_bytes
from policypress.agents.bundle import Activation, AgentBundle
from policypress.agents.frameworks import brax, named_layers
from policypress.agents.frameworks.bundling import Described, bundle_of
from policypress.agents.frameworks.chains import Gap
from policypress.agents.frameworks.flax import cleanrl_jax
from policypress.agents.frameworks.flax.flax_files import is_flax
from policypress.agents.frameworks.found import Found, Framework
from policypress.agents.frameworks.registry import FRAMEWORKS
from policypress.agents.frameworks.run_config import NO_CONFIG, config_near
from policypress.agents.frameworks.stored import Stored, stored_in
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.agents.sb3.activation_text import in_words
from policypress.agents.torchscript.archive import is_torchscript
from policypress.agents.torchscript.reading import read_torchscript
from policypress_runtime.contract import Box, Space
from policypress_runtime.errors import UndeterminedAgentError, UnsupportedAgentError

_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_HEAD_BYTES = 4096
# Of a member's name, behind the fields of its header in a zip.
_NAME_AT = 30
_FIRST = [[b"data.pkl"], [b"version"], [b"byteorder"], [b"constants.pkl"]]
_USES = "elu, relu, tanh, ..."


def is_checkpoint(path: Path) -> bool:
    """Whether ``path`` is a file of tensors of PyTorch or safetensors; a Stable-Baselines3 zip is none.

    Only its beginning is looked at: ``torch.save`` writes ``NAME/data.pkl`` first, ``torch.jit.save`` a tensor.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(0, 2)
            size_bytes = file.tell()
    except OSError:
        return False
    if head.startswith(b"PK\3\4"):
        name = head[_NAME_AT : _NAME_AT + int.from_bytes(head[26:28], "little")]
        inner = name.split(b"/")[1:]
        return inner in _FIRST or (len(inner) > 1 and inner[0] in (b"data", b"code", b"constants"))
    header_bytes = int.from_bytes(head[:8], "little")
    return (
        head.startswith(_OLD_TORCH)
        or brax.recognises(head)
        or is_flax(head)
        or (head[8:10] == b'{"' and 0 < header_bytes <= size_bytes - 8)
    )


def read_checkpoint_file(path: Path, *, overrides: Overrides = NO_OVERRIDES) -> AgentBundle:
    """Read the policy in a checkpoint, or in a TorchScript file.

    Args:
        path: the file.
        overrides: what the user states.

    Raises:
        UnsafeAgentError: its pickle asks for more than tensors and numbers; nothing of it is called.
        DamagedAgentError: it is truncated, its sizes lie, or its layers do not fit.
        UnsupportedAgentError: no framework's form, or a network that is not read.
        UndeterminedAgentError: it leaves something open; the message names the options.
    """
    content = read_bytes(path)
    if content.startswith(b"PK"):
        archive = Archive(content, path.name)
        if is_torchscript(archive):
            return read_torchscript(path, archive, content, overrides)
    refuse_useless(overrides, AgentKind.CHECKPOINT, path.name)
    found = _found(path, content, overrides)
    _refuse_asked(found, overrides)
    activation, told = _activation(found, overrides)
    steps = tuple(activation if isinstance(part, Gap) else part for part in found.parts)
    return bundle_of(Described(path, content, found, steps, told), overrides)


def _found(path: Path, content: bytes, overrides: Overrides) -> Found:
    if brax.recognises(content):
        if overrides.layers is not None:
            raise useless(("layers",), f"{path.name} has the form of Brax, whose layers are known.", "Leave it out.")
        return brax.read(content, path.name, config_near(path), overrides)
    if is_flax(content):
        if overrides.layers is not None:
            raise useless(("layers",), f"{path.name} has the form of flax, whose layers are known.", "Leave it out.")
        return cleanrl_jax.read(content, path.name, overrides)
    stored = stored_in(content, path.name)
    framework = _framework(stored, overrides)
    config = NO_CONFIG if framework is named_layers.FRAMEWORK else config_near(path)
    return framework.read(stored, config, overrides)


def _framework(stored: Stored, overrides: Overrides) -> Framework:
    found = next((framework for framework in FRAMEWORKS if framework.recognises(stored)), None)
    if overrides.layers is not None:
        if found is not None and found.name != "skrl":
            why = f"{stored.label} has the form of {found.name}, whose layers are known."
            raise useless(("layers",), why, "Leave the option out.")
        if found is None and named_layers.recognises(stored):
            return named_layers.FRAMEWORK
    if found is None:
        raise _unknown(stored)
    return found


def _unknown(stored: Stored) -> UnsupportedAgentError:
    tensors = named_layers.tensors_of(stored)
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    stated = f"--layers {','.join(names[:3])}{',...' if len(names) > 3 else ''}"
    way = f"If it is a chain of linear layers, name those that act, in their order: {stated} --activation NAME. "
    return UnsupportedAgentError(
        f"{stored.label} is a PyTorch (state_dict) or safetensors file: weights without the network.",
        got=f"{len(tensors)} tensors, in the form of no framework that is known",
        expected=f"a checkpoint of {', '.join(framework.name for framework in FRAMEWORKS)}",
        hint=(way if names else "")
        + "If it is of a Stable-Baselines3 model, load the model in Python and save all of it: "
        "model.save('agent.zip'). Else build the network with its own code, load these weights into it, and give "
        "Policy.from_module(network, observation_space, action_space) to policypress; or give an ONNX file of it.",
    )


def _refuse_asked(found: Found, overrides: Overrides) -> None:
    """Ask for everything at once that the file leaves open."""
    asked: list[tuple[str, str]] = []
    if _has_gaps(found) and overrides.activation is None and found.activation is None:
        asked.append(("the activation of its hidden layers", f"--activation NAME ({_USES})"))
    discrete = bool(found.choices) or overrides.discrete_actions is not None
    if not discrete and found.squash is None and overrides.squash is None and _is_box(overrides.action_space):
        asked.append(("whether its actions go through tanh", "--squash tanh or --squash none"))
    if found.halves is None and overrides.action_space is None and not discrete and overrides.action_size is None:
        asked.append(
            (
                "how many actions its outputs are (as many, half as many with a deviation each, or scores)",
                "--action-size N, or --actions N if they are scores of N discrete actions, or --env ID",
            )
        )
    if found.normaliser_unsaved and overrides.normalizer is None:
        asked.append(
            (
                "how its observations were normalised in training",
                "--normalizer FILE with statistics, or --normalizer none if the caller normalises or nobody does",
            )
        )
    if asked:
        raise UndeterminedAgentError(
            f"The checkpoint ({found.form}) does not say {', nor '.join(what for what, _ in asked)}.",
            got="weights, and no configuration that tells it",
            expected="options that state it",
            hint=f"State {'; and '.join(option for _, option in asked)}. --check NPZ, with observations and the "
            "actions that your own code gives, proves it.",
        )


def _is_box(space: Space | None) -> bool:
    return space is None or isinstance(space, Box)


def _has_gaps(found: Found) -> bool:
    return any(isinstance(part, Gap) for part in found.parts)


def _activation(found: Found, overrides: Overrides) -> tuple[Activation, tuple[str, ...]]:
    stated = overrides.activation
    if not _has_gaps(found):
        if stated is not None:
            why = "The agent has no hidden layer whose activation could be stated."
            raise useless(("activation",), why, "Leave the option out.")
        return Activation("identity"), ()
    if stated is not None:
        other = found.activation not in (None, stated)
        told = f"{found.activation_source} says {in_words(found.activation)}" if other and found.activation else ""
        return stated, ((f"The activation is {in_words(stated)} as stated; {told}.",) if told else ())
    if found.activation is None:
        raise UndeterminedAgentError("The activation is not known.", hint="State --activation NAME.")
    return found.activation, (f"The activation is {in_words(found.activation)}, as {found.activation_source} has it.",)
