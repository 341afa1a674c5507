"""Pickles read as plain data: an allow-list of names, each standing for an inert record of ours.

``pickle`` executes what ``find_class`` gives it, so nothing real is ever given: arrays become numpy arrays
through checked code of this module, every other allowed class becomes a :class:`Record` that holds its state,
and any other name is refused before it is looked at. Names are never imported.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policypress.agents.pickles.counted import CountedUnpickler
from policypress_runtime.errors import DamagedAgentError, UnsafeAgentError

MAX_PICKLE_BYTES = 256 * 1024**2

_SPACES = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Dict", "Tuple")
_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
_SCALAR_TYPES = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "bool_",
)

RECORDS = frozenset(
    [
        "stable_baselines3.common.vec_env.vec_normalize.VecNormalize",
        "stable_baselines3.common.running_mean_std.RunningMeanStd",
        "collections.OrderedDict",
        "collections.deque",
        "numpy.ndarray",
        "numpy.random.bit_generator.SeedSequence",
        "numpy.random.bit_generator.SeedlessSeedSequence",
        "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
        "numpy.random.bit_generator.__pyx_unpickle_SeedlessSeedSequence",
        "numpy.random.__RandomState_ctor",
        "gym.utils.seeding.RandomNumberGenerator",
        "gym.utils.seeding.RandomNumberGenerator._generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
        "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__bit_generator_ctor",
        "builtins.object",
        "__builtin__.object",
        *(f"{library}.spaces.{name}" for library in ("gym", "gymnasium") for name in _SPACES),
        *(
            f"{library}.spaces.{module}.{name}"
            for library in ("gym", "gymnasium")
            for module, name in zip(
                ("box", "discrete", "multi_discrete", "multi_binary", "dict", "tuple"), _SPACES, strict=True
            )
        ),
        *(f"numpy.random._{name.lower()}.{name}" for name in _BIT_GENERATORS),
        *(f"numpy.{name}" for name in _SCALAR_TYPES),
    ]
)
"""Dotted names that become records."""

_NUMBER_KINDS = "biuf"


class Record:
    """An object of the pickle: the name of its class, its arguments, its state and items. It does nothing."""

    name = ""

    def __new__(cls, *arguments: Any, **named: Any) -> Record:
        """Keep everything here: a pickle may call this and never ``__init__``."""
        record = super().__new__(cls)
        record.arguments = arguments
        record.fields = dict(named)
        record.items = []
        return record

    arguments: tuple[Any, ...]
    fields: dict[Any, Any]
    items: list[Any]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Nothing is left to do."""

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.fields.update(part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.fields[key] = value

    def append(self, item: Any) -> None:
        """Keep an item."""
        self.items.append(item)

    def extend(self, items: list[Any]) -> None:
        """Keep items."""
        self.items.extend(items)


class _Dtype:
    """A dtype by its code, e.g. ``f8``; ``__setstate__`` brings the byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code
        self.order: Literal["<", ">", "|", "="] = "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        if not isinstance(self.code, str) or self.order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"dtype {self.code!r}")
        dtype = np.dtype(self.code)
        if dtype.kind not in _NUMBER_KINDS or dtype.itemsize > 8:
            raise pickle.UnpicklingError(f"an array of dtype {self.code!r}")
        return dtype.newbyteorder("=" if self.order == "|" else self.order)


class _Array:
    """What ``_reconstruct`` makes; its state brings shape, dtype and bytes."""

    def __init__(self, *_: Any) -> None:
        self.value: npt.NDArray[Any] | None = None

    @classmethod
    def holding(cls, value: npt.NDArray[Any]) -> _Array:
        made = cls()
        made.value = value
        return made

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _array(raw, dtype, shape, "F" if fortran else "C")


def _array(raw: Any, dtype: Any, shape: Any, order: str) -> npt.NDArray[Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | bytearray) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("an array that is not numbers")
    kind = dtype.resolve()
    if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) * kind.itemsize != len(raw):
        raise pickle.UnpicklingError(f"{len(raw)} bytes for an array of shape {shape}")
    return np.frombuffer(raw, dtype=kind).reshape(shape, order="F" if order == "F" else "C")


def array_of(value: Any) -> npt.NDArray[Any] | None:
    """The array or number that ``value`` stands for, as an array; None if it stands for something else."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return np.asarray(value, dtype=np.float64)
    return None


class _InertUnpickler(CountedUnpickler):
    """Gives ``pickle`` classes and functions made for this one load, so that no pickle can change another's."""

    def __init__(self, content: bytes, label: str, more: frozenset[str]) -> None:
        super().__init__(io.BytesIO(content), len(content))
        self._label = label
        self._records = RECORDS | more
        self._made: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Our stand-in for an allowed name; any other name is refused."""
        dotted = f"{module}.{name}"
        if dotted not in self._made:
            self._made[dotted] = self._make(dotted)
        return self._made[dotted]

    def persistent_load(self, pid: Any) -> Any:
        """No pickle of ours refers to anything outside itself."""
        raise refusal(self._label, f"a reference to an outside object ({str(pid)[:80]!r})")

    def _make(self, dotted: str) -> Any:
        if dotted in self._records:
            return type("Record", (Record,), {"name": dotted})
        if dotted == "numpy.dtype":
            return type("Dtype", (_Dtype,), {})
        if dotted == "_codecs.encode":
            return self._encode
        function = _FUNCTIONS.get(dotted.replace("numpy._core.", "numpy.core."))
        if function is not None:
            # A fresh function per load: a pickle may set attributes on what it is given.
            return lambda *arguments: function(*arguments)
        raise refusal(self._label, dotted)

    def _encode(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("text in an unknown encoding")
        self.charge(len(text))
        return text.encode("latin1")


def _scalar(dtype: Any, raw: Any) -> float:
    return float(_array(raw, dtype, (), "C"))


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> _Array:
    return _Array.holding(_array(raw, dtype, shape, "F" if order == "F" else "C"))


def _reconstructor(kind: Any, *_: Any) -> Record:
    if not (isinstance(kind, type) and issubclass(kind, Record)):
        raise pickle.UnpicklingError("an object of an unknown class")
    return kind()


def _of_jax(make: Any, arguments: Any, state: Any, *_: Any) -> _Array:
    """An array of JAX: how numpy would make it, and its state."""
    made = make(*arguments) if callable(make) and isinstance(arguments, tuple) else None
    if not isinstance(made, _Array) or made.value is not None:
        raise pickle.UnpicklingError("an array of JAX that is no array")
    made.__setstate__(state)
    return made


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "jax._src.array._reconstruct_array": _of_jax,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "copyreg._reconstructor": _reconstructor,
    "copy_reg._reconstructor": _reconstructor,
}


def refusal(label: str, name: str) -> UnsafeAgentError:
    """The error for a pickle that wants something outside the allow-list."""
    return UnsafeAgentError(
        f"{label} pickles more than arrays and spaces; loading it would execute code from the file.",
        got=name,
        expected="what VecNormalize.save() of Stable-Baselines3 writes",
        hint="Do not load this file with anything else either, unless you trust its author.",
    )


def read_pickle(content: bytes, label: str, *, more: frozenset[str] = frozenset()) -> Any:
    """The pickle's object, as records, arrays, numbers, strings and containers.

    Args:
        content: the pickle.
        label: what to call it in messages.
        more: dotted names that become records too.

    Raises:
        UnsafeAgentError: it names something outside the allow-list.
        DamagedAgentError: it is truncated, or no pickle.
    """
    try:
        if len(content) > MAX_PICKLE_BYTES:
            raise pickle.UnpicklingError(f"{len(content)} bytes")
        return _InertUnpickler(content, label, more).load()
    except UnsafeAgentError:
        raise
    # Damaged pickles raise nearly everything: EOFError, IndexError, struct.error, UnicodeDecodeError, ...
    except Exception as error:
        raise DamagedAgentError(
            f"{label} is damaged.",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            expected="what VecNormalize.save() of Stable-Baselines3 writes",
            hint="Download or copy the file again.",
        ) from error
