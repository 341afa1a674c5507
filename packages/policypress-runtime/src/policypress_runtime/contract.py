"""The artifact's contract, as plain data: spaces, environment, what is folded in, what it was made from.

No dependency beyond numpy. Everything here is frozen, compares by value and has a JSON form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from policypress_runtime import contract_schema as schema
from policypress_runtime.contract_facts import Checked as Checked
from policypress_runtime.contract_facts import Quantity as Quantity
from policypress_runtime.contract_facts import SourceNames as SourceNames
from policypress_runtime.contract_facts import checked_from, quantity_from, source_from
from policypress_runtime.errors import ArtifactError
from policypress_runtime.space import DTYPES, NAME_LENGTH, Json
from policypress_runtime.space import Bound as Bound
from policypress_runtime.space import Box as Box
from policypress_runtime.space import DictSpace as DictSpace
from policypress_runtime.space import Discrete as Discrete
from policypress_runtime.space import MultiBinary as MultiBinary
from policypress_runtime.space import MultiDiscrete as MultiDiscrete
from policypress_runtime.space import Space as Space
from policypress_runtime.space import action_width as action_width
from policypress_runtime.space import box as box
from policypress_runtime.space import space_from_json as space_from_json
from policypress_runtime.space import space_to_json as space_to_json

SCHEMA = 1
# With a state that the caller carries. A program that knows schema 1 alone would run such an artifact without it.
STATE_SCHEMA = 2
METADATA_KEY = "policypress_runtime.contract"
# Beside it where integers are narrower than what holds them: JSON, name of the initializer → bits.
INTEGER_BITS_KEY = "policypress.integer_bits"
RECIPE_LENGTH = 4000
# An assumption of the contract: the agent may have been trained with statistics that are kept somewhere else.
NO_NORMALISER_FOUND = "no VecNormalize statistics were found beside the agent: observations are not normalised"


def stated(entries: Iterable[tuple[str, str]]) -> str | None:
    """The text of the contract among an ONNX file's metadata; None where there is none.

    Raises:
        ArtifactError: there are several, of which programs would read different ones.
    """
    found = [value for key, value in entries if key == METADATA_KEY]
    if len(found) > 1:
        raise ArtifactError(
            "The artifact holds several contracts.", got=f"{len(found)} of them", expected="one", hint=schema.HINT
        )
    return found[0] if found else None


@dataclass(frozen=True)
class WrapperSpec:
    """A wrapper on the allow-list (or a user's ``package:Class``) with its keyword arguments."""

    name: str
    kwargs: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class EnvironmentSpec:
    """How to make the environment: id (``Hopper-v4`` or ``package.module:MyEnv-v0``), arguments, wrappers.

    ``trained_id`` is the id the agent was trained on, when the id had to be mapped to a current one.
    Wrappers apply in order, the first one innermost.
    """

    id: str
    kwargs: tuple[tuple[str, Any], ...] = ()
    wrappers: tuple[WrapperSpec, ...] = ()
    trained_id: str | None = None

    def to_json(self) -> Json:
        """JSON form."""
        return {
            "id": self.id,
            "kwargs": dict(self.kwargs),
            "wrappers": [{"name": w.name, "kwargs": dict(w.kwargs)} for w in self.wrappers],
            "trained_id": self.trained_id,
        }

    @staticmethod
    def from_json(data: object) -> EnvironmentSpec:
        """Inverse of :meth:`to_json`.

        Raises:
            ArtifactError: a field is missing, or has another type or characters that cannot be printed.
        """
        where = "environment"
        found = schema.fields(data, where)
        trained = schema.member(found, "trained_id", where)
        return EnvironmentSpec(
            schema.text(schema.member(found, "id", where), f"{where}.id", NAME_LENGTH),
            schema.settings(schema.member(found, "kwargs", where), f"{where}.kwargs"),
            schema.items(schema.member(found, "wrappers", where), f"{where}.wrappers", _wrapper),
            None if trained is None else schema.text(trained, f"{where}.trained_id", NAME_LENGTH),
        )


def _wrapper(value: object, where: str) -> WrapperSpec:
    found = schema.fields(value, where)
    name = schema.text(schema.member(found, "name", where), f"{where}.name", NAME_LENGTH)
    return WrapperSpec(name, schema.settings(schema.member(found, "kwargs", where), f"{where}.kwargs"))


_SUPPLIES = {
    "TimeFeatureWrapper": "time_feature",
    "frame_stack": "frame_stack",
    "AtariWrapper": "atari_preprocessing",
    "HistoryWrapper": "history",
    "HistoryWrapperObsDict": "history",
    "ZeroContactForces": "zero_contact_forces",
}


# Packages whose wrappers the environments' list stands for: agents' files name them with the module in front.
_WRAPPER_MODULES = (
    "stable_baselines3.common.atari_wrappers",
    "sb3_contrib.common.wrappers",
    "rl_zoo3.wrappers",
    "rl_zoo.wrappers",
    "utils.wrappers",
    "gymnasium.wrappers",
    "gym.wrappers",
)


def is_wrapper_module(module: str) -> bool:
    """Whether ``module`` is, or lies in, a package whose wrappers are known by their short names."""
    return any(f"{module}.".startswith(f"{known}.") for known in _WRAPPER_MODULES)


def supplied_by(wrappers: tuple[WrapperSpec, ...]) -> tuple[str, ...]:
    """What wrappers put into the observation, so that a caller without them has to supply it."""
    return tuple(dict.fromkeys(_SUPPLIES[wrapper.name] for wrapper in wrappers if wrapper.name in _SUPPLIES))


ACTION_MASK = "action_mask"
"""Among what the caller supplies: which actions are allowed. The artifact gives scores; the caller masks them."""


def with_mask(algorithm: str, supplied: tuple[str, ...]) -> tuple[str, ...]:
    """``supplied``, and the action mask where the algorithm acts with one."""
    return tuple(dict.fromkeys((*supplied, *((ACTION_MASK,) if algorithm == "maskable_ppo" else ()))))


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output: its dtype, and its shape without the free batch dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StateSpec:
    """One tensor of an artifact's memory, float32: given to a step under ``name``, its next value is ``next_name``.

    Args:
        name: of the input.
        next_name: of the output.
        shape: without the batch, which is the first axis.
        initial: at the start of an episode, row-major; empty where all is 0.
    """

    name: str
    next_name: str
    shape: tuple[int, ...]
    initial: tuple[float, ...] = ()

    def start(self, rows: int) -> npt.NDArray[np.float32]:
        """The value at the start of ``rows`` episodes, ``(rows, *shape)``."""
        first = np.array(self.initial or 0.0, np.float32)
        return np.broadcast_to(first.reshape(self.shape if self.initial else ()), (rows, *self.shape)).copy()


Precision = Literal["fp32", "int8", "int7", "int6", "int5", "int4", "int3", "int2", "mixed"]


@dataclass(frozen=True)
class Contract:
    """Everything a caller needs to use the artifact, and where it came from.

    ``folded`` lists what the graph does by itself, in order (``normalise``, ``normalise_clip``,
    ``transpose_image``, ``scale_image``, ``one_hot``, ``squash``, ``unscale``, ``clip``, ``argmax``, ``threshold``);
    ``caller_supplies`` what the caller must still put into the observation (for example a time feature).
    ``assumptions`` are sentences on what the agent's files left open (that no normaliser was found beside it).
    ``checked`` says that the network was accepted by observations and actions of the author's own code; None where the
    agent's files determine it. Contracts in which it is None have the text that they had before there was the field.
    ``source`` is what the ONNX file that it was made from calls its inputs and outputs, and says beside its network;
    None, and absent from the text, where there was none.
    ``state`` is what the caller carries from one step to the next; empty for a policy without memory.
    ``batch_independent`` is false where dynamic quantization takes its scales from the whole batch, so that one
    observation at a time is the only well-defined use.
    """

    algorithm: str
    observation_space: Space
    action_space: Space
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    folded: tuple[str, ...]
    recipe: str
    recipe_hash: str
    environment: EnvironmentSpec | None = None
    caller_supplies: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    parent_sha256: str | None = None
    precision: Precision = "fp32"
    policypress_version: str = ""
    measured_return: Quantity | None = None
    batch_independent: bool = True
    checked: Checked | None = None
    state: tuple[StateSpec, ...] = ()
    source: SourceNames | None = None

    @property
    def schema(self) -> int:
        """Version of the JSON form: the oldest that can say what this contract says."""
        return STATE_SCHEMA if self.state else SCHEMA

    def to_json(self) -> Json:
        """JSON form, as it stands in ``metadata_props`` and in the sidecar."""
        data = asdict(self)
        data["observation_space"] = space_to_json(self.observation_space)
        data["action_space"] = space_to_json(self.action_space)
        data["environment"] = None if self.environment is None else self.environment.to_json()
        data["schema"] = self.schema
        if self.checked is None:
            del data["checked"]
        if not self.state:
            del data["state"]
        data["source"] = None if self.source is None else self.source.to_json()
        if self.source is None:
            del data["source"]
        return cast(Json, _listify(data))

    @staticmethod
    def from_text(text: str) -> Contract:
        """The contract in a metadata entry or a sidecar.

        Raises:
            ArtifactError: it is not JSON, too large, or no contract; see :meth:`from_json`.
        """
        return Contract.from_json(schema.parsed(text))

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Contract:
        """Inverse of :meth:`to_json`. What it holds beside the fields is left alone.

        Raises:
            ArtifactError: a newer schema, or a field is missing, of another type, out of range, or not printable.
        """
        if data.get("schema") not in (SCHEMA, STATE_SCHEMA):
            raise ArtifactError(
                "The artifact's contract has another schema.",
                got=f"schema {str(data.get('schema'))[:60]!r}",
                expected=f"schema {SCHEMA} or {STATE_SCHEMA}",
                hint="Upgrade policypress, or write the artifact again.",
            )

        def words(key: str, limit: int = NAME_LENGTH) -> str:
            return schema.text(schema.member(data, key), key, limit)

        parent, environment = schema.member(data, "parent_sha256"), schema.member(data, "environment")
        measured = schema.member(data, "measured_return")
        precision = schema.choice(schema.member(data, "precision"), "precision", get_args(Precision))
        return Contract(
            algorithm=words("algorithm"),
            observation_space=space_from_json(schema.member(data, "observation_space"), "observation_space"),
            action_space=space_from_json(schema.member(data, "action_space"), "action_space"),
            inputs=schema.items(schema.member(data, "inputs"), "inputs", _tensor),
            outputs=schema.items(schema.member(data, "outputs"), "outputs", _tensor),
            folded=schema.items(schema.member(data, "folded"), "folded", schema.text),
            recipe=words("recipe", RECIPE_LENGTH),
            recipe_hash=words("recipe_hash"),
            environment=None if environment is None else EnvironmentSpec.from_json(environment),
            caller_supplies=schema.items(schema.member(data, "caller_supplies"), "caller_supplies", schema.text),
            # Older artifacts assumed nothing aloud.
            assumptions=schema.items(data.get("assumptions", []), "assumptions", schema.text),
            parent_sha256=None if parent is None else schema.text(parent, "parent_sha256", NAME_LENGTH),
            precision=cast(Precision, precision),
            policypress_version=words("policypress_version"),
            measured_return=None if measured is None else quantity_from(measured),
            batch_independent=schema.flag(schema.member(data, "batch_independent"), "batch_independent"),
            checked=None if data.get("checked") is None else checked_from(data["checked"]),
            state=_states(data),
            source=None if data.get("source") is None else source_from(data["source"]),
        )

    @property
    def masked(self) -> bool:
        """Whether the caller masks the scores. Contracts from before masks do not list them."""
        return ACTION_MASK in with_mask(self.algorithm, self.caller_supplies)

    def layout_of(self, spec: TensorSpec) -> str:
        """Which axis of an image is which, in words; empty where ``spec`` is no image."""
        if spec.dtype != "uint8" or len(spec.shape) != 3:
            return ""
        if "transpose_image" in self.folded:
            return "height, width, channels"
        # Files from elsewhere say shapes alone.
        told = self.algorithm not in ("onnx", "module")
        return "channels first: channels, height, width" if told else "axes in the order of the source's own input"

    def with_return(self, measured: Quantity) -> Contract:
        """The same contract with the return that was measured."""
        return replace(self, measured_return=measured)


def _tensor(value: object, where: str) -> TensorSpec:
    found = schema.fields(value, where)
    return TensorSpec(
        schema.text(schema.member(found, "name", where), f"{where}.name", NAME_LENGTH),
        schema.choice(schema.member(found, "dtype", where), f"{where}.dtype", DTYPES),
        schema.shape(schema.member(found, "shape", where), f"{where}.shape"),
    )


def _states(data: Mapping[str, Any]) -> tuple[StateSpec, ...]:
    if data["schema"] == SCHEMA:
        return ()
    return schema.items(schema.member(data, "state"), "state", _state)


def _state(value: object, where: str) -> StateSpec:
    found = schema.fields(value, where)
    shape = schema.shape(schema.member(found, "shape", where), f"{where}.shape")
    initial = schema.items(schema.member(found, "initial", where), f"{where}.initial", schema.number)
    if initial and len(initial) != math.prod(shape):
        schema.refused(f"{where}.initial", f"{len(initial)} numbers", f"none, or {math.prod(shape)}")
    return StateSpec(
        schema.text(schema.member(found, "name", where), f"{where}.name", NAME_LENGTH),
        schema.text(schema.member(found, "next_name", where), f"{where}.next_name", NAME_LENGTH),
        shape,
        initial,
    )


def _listify(value: object) -> object:
    if isinstance(value, dict):
        return {key: _listify(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_listify(item) for item in value]
    return value
