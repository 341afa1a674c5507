"""Stable-Baselines3 and sb3-contrib zips, from version 1.0 until today, as plain data.

Nothing in the file is executed: ``data`` is read as JSON, ``policy.pth`` as tensors; what both leave open is a
default of the library's classes, or an error that names the flag which states it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policypress.agents.applicable import AgentKind, refuse_useless, useless
from policypress.agents.archive import Archive, listing, read_bytes, sha256_of
from policypress.agents.bundle import Activation, AgentBundle, Algorithm, Array, Provenance, Sb3Network
from policypress.agents.near_files import model_prefix, near_zip
from policypress.agents.overrides import NO_HINTS, NO_OVERRIDES, Hints, Overrides
from policypress.agents.recurrence.tensors import RecurrentTensors, read_recurrent
from policypress.agents.sb3.activation_text import in_words
from policypress.agents.sb3.algorithm import LSTM, algorithm_of, family_of, named_in, undetermined_policy
from policypress.agents.sb3.authorship import foreign_tensors, own_code, printed, unproven, untold
from policypress.agents.sb3.data import Sb3Data, activation_from_text, class_name, read_data, undetermined_activation
from policypress.agents.sb3.defaults import BATCH_NORM_EPSILON, CLIP_MEAN, FACTS, TORCH_NORM_EPSILON, Family
from policypress.agents.sb3.extractor import ReadExtractor, read_extractor
from policypress.agents.sb3.guesses import alternatives
from policypress.agents.sb3.layout import Layout, check_normalisation, read_layout
from policypress.agents.sb3.learned_ranges import read_quantizers, split_ranges
from policypress.agents.sb3.spaces import action_space, observation_space
from policypress.agents.sb3.tensors import read_tensors
from policypress_runtime.contract import Box, DictSpace, Discrete, EnvironmentSpec, MultiBinary, Space, action_width
from policypress_runtime.errors import DamagedAgentError, UndeterminedAgentError, UnsupportedAgentError
from policypress_runtime.foreign_text import plain
from policypress_runtime.reading_limits import shown

_VERSION_MEMBER = "_stable_baselines3_version"
_TRAINING_FIELDS = ("num_timesteps", "_total_timesteps", "seed", "gamma", "batch_size", "n_envs", "use_sde")
_ENVIRONMENT_ID = re.compile(r"(?:[\w.]+:)?(?:\w+/)?[A-Za-z]\w*(?:-\w+)*-v\d+")


@dataclass(frozen=True)
class _Read:
    network: Sb3Network
    notices: tuple[str, ...]
    own: tuple[str, ...]
    others: tuple[Sb3Network, ...]


def read_sb3_zip(path: Path, *, overrides: Overrides = NO_OVERRIDES, hints: Hints = NO_HINTS) -> AgentBundle:
    """Read one zip as ``model.save()`` writes it, or one that is stripped to its policy.

    Args:
        path: the file.
        overrides: what the user states.
        hints: what stands beside the file.

    Raises:
        DamagedAgentError: truncated, a bomb, a member missing, weights that are not finite or do not fit.
        UnsafeAgentError: reading a member would mean executing it.
        UnsupportedAgentError: of a form that is not known.
        UndeterminedAgentError: the file leaves something open, or its author's own code acts; the message names the
            flag that settles it.
    """
    refuse_useless(overrides, AgentKind.LIBRARY, path.name)
    content = read_bytes(path)
    archive = Archive(content, path.name)
    prefix = model_prefix(archive.names)
    near = near_zip(path.name, archive.names) if prefix is None else None
    if near is not None:
        raise near
    folder = prefix or ""
    data = read_data(archive.read(f"{folder}data"), path.name)
    tensors = read_tensors(archive.read(f"{folder}policy.pth"), f"{path.name}: policy.pth")
    hints = replace(hints, algorithm=hints.algorithm or named_in(path.stem))
    read, spaces = _network(data, tensors, overrides, hints)
    environment, told = environment_of(data, path.stem, hints)
    return AgentBundle(
        network=read.network,
        observation_space=spaces[0],
        action_space=spaces[1],
        provenance=Provenance(str(path), sha256_of(content), _version(archive, folder), _training(data)),
        environment=environment,
        notices=(*read.notices, *told),
        unproven=read.own,
        alternatives=read.others,
        check=overrides.check,
    )


def stored_observation_space(archive: Archive) -> Space:
    """The observation space that a zip of ``model.save()`` states, without reading its networks.

    Raises:
        AgentError: it states none that can be read.
    """
    return observation_space(_space(read_data(archive.read("data"), archive.label), "observation_space"))


def _version(archive: Archive, folder: str) -> str | None:
    if folder + _VERSION_MEMBER not in archive.names:
        return None
    return plain(archive.read(folder + _VERSION_MEMBER).decode(errors="replace").strip(), 64)


def _training(data: Sb3Data) -> dict[str, Any]:
    plain = {name: data.fields.get(name) for name in _TRAINING_FIELDS}
    return {name: value for name, value in plain.items() if isinstance(value, int | float | str)}


def environment_of(data: Sb3Data, stem: str, hints: Hints = NO_HINTS) -> tuple[EnvironmentSpec | None, tuple[str, ...]]:
    """The environment the file names, or that its own name suggests, with a notice in the second case.

    >>> environment_of(Sb3Data({}, "", None, None, ()), "ppo-CartPole-v1")[0].id
    'CartPole-v1'
    """
    stored = hints.environment_id or data.fields.get("env_id")
    if isinstance(stored, str) and stored:
        return EnvironmentSpec(stored), ()
    algorithm = named_in(stem)
    guess = stem[len(algorithm) + 1 :] if algorithm else stem
    if not _ENVIRONMENT_ID.fullmatch(guess):
        return None, ()
    return EnvironmentSpec(guess), (f"environment {guess} guessed from the file's name; --env overrides",)


def _space(data: Sb3Data, name: str) -> dict[str, Any]:
    stored = data.fields.get(name)
    if not isinstance(stored, dict):
        raise UndeterminedAgentError(
            f"The agent's file does not state its {name.replace('_', ' ')}.",
            got=f"{name}: {type(stored).__name__}",
            expected="the fields of a gym or gymnasium space",
            hint="Name the environment: --env ID.",
        )
    return stored


def _network(
    data: Sb3Data, tensors: dict[str, Array], overrides: Overrides, hints: Hints
) -> tuple[_Read, tuple[Space, Space]]:
    tensors, observers = split_ranges(tensors)
    family, own_class = family_of(data, tensors)
    own = own_code(data)
    if own and overrides.check is None:
        raise unproven(own)
    algorithm = algorithm_of(data, family, tensors, hints.algorithm)
    observations = overrides.observation_space or observation_space(_space(data, "observation_space"))
    actions = overrides.action_space or action_space(_space(data, "action_space"))
    _check_actions(algorithm, family, actions)
    try:
        read, layout = _structure(data, tensors, overrides, (algorithm, family, observations, actions))
    except (DamagedAgentError, UnsupportedAgentError) as error:
        if not own:
            raise
        raise untold(own, error) from error
    own = own or _doubts(data, tensors, layout, read, (algorithm, family))
    _refuse_idle(overrides, layout, read, bool(own))
    if own and overrides.check is None:
        raise unproven(own)
    facts = FACTS[family]
    try:
        activation = _activation(data, facts.activation, own_class, layout, overrides.activation, hints.activation)
    except UndeterminedAgentError:
        if overrides.check is None:
            raise
        own, activation = own or ("an activation that it does not tell",), facts.activation
    bounded = "actor.mu.0.weight" in layout.state and family == "gaussian"
    clip_mean = _number(data, "clip_mean", CLIP_MEAN)
    epsilon = BATCH_NORM_EPSILON if algorithm == "crossq" else TORCH_NORM_EPSILON
    network = Sb3Network(
        algorithm=algorithm,
        state=layout.state,
        activation=activation,
        extractor=read.extractor,
        squash_output=_squashes(data, family, actions, layout),
        mean_clip=clip_mean if bounded else None,
        normalize_images=bool(data.argument("normalize_images", True)),
        n_quantiles=_quantiles(layout, actions) if family == "quantile" else None,
        norm_epsilon=_number(data, "batch_norm_eps", epsilon),
        quantizers=read_quantizers(data, observers, layout.state),
    )
    others = alternatives(network, overrides.activation, own_cnn=not read.from_library) if own else ()
    notices = (*(() if own else read.notices), *_contradiction(data, overrides.activation))
    return _Read(network, notices, own, others), (_with_images(observations, network), actions)


def _refuse_idle(overrides: Overrides, layout: Layout, read: ReadExtractor, own: bool) -> None:
    """Refuse what is stated of layers that the agent does not have."""
    if overrides.cnn_strides is not None and read.extractor.cnn is None:
        raise useless(
            ("cnn_strides",), "The agent has no convolutions whose strides could be stated.", "Leave the option out."
        )
    if overrides.activation is not None and layout.hidden_layers == 0 and not own:
        cnn = " The library's CNNs use ReLU." if read.extractor.cnn is not None else ""
        raise useless(
            ("activation",), "The agent has no hidden layer whose activation could be stated.", "Leave it out." + cnn
        )


def _structure(
    data: Sb3Data,
    tensors: dict[str, Array],
    overrides: Overrides,
    kind: tuple[Algorithm, Family, Space, Space],
) -> tuple[ReadExtractor, Layout]:
    algorithm, family, observations, actions = kind
    facts = FACTS[family]
    declared = _declared_extractor(data)
    read = read_extractor(tensors, facts.extractors, observations, declared, overrides.cnn_strides)
    if algorithm == "maskable_ppo" and isinstance(actions, MultiBinary):
        tensors |= _one_score_per_bit(tensors, actions.n)
    outputs = None if family == "quantile" else action_width(actions)
    memory = _memory(data, tensors, read.features) if algorithm == "recurrent_ppo" else None
    width = read.features if memory is None else memory.hidden
    layout = read_layout(tensors, facts, read.extractor.prefix, width, outputs)
    if memory is not None:
        layout = replace(layout, state={**layout.state, **memory.state})
    if algorithm == "crossq":
        check_normalisation(layout.state, facts.hidden[-1], read.features)
    return read, layout


def _memory(data: Sb3Data, tensors: dict[str, Array], features: int) -> RecurrentTensors:
    """The LSTM that acts; what its arguments change of its shape is in its tensors."""
    given = data.argument("lstm_kwargs", {})
    strange = sorted(set(given) - {"bias", "dropout"}) if isinstance(given, dict) else ["not a dict"]
    memory = read_recurrent(tensors, LSTM, features, gates=4)
    if strange:
        raise UnsupportedAgentError(
            "The agent's LSTM has arguments that are not supported.",
            got=f"lstm_kwargs with {listing(strange, 4)}",
            expected="bias and dropout",
        )
    return memory


def _doubts(
    data: Sb3Data,
    tensors: dict[str, Array],
    layout: Layout,
    read: ReadExtractor,
    kind: tuple[Algorithm, Family],
) -> tuple[str, ...]:
    """What the tensors show, or the activation's class, that no class of the library does."""
    algorithm, family = kind
    found: list[str] = []
    strange = foreign_tensors(
        _without_memory(tensors, algorithm),
        _without_memory(layout.state, algorithm),
        FACTS[family],
        read.extractor.prefix,
        normalised=algorithm == "crossq",
    )
    if strange:
        found.append(f"tensors {listing(strange, 4)}, which its class does not have")
    if not read.from_library:
        found.append("a CNN of its own")
    stored = data.argument("activation_fn", None)
    if layout.hidden_layers and stored is not None and activation_from_text(stored) is None:
        found.append(f"activation_fn {printed(stored)}")
    return tuple(found)


def _without_memory(tensors: Mapping[str, Array], algorithm: Algorithm) -> dict[str, Array]:
    """The tensors but for a recurrent policy's LSTM, which is checked by itself, and its critic's first layer."""
    own = (LSTM, "critic.") if algorithm == "recurrent_ppo" else ()
    return {name: array for name, array in tensors.items() if not name.startswith(own)}


def _contradiction(data: Sb3Data, stated: Activation | None) -> tuple[str, ...]:
    told = activation_from_text(data.argument("activation_fn", None))
    if stated is None or told is None or told == stated:
        return ()
    return (f"The activation is {in_words(stated)} as stated; the file says {in_words(told)}.",)


def _with_images(space: Space, network: Sb3Network) -> Space:
    """Old gym prints the boxes of a dict by shape alone; a key that has a CNN holds bytes, or SB3 had not made one."""
    if not isinstance(space, DictSpace) or not network.normalize_images:
        return space
    untold = ((-math.inf,), (math.inf,))
    return DictSpace(
        tuple(
            (key, Box(part.shape, "uint8", (0.0,), (255.0,)))
            if key in network.extractor.image_keys and isinstance(part, Box) and (part.low, part.high) == untold
            else (key, part)
            for key, part in space.spaces
        )
    )


def _one_score_per_bit(tensors: dict[str, Array], bits: int) -> dict[str, Array]:
    """MaskablePPO scores "off" and "on" of every bit; their difference decides as one score above 0 does."""
    merged: dict[str, Array] = {}
    for name in ("action_net.weight", "action_net.bias"):
        array = tensors.get(name)
        if array is not None and array.ndim > 0 and array.shape[0] == 2 * bits:
            merged[name] = array[1::2] - array[0::2]
    return merged


def _check_actions(algorithm: Algorithm, family: Family, actions: Space) -> None:
    fits = {
        "q": Discrete,
        "quantile": Discrete,
        "ars": Box | Discrete,
        "deterministic": Box,
        "gaussian": Box,
    }.get(family)
    if fits is not None and not isinstance(actions, fits):
        raise DamagedAgentError(
            f"{algorithm} does not act in the space that the file stores.",
            got=type(actions).__name__,
            expected=str(getattr(fits, "__name__", fits)),
        )
    if isinstance(actions, Box) and (family in ("deterministic", "gaussian")):
        low, high = actions.bounds()
        if not all(map(math.isfinite, (*low.flat, *high.flat))):
            raise UndeterminedAgentError(
                "The actor's output is scaled to bounds, and the file's action space has none.",
                got=f"low {actions.low[:4]}, high {actions.high[:4]}",
                expected="finite bounds",
                hint="Name the environment: --env ID.",
            )


def _declared_extractor(data: Sb3Data) -> str | None:
    stored = data.argument("features_extractor_class", None)
    if stored is None:
        return None
    return class_name(stored) or str(stored)


def _activation(
    data: Sb3Data,
    default: Activation,
    own_class: bool,
    layout: Layout,
    stated: Activation | None,
    hinted: Activation | None,
) -> Activation:
    """Of the hidden layers: as the user states it, the file tells it, files beside it say, or the class defaults."""
    stored = data.argument("activation_fn", None)
    told = stated or activation_from_text(stored) or hinted
    if told is not None:
        return told
    if layout.hidden_layers and stored is not None:
        raise undetermined_activation(str(stored)[:200])
    if layout.hidden_layers and data.policy_kwargs is None:
        raise undetermined_activation("no readable policy_kwargs")
    if layout.hidden_layers and not own_class:
        raise undetermined_policy(data)
    return default


def _number(data: Sb3Data, name: str, default: float) -> float:
    value = data.argument(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DamagedAgentError(f"The policy's argument {name!r} is not a number.", got=shown(value, 80))
    return float(value)


def _squashes(data: Sb3Data, family: Family, actions: Space, layout: Layout) -> bool:
    match family:
        case "deterministic" | "gaussian":
            return True
        case "actor_critic":
            sde = bool(data.argument("use_sde", False)) or bool(data.fields.get("use_sde"))
            return sde and bool(data.argument("squash_output", False)) and isinstance(actions, Box)
        case "ars":
            return isinstance(actions, Box) and bool(data.argument("squash_output", not _is_linear(data, layout)))
        case _:
            return False


def _is_linear(data: Sb3Data, layout: Layout) -> bool:
    """Whether an ARS policy is the linear one, which does not squash by default."""
    if data.policy_class is not None:
        return "Linear" in data.policy_class
    return layout.hidden_layers == 0 and "net_arch" not in (data.policy_kwargs or {})


def _quantiles(layout: Layout, actions: Space) -> int:
    rows = max(
        (array.shape[0], int(name.split(".")[2]))[::-1]
        for name, array in layout.state.items()
        if name.startswith("quantile_net.quantile_net.") and name.endswith(".weight")
    )[1]
    count, rest = divmod(int(rows), action_width(actions))
    if rest or count == 0:
        raise DamagedAgentError(
            "The agent's quantiles do not fit its action space.",
            got=f"{rows} outputs for {action_width(actions)} actions",
            expected="a multiple of the number of actions",
        )
    return count
