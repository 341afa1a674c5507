"""What comes before the network: normalisation, image layout and scale, one-hot encoding.

Follows Stable-Baselines3's ``VecNormalize``, ``VecTransposeImage`` and ``preprocess_obs``.
"""

from __future__ import annotations

from policypress.agents.bundle import Normaliser
from policypress.policy.layers import Affine, Normalise, OneHot, ToFloat, Transpose
from policypress.policy.policy import GraphBuilder, input_name
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import NetworkError

# From the environment's (height, width, channels) to the network's (channels, height, width), behind the batch.
CHANNEL_FIRST = (0, 3, 1, 2)


def is_image(space: Space) -> bool:
    """Whether Stable-Baselines3 treats ``space`` as an image: uint8, three axes, 0 to 255."""
    return (
        isinstance(space, Box)
        and space.dtype == "uint8"
        and len(space.shape) == 3
        and set(space.low) == {0.0}
        and set(space.high) == {255.0}
    )


def is_any_image(space: Space) -> bool:
    """Whether ``space`` has the form of an image, of whatever dtype: three axes."""
    return isinstance(space, Box) and len(space.shape) == 3


def channel_last(space: Box) -> Box:
    """The same image space with its channel axis moved from first to last (bounds are uniform)."""
    channels, height, width = space.shape
    return Box((height, width, channels), space.dtype, space.low, space.high)


def channels_first(space: Space) -> Space:
    """As Stable-Baselines3 stores it: images (where the last axis is the shortest) with the channels first."""
    if isinstance(space, DictSpace):
        return DictSpace(tuple((key, channels_first(part)) for key, part in space.spaces))
    if isinstance(space, Box) and is_image(space) and space.shape[2] == min(space.shape):
        height, width, channels = space.shape
        return Box((channels, height, width), space.dtype, space.low, space.high)
    return space


def add_preprocessing(
    graph: GraphBuilder,
    key: str,
    space: Space,
    *,
    normaliser: Normaliser | None,
    normalize_images: bool,
    transpose: bool,
) -> str:
    """Add the layers from the raw observation ``key`` to float features; returns the value's name.

    ``space`` is the network's own (channel-first for images); with ``transpose`` the caller's is channel-last.

    Raises:
        NetworkError: the normaliser's statistics do not have the observation's shape.
    """
    value = input_name(key)
    suffix = f"_{key}" if key else ""
    match space:
        case Discrete():
            return graph.add(f"one_hot{suffix}", OneHot([space.n], space.start), value)
        case MultiDiscrete():
            return graph.add(f"one_hot{suffix}", OneHot(space.nvec), value)
        case MultiBinary():
            return graph.add(f"to_float{suffix}", ToFloat(), value)
        case Box():
            pass
        case _:
            raise NetworkError("An observation space is not supported.", got=repr(space))
    if space.dtype in ("uint8", "int8", "int32", "int64"):
        value = graph.add(f"to_float{suffix}", ToFloat(), value)
    # Statistics usually have the network's layout, as the space has; a caller's own may have the environment's.
    last = transpose and normaliser is not None and normaliser.mean.shape != space.shape
    if transpose and not last:
        value = graph.add(f"transpose{suffix}", Transpose(CHANNEL_FIRST, role="transpose_image"), value)
    if normaliser is not None:
        value = graph.add(f"normalise{suffix}", _normalise(normaliser, channel_last(space) if last else space), value)
    if last:
        value = graph.add(f"transpose{suffix}", Transpose(CHANNEL_FIRST, role="transpose_image"), value)
    if normalize_images and is_image(space):
        value = graph.add(f"scale_image{suffix}", Affine(scale=1.0 / 255.0, role="scale_image"), value)
    return value


def _normalise(normaliser: Normaliser, space: Box) -> Normalise:
    if normaliser.mean.shape != space.shape:
        raise NetworkError(
            "The normaliser's statistics do not fit the observation.",
            got=f"statistics of shape {normaliser.mean.shape}",
            expected=f"shape {space.shape}",
            hint="Use the vecnormalize.pkl that was saved with this agent.",
        )
    return Normalise(normaliser.mean, normaliser.variance, normaliser.epsilon, normaliser.clip)
