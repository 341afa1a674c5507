"""How an agent's observations become features, told from its tensors, its spaces and the class it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from policypress.agents.bundle import Array, Cnn, Extractor
from policypress.agents.sb3.defaults import (
    MNIH_CLASSES,
    MNIH_KERNELS,
    NATURE_KERNELS,
    NATURE_STRIDES,
    RELU,
    STRIDE_OF_KERNEL,
)
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import DamagedAgentError, UndeterminedAgentError, UnsupportedAgentError

_LIBRARY = "stable_baselines3.common.torch_layers."
_CONVOLUTION = re.compile(r"cnn\.(\d+)\.weight")
_MEMBER = re.compile(r"(?:cnn\.\d+|linear\.0)\.(?:weight|bias)")


@dataclass(frozen=True)
class ReadExtractor:
    """An extractor, its number of features, notices for the user, and whether it is the library's."""

    extractor: Extractor
    features: int
    notices: tuple[str, ...] = ()
    from_library: bool = True


def read_extractor(
    state: Mapping[str, Array],
    prefixes: tuple[str, ...],
    space: Space,
    declared: str | None,
    strides: tuple[int, ...] | None,
) -> ReadExtractor:
    """Tell the extractor.

    Args:
        state: every tensor of the checkpoint.
        prefixes: where the extractor may stand; the first that holds tensors counts.
        space: the observation space.
        declared: dotted name of the extractor's class, or None for the policy's default.
        strides: of the convolutions, if the user states them.

    Raises:
        UndeterminedAgentError: a custom CNN whose strides its tensors do not tell.
        UnsupportedAgentError: a custom extractor of another form.
        DamagedAgentError: tensors that do not fit each other or the space.
    """
    prefix = next((p for p in prefixes if any(name.startswith(p) for name in state)), prefixes[0])
    tensors = {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
    custom = declared is not None and not declared.startswith(_LIBRARY)
    if not tensors:
        if custom:
            raise _unsupported(f"{declared}, which has no tensors")
        kind = "combined" if isinstance(space, DictSpace) else "flatten"
        return ReadExtractor(Extractor("combined" if kind == "combined" else "flatten", prefix), flat_size(space))
    if isinstance(space, DictSpace):
        return _combined(tensors, prefix, space, declared, custom, strides)
    if not isinstance(space, Box) or not all(_MEMBER.fullmatch(name) for name in tensors):
        raise _unsupported(f"{declared or 'an extractor'} with tensors {sorted(tensors)[:6]}")
    cnn, features, notices, library = _cnn(tensors, space, declared, custom, strides)
    return ReadExtractor(Extractor("cnn", prefix, cnn), features, notices, library)


def flat_size(space: Space) -> int:
    """Number of features after flattening; discrete observations become one-hot."""
    match space:
        case Box():
            return space.size
        case Discrete():
            return space.n
        case MultiDiscrete():
            return sum(space.nvec)
        case MultiBinary():
            return space.n
        case DictSpace():
            return sum(flat_size(item) for _, item in space.spaces)


def _unsupported(got: str) -> UnsupportedAgentError:
    return UnsupportedAgentError(
        "The agent's features extractor is a custom class.",
        got=got,
        expected="flattening, a CNN with layers 'cnn' and 'linear', or these by key",
        hint="Load it with its own code in Python and give Policy.from_module(model) to policypress, or give an "
        "ONNX file.",
    )


def _combined(
    tensors: Mapping[str, Array],
    prefix: str,
    space: DictSpace,
    declared: str | None,
    custom: bool,
    strides: tuple[int, ...] | None,
) -> ReadExtractor:
    image_keys: list[str] = []
    features = 0
    found: tuple[Cnn, tuple[str, ...]] | None = None
    library = True
    claimed: set[str] = set()
    for key, item in space.spaces:
        start = f"extractors.{key}."
        own = {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}
        if not own:
            features += flat_size(item)
            continue
        if not isinstance(item, Box) or not all(_MEMBER.fullmatch(name) for name in own):
            raise _unsupported(f"key {key!r} with tensors {sorted(own)[:6]}")
        cnn, width, notices, known = _cnn(own, item, declared, custom, strides)
        library = library and known
        if found is not None and found[0] != cnn:
            raise _unsupported("CNNs of different strides for different keys")
        found = (cnn, notices)
        image_keys.append(key)
        features += width
        claimed.update(start + name for name in own)
    if set(tensors) != claimed:
        raise _unsupported(f"{declared or 'an extractor'} with tensors {sorted(set(tensors) - claimed)[:6]}")
    cnn_of_all, notices = found if found is not None else (None, ())
    return ReadExtractor(Extractor("combined", prefix, cnn_of_all, tuple(image_keys)), features, notices, library)


def _cnn(
    tensors: Mapping[str, Array], space: Box, declared: str | None, custom: bool, strides: tuple[int, ...] | None
) -> tuple[Cnn, int, tuple[str, ...], bool]:
    indices = sorted(int(match.group(1)) for name in tensors if (match := _CONVOLUTION.fullmatch(name)))
    weights = [tensors[f"cnn.{index}.weight"] for index in indices]
    linear = tensors.get("linear.0.weight")
    if linear is None or linear.ndim != 2 or not weights or any(w.ndim != 4 for w in weights) or len(space.shape) != 3:
        raise _unsupported(f"{declared or 'a CNN'} with tensors {sorted(tensors)[:6]} for shape {space.shape}")
    kernels = tuple(int(weight.shape[2]) for weight in weights)
    nature = not custom and kernels == NATURE_KERNELS
    known = nature or (declared in MNIH_CLASSES and kernels == MNIH_KERNELS)
    chosen = strides or (NATURE_STRIDES if nature else tuple(STRIDE_OF_KERNEL.get(kernel, 0) for kernel in kernels))
    if strides is None and (0 in chosen or any(w.shape[2] != w.shape[3] for w in weights)):
        raise _undetermined(declared, f"kernels {kernels}")
    if len(chosen) != len(weights):
        raise _undetermined(declared, f"{len(chosen)} strides for {len(weights)} convolutions")
    flat = _flattened(weights, chosen, space.shape)
    if flat != linear.shape[1]:
        sizes = f"{flat} features, but the layer after reads {linear.shape[1]}"
        got = f"image {space.shape}, kernels {kernels}, strides {chosen}: {sizes}"
        if known:
            raise DamagedAgentError(
                "The CNN's tensors do not fit the observation space.", got=got, expected="tensors of one network"
            )
        raise _undetermined(declared, got)
    notices: tuple[str, ...] = ()
    if not known and strides is None:
        notices = (
            f"the CNN's strides {','.join(map(str, chosen))} (no padding, ReLU) were derived from its tensors' shapes; "
            "--cnn-strides overrides them",
        )
    library = known and indices == list(range(0, 2 * len(indices), 2))
    return Cnn(tuple(chosen), (0,) * len(chosen), RELU), int(linear.shape[0]), notices, library


def _flattened(weights: list[Array], strides: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Features after the convolutions without padding; 0 where they do not fit."""
    channels, height, width = shape
    for weight, stride in zip(weights, strides, strict=True):
        if weight.shape[1] != channels or stride < 1:
            return 0
        channels = int(weight.shape[0])
        height = (height - weight.shape[2]) // stride + 1
        width = (width - weight.shape[3]) // stride + 1
        if height < 1 or width < 1:
            return 0
    return channels * height * width


def _undetermined(declared: str | None, got: str) -> UndeterminedAgentError:
    return UndeterminedAgentError(
        f"The file does not determine the strides of the agent's CNN{f' ({declared})' if declared else ''}.",
        got=got,
        expected="strides that fit the image and the layer after the convolutions",
        hint="State them, first convolution to last: --cnn-strides 4,2 (padding 0).",
    )
