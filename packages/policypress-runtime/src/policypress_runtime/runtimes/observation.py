"""Observations on their way into a policy: taken in any form, refused with the reason where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress_runtime.contract import TensorSpec
from policypress_runtime.errors import ObservationError

Array = npt.NDArray[Any]
# One array, or arrays by key; whatever numpy makes an array of will do (lists, a number for Discrete).
Observation = Any


def part_of(observation: Observation, spec: TensorSpec, inputs: tuple[TensorSpec, ...]) -> Any:
    """What ``observation`` has for the input ``spec``, one of ``inputs``.

    Raises:
        ObservationError: it has other keys.
    """
    if not isinstance(observation, Mapping):
        if len(inputs) > 1:
            raise ObservationError(
                "The policy reads a dict of observations.",
                got=type(observation).__name__,
                expected="keys " + ", ".join(key_of(s) for s in inputs),
            )
        return observation
    if key_of(spec) not in observation:
        raise ObservationError(
            "The observation's keys are not the policy's.",
            got=", ".join(sorted(map(str, observation))),
            expected=", ".join(key_of(s) for s in inputs),
        )
    return observation[key_of(spec)]


def fill(buffer: Array, spec: TensorSpec, values: Any, finite: npt.NDArray[np.bool_] | None = None) -> None:
    """Write one observation's ``values`` into ``buffer``, of shape (1, ...).

    Args:
        buffer: in the dtype of ``spec``.
        spec: the input.
        values: an array, or what numpy makes one of.
        finite: scratch space of the buffer's shape, so that none is made.

    Raises:
        ObservationError: another shape, or values that the dtype cannot hold.
    """
    array = array_of(values, spec)
    if array.shape != spec.shape:
        raise wrong_shape(spec, array.shape, spec.shape)
    try:
        if array.dtype == buffer.dtype:
            buffer[0] = array
        else:  # what overflows becomes infinite, and is refused as such
            with np.errstate(over="ignore", invalid="ignore"):
                buffer[0] = array
    except RuntimeWarning as error:  # beyond float32, where the caller made warnings errors
        raise not_finite(spec) from error
    except (TypeError, ValueError) as error:
        raise no_numbers(spec, array) from error
    if buffer.dtype != np.float32:
        if array.dtype != buffer.dtype and not (buffer[0] == array).all():
            raise no_numbers(spec, array)
    elif b"\0" in np.isfinite(buffer, out=finite).tobytes():  # half the time of .all()
        raise not_finite(spec)


def batches_of(observations: Observation, inputs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """A contiguous batch for every input, by name.

    Raises:
        ObservationError: wrong keys, shapes, numbers of rows, or values.
    """
    feeds = {spec.name: _batch(part_of(observations, spec, inputs), spec) for spec in inputs}
    if len({len(array) for array in feeds.values()}) > 1:
        raise ObservationError(
            "The observation's keys have different numbers of rows.",
            got=", ".join(f"{name}: {len(array)}" for name, array in feeds.items()),
            expected="the batch along the first axis of every key",
        )
    return feeds


def one_row(observation: Observation, inputs: tuple[TensorSpec, ...]) -> Observation:
    """One observation as a batch of one."""
    rows = {key_of(spec): array_of(part_of(observation, spec, inputs), spec)[None] for spec in inputs}
    return rows.get("", rows)


def is_single(observation: Observation, inputs: tuple[TensorSpec, ...]) -> bool:
    """Whether this is one observation, judged by the shape of its first input."""
    spec = inputs[0]
    return bool(array_of(part_of(observation, spec, inputs), spec).shape == spec.shape)


def _batch(values: Any, spec: TensorSpec) -> Array:
    """``values`` as a contiguous batch in the dtype of ``spec``."""
    given = array_of(values, spec)
    if given.ndim == 0 or given.shape[1:] != spec.shape:
        raise wrong_shape(spec, given.shape, ("batch", *spec.shape))
    try:
        with np.errstate(all="ignore"):
            array = np.ascontiguousarray(given, dtype=spec.dtype)
    except (TypeError, ValueError) as error:
        raise no_numbers(spec, given) from error
    if array.dtype == np.float32:
        if not np.isfinite(array).all():
            raise not_finite(spec)
    elif array.dtype != given.dtype and not (array == given).all():
        raise no_numbers(spec, given)
    return array


def array_of(values: Any, spec: TensorSpec) -> Array:
    """``values`` as an array of whatever shape and dtype.

    Raises:
        ObservationError: they make none.
    """
    try:
        return np.asarray(values)
    except ValueError as error:  # nested lists of different lengths
        raise ObservationError(f"{spec.name} is no array.", got=str(error), expected=f"shape {spec.shape}") from error


def key_of(spec: TensorSpec) -> str:
    """Key of a dict observation's part; empty where the observation is no dict."""
    return spec.name.partition(".")[2]


def wrong_shape(spec: TensorSpec, got: tuple[int, ...], expected: tuple[Any, ...]) -> ObservationError:
    """The error for a shape; for an image with its channels last it says how to put them first."""
    hint = None
    if is_image(spec) and got[-3:] == _channels_last(spec.shape):
        axes = "(2, 0, 1)" if len(got) == 3 else "(0, 3, 1, 2)"
        hint = (
            f"Give channels first (C, H, W): numpy.transpose(image, {axes}); predict() does this automatically. "
            "Exported with --env, the artifact takes what the environment gives."
        )
    return ObservationError(f"{spec.name} has the wrong shape.", got=str(got), expected=str(expected), hint=hint)


def is_image(spec: TensorSpec) -> bool:
    """Whether an input has the form of an image: bytes along three axes."""
    return spec.dtype == "uint8" and len(spec.shape) == 3


def channels_first(observation: Observation, inputs: tuple[TensorSpec, ...]) -> Observation:
    """``observation``, with images transposed that have their channels last where the input has them first.

    As Stable-Baselines3's ``predict`` does: what has the input's own shape is left as it is.
    """
    if not any(is_image(spec) for spec in inputs):
        return observation
    parts = {key_of(spec): _transposed(part_of(observation, spec, inputs), spec) for spec in inputs}
    return parts if isinstance(observation, Mapping) else parts[key_of(inputs[0])]


def _transposed(values: Any, spec: TensorSpec) -> Any:
    if not is_image(spec):
        return values
    array = array_of(values, spec)
    if array.ndim not in (3, 4) or array.shape[-3:] == spec.shape or array.shape[-3:] != _channels_last(spec.shape):
        return values
    return np.moveaxis(array, -1, -3)


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], shape[0])


def not_finite(spec: TensorSpec) -> ObservationError:
    """The error for NaN and infinity."""
    return ObservationError(
        f"{spec.name} is not finite.", got="NaN or infinity", expected="finite numbers within float32"
    )


def no_numbers(spec: TensorSpec, array: Array) -> ObservationError:
    """The error for what a dtype cannot hold."""
    return ObservationError(
        f"{spec.name} does not hold {spec.dtype} numbers.",
        got=f"dtype {array.dtype}, first {array.reshape(-1)[:1].tolist()}",
        expected=f"numbers that {spec.dtype} can hold",
    )
