"""The door for checkpoints of other frameworks: from a file or a run's folder to an agent.

What a file does not determine is asked for by the name of an option, all of it at once. Nothing is guessed in silence.
"""

from __future__ import annotations

import math
from pathlib import Path

from policypress.agents.applicable import AgentKind, refuse_useless, useless
from policypress.agents.archive import Archive, read_bytes, sha256_of
from policypress.agents.bundle import Activation, AgentBundle, ChainNetwork, Dense, Normaliser, Provenance, Step
from policypress.agents.frameworks import named_layers
from policypress.agents.frameworks.actions import actions_of, closing, first_outputs
from policypress.agents.frameworks.chains import Gap, check_widths, input_width
from policypress.agents.frameworks.found import Found, Framework
from policypress.agents.frameworks.registry import FRAMEWORKS
from policypress.agents.frameworks.run_config import NO_CONFIG, config_near
from policypress.agents.frameworks.stored import Stored, stored_in
from policypress.agents.near_files import near_zip
from policypress.agents.normalisers.normalisation import Normalisation, normalisation_of_network
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.agents.sb3.activation_text import in_words
from policypress_runtime.contract import Box, Space
from policypress_runtime.errors import AgentError, UndeterminedAgentError, UnsupportedAgentError

_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_HEAD_BYTES = 4096
# Of a member's name, behind the fields of its header in a zip.
_NAME_AT = 30
_USES = "elu, relu, tanh, ..."


def is_checkpoint(path: Path) -> bool:
    """Whether ``path`` is a file of tensors of PyTorch or safetensors; a Stable-Baselines3 zip is none.

    Only its beginning is looked at: ``torch.save`` writes ``NAME/data.pkl`` first.
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
        return name.split(b"/")[1:] == [b"data.pkl"]
    header_bytes = int.from_bytes(head[:8], "little")
    return head.startswith(_OLD_TORCH) or (head[8:10] == b'{"' and 0 < header_bytes <= size_bytes - 8)


def read_checkpoint_file(path: Path, *, overrides: Overrides = NO_OVERRIDES) -> AgentBundle:
    """Read the policy in a checkpoint.

    Args:
        path: the file.
        overrides: what the user states.

    Raises:
        UnsafeAgentError: its pickle asks for more than tensors and numbers; nothing of it is called.
        DamagedAgentError: it is truncated, its sizes lie, or its layers do not fit.
        UnsupportedAgentError: no framework's form, or a network that is not read.
        UndeterminedAgentError: it leaves something open; the message names the options.
    """
    refuse_useless(overrides, AgentKind.CHECKPOINT, path.name)
    content = read_bytes(path)
    if content.startswith(b"PK"):
        near = _torchscript(Archive(content, path.name))
        if near is not None:
            raise near
    stored = stored_in(content, path.name)
    framework = _framework(stored, overrides)
    config = NO_CONFIG if framework is named_layers.FRAMEWORK else config_near(path)
    found = framework.read(stored, config, overrides)
    check_widths(found.parts)
    _refuse_asked(found, overrides)
    activation, told = _activation(found, overrides)
    actions = actions_of(found, overrides)
    after, space, notices = closing(found, actions, overrides)
    observations = _observations(found, overrides)
    normalisation = _normalisation(path, found, observations, overrides)
    steps = (*_steps(found, activation, actions.outputs), *after)
    return AgentBundle(
        ChainNetwork(found.framework, steps, squash=bool(after) and after[0] == Activation("tanh")),
        observations,
        space,
        Provenance(str(path), sha256_of(content), found.form),
        normaliser=normalisation.normalisers,
        caller_supplies=normalisation.caller_supplies,
        notices=(
            f"{path.name} is read as {found.form}.",
            *told,
            *found.notices,
            *notices,
            *_unbounded(space),
            *normalisation.notices,
        ),
        assumptions=(*found.assumptions, *normalisation.assumptions),
        check=overrides.check,
    )


def _torchscript(archive: Archive) -> AgentError | None:
    scripted = any(name.split("/")[1:2] == ["code"] for name in archive.names)
    return near_zip(archive.label, archive.names) if scripted else None


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


def _observations(found: Found, overrides: Overrides) -> Space:
    width = input_width(found.parts)
    space = overrides.observation_space
    if space is None:
        return Box((width,), "float32", (-math.inf,), (math.inf,))
    if not isinstance(space, Box) or space.size != width:
        raise AgentError(
            "The environment's observations do not fit the agent's first layer.",
            got=f"an environment that gives {space}",
            expected=f"{width} numbers",
            hint="Name the environment that the agent was trained in.",
        )
    return space


def _normalisation(path: Path, found: Found, space: Space, overrides: Overrides) -> Normalisation:
    if found.normaliser is not None:
        if overrides.normalizer is not None:
            why = f"{path.name} holds the statistics of its observations itself."
            raise useless(("normalizer",), why, "Leave the option out.")
        return Normalisation({"": _shaped(found.normaliser, space)})
    if overrides.normalizer is None:
        return Normalisation()
    return normalisation_of_network(path, space, overrides, None)


def _shaped(normaliser: Normaliser, space: Space) -> Normaliser:
    shape = space.shape if isinstance(space, Box) else ()
    if normaliser.mean.size != math.prod(shape):
        raise AgentError(
            "The statistics of the agent's observations do not fit its first layer.",
            got=f"{normaliser.mean.size} means",
            expected=f"{math.prod(shape)}",
        )
    mean, variance = normaliser.mean.reshape(shape), normaliser.variance.reshape(shape)
    return Normaliser(mean, variance, normaliser.epsilon, normaliser.clip)


def _steps(found: Found, activation: Activation, outputs: int) -> tuple[Step, ...]:
    *hidden, last = found.parts
    kept = first_outputs(last, outputs) if isinstance(last, Dense) else last
    return tuple(activation if isinstance(part, Gap) else part for part in (*hidden, kept))


def _unbounded(space: Space) -> tuple[str, ...]:
    if not isinstance(space, Box) or all(map(math.isfinite, (*space.low, *space.high))):
        return ()
    return ("The actions are taken without bounds; --env names an environment with bounds.",)
