"""Linear and convolutional layers with fake quantization: they compute what the integer layers will compute.

A layer's input, weight and bias are rounded in floating point: affine min-max
activations from 0 to 2^b − 1 (Li 2023, section 3.3), signed symmetric weights, int32 biases of scale s_x · s_w. The
arithmetic is that of :mod:`policypress.policy.quantization`, to the bit, on plain tensor operations.

Ranges are observed (running minimum and maximum) in buffers called ``running_*``, which Stable-Baselines3 copies from
an online network to its target. They begin as 0, 0, which means that nothing was observed yet and nothing is
rounded: infinities would become NaN on their way to the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from policypress.policy.quantization import affine_grid, observation_scale
from policypress_train.qat.rounding import (
    Grid,
    clamped_and_rounded,
    feature_ranges,
    largest,
    round_bias,
    round_to,
    rounded_weight,
    same,
    value_range,
    within,
)

Q = TypeVar("Q", bound="FakeQuantized")


@dataclass(frozen=True)
class LayerSettings:
    """How one layer is quantized.

    Attributes:
        weight_bits: of its weight.
        activation_bits: of its input.
        per_channel: one weight scale per output channel.
        scaled: its input is (or contains) observations, which are scaled per feature before rounding.
        held: the active ranges change only when the layer leaves training mode, so that an on-policy algorithm
            collects and learns with the same ones.
    """

    weight_bits: int
    activation_bits: int
    per_channel: bool
    scaled: bool = False
    held: bool = False


class _Features(NamedTuple):
    """The scale of each observation feature, and what it was computed from."""

    peak: Tensor
    scale: Tensor
    inverse: Tensor


class _Rounded(NamedTuple):
    """What a forward pass needs: the input's quantization grid, the feature scales, and the rounded parameters."""

    grid: Grid
    features: _Features | None
    weight: Tensor
    weight_scale: Tensor
    bias: Tensor | None


class _Sources(NamedTuple):
    """A layer's parameters at the time they were rounded."""

    weight: Tensor
    bias: Tensor | None


def _grid(low: float, high: float, bits: int) -> Grid:
    scale, zero = affine_grid(low, high, bits)
    return scale, -zero * scale, (2**bits - 1 - zero) * scale


class FakeQuantized(nn.Module):
    """What the quantized layers share: observers, ranges and rounding.

    Attributes:
        rectifies: negative inputs count as 0, as after a ReLU: the integers begin there anyway.
    """

    weight: Tensor
    bias: Any
    settings: LayerSettings
    rectifies: bool

    def _set_up(self, layer: nn.Linear | nn.Conv2d, settings: LayerSettings) -> None:
        """Share the parameters of ``layer`` and add the observers."""
        self.weight, self.bias = layer.weight, layer.bias
        self.settings = settings
        self.training = layer.training
        self.rectifies = False
        self._weight_steps = 2 ** (settings.weight_bits - 1) - 1
        self._axes = tuple(range(1, layer.weight.dim())) if settings.per_channel else ()
        self._limits, self._grid = (0.0, 0.0), _grid(0.0, 0.0, settings.activation_bits)
        device, dtype = layer.weight.device, layer.weight.dtype
        observers = {"min": torch.zeros((), device=device, dtype=dtype)}
        observers["max"] = observers["min"].clone()
        if settings.scaled:
            observers["peak"] = torch.zeros(layer.weight.shape[1], device=device, dtype=dtype)
        for name, zeros in observers.items():
            self.register_buffer(f"running_{name}", zeros)
            if settings.held:
                self.register_buffer(f"held_{name}", zeros.clone(), persistent=False)
        prefix = "held" if settings.held else "running"
        self._in_force = (f"{prefix}_min", f"{prefix}_max", f"{prefix}_peak")
        self._seen: tuple[Tensor, Tensor] | None = None
        self._seen_features: _Features | None = None
        self._features_in_force: _Features | None = None
        self.changed()
        self.trust(False)

    def train(self: Q, mode: bool = True) -> Q:
        """As in torch; leaving training mode activates the observed ranges.

        From then until they learn, on-policy algorithms act with fixed parameters, see :meth:`trust`.
        """
        if not mode:
            self._hold()
        self.trust(self.settings.held and not mode)
        return super().train(mode)

    def trust(self, trusted: bool) -> None:
        """Set whether every change of parameters or ranges will be announced by :meth:`changed`.

        If not, each pass compares them with what was rounded before: target networks, fused optimizers and line
        searches change parameters without changing their version or address. The first pass after this also compares.
        """
        self._trusted, self._verified = trusted, False

    def changed(self) -> None:
        """Announce that parameters or ranges have changed."""
        self._kept: _Rounded | None = None
        self._sources: _Sources | None = None

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, *arguments)
        self._hold()
        self.changed()
        self._seen = None

    @torch.no_grad()
    def _hold(self) -> None:
        if self.settings.held:
            for name in self._in_force:
                if name in self._buffers:
                    self.get_buffer(name).copy_(self.get_buffer(name.replace("held", "running")))

    def _observe(self, x: Tensor) -> None:
        """Widen the running ranges by ``x``, which needs no gradient."""
        buffers: dict[str, Any] = self._buffers
        if self.settings.scaled:
            found = self._observe_features(x)
            if found is None:
                return
            low, high = found
        elif self.rectifies:
            # A rectified input has minimum 0, as the running minimum has.
            low, high = 0.0, largest(x)
        else:
            low, high = value_range(x)
        if low < buffers["running_min"].item():
            buffers["running_min"].fill_(low)
        if high > buffers["running_max"].item():
            buffers["running_max"].fill_(high)

    def _observe_features(self, x: Tensor) -> tuple[float, float] | None:
        """Minimum and maximum of the scaled observations ``x``; None if every feature is within the observed range."""
        least, most = feature_ranges(x)
        if self._seen is not None and within((least, most), self._seen):
            # A feature's scale only grows, so nothing can leave the running range.
            return None
        known = self._seen or (least, most)
        self._seen = torch.minimum(least, known[0]), torch.maximum(most, known[1])
        peak: Any = self._buffers["running_peak"]
        torch.maximum(peak, torch.maximum(-least, most), out=peak)
        self._seen_features = _features(peak, self._seen_features)
        inverse = self._seen_features.inverse
        # With positive factors, the range of the products is found among the products of the ranges, to the bit.
        return (least * inverse).amin().item(), (most * inverse).amax().item()

    def _rounded(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The layer's input, weight and bias, fake-quantized."""
        differentiable = torch.is_grad_enabled()
        if differentiable and self.training:
            self._observe(x.detach())
            rounded = self._look()
        else:
            rounded = (self._kept if self._trusted and self._verified else None) or self._look()
        if rounded is None:
            return F.relu(x) if self.rectifies else x, self.weight, self.bias
        grid, features, weight, _, bias = rounded
        if features is not None:
            x = x * features.inverse
        if not differentiable:
            return clamped_and_rounded(x, grid), weight, bias
        scale, floor, ceiling = grid
        x = F.hardtanh(x, floor, ceiling)
        # Straight-through: the rounding edits the tensor's data, so second derivatives are kept too.
        round_to(x.detach(), scale)
        source = self.weight if features is None else self.weight * features.scale
        return x, _straight(source, weight), None if bias is None else _straight(self.bias, bias)

    @torch.no_grad()
    def _look(self) -> _Rounded | None:
        """The parameters rounded with the active ranges; None if nothing was observed yet."""
        ranges = self._ranges()
        if ranges is None:
            return None
        grid, features = ranges
        kept = self._kept
        if kept is None or kept.features is not features or not self._unchanged():
            kept = self._round(grid, features)
            self._remember_sources()
        elif kept.grid is not grid:
            kept = self._on_grid(kept, grid)
        self._kept, self._verified = kept, True
        return kept

    def _unchanged(self) -> bool:
        """Whether the parameters are the ones that were rounded last."""
        if self._trusted and self._verified:
            return True
        sources = self._sources
        if sources is None or not same(self.weight, sources.weight):
            return False
        return sources.bias is None or same(self.bias, sources.bias)

    def _remember_sources(self) -> None:
        """Keep what was rounded for later comparison, unless changes are announced or certain."""
        held, sources = self.settings.held, self._sources
        if (self._trusted and not held) or (held and self.training):
            self._sources = None
            return
        bias = None if self.bias is None else _copied(self.bias, None if sources is None else sources.bias)
        self._sources = _Sources(_copied(self.weight, None if sources is None else sources.weight), bias)

    def _ranges(self) -> tuple[Grid, _Features | None] | None:
        """The input's quantization grid and feature scales; None if nothing was observed yet."""
        # Through the dictionary: nn.Module looks attributes up slowly, and this runs at every step.
        buffers: dict[str, Any] = self._buffers
        low, high, peak = self._in_force
        limits = buffers[low].item(), buffers[high].item()
        if not limits[0] < limits[1]:
            return None
        if limits != self._limits:
            self._limits, self._grid = limits, _grid(*limits, self.settings.activation_bits)
        if not self.settings.scaled:
            return self._grid, None
        known = self._features_in_force if self.settings.held else self._seen_features
        features = _features(buffers[peak], known)
        if self.settings.held:
            self._features_in_force = features
        else:
            self._seen_features = features
        return self._grid, features

    def _round(self, grid: Grid, features: _Features | None) -> _Rounded:
        """The fake-quantized parameters."""
        weight = self.weight.detach()
        if features is not None:
            weight = weight * features.scale
        rounded, scale = rounded_weight(weight, self._weight_steps, self._axes)
        return self._on_grid(_Rounded(grid, features, rounded, scale, None), grid)

    def _on_grid(self, rounded: _Rounded, grid: Grid) -> _Rounded:
        """The same weight with another input grid, whose scale is part of the bias's."""
        if self.bias is None:
            return rounded._replace(grid=grid)
        bias = self.bias.detach().clone()
        round_bias(bias, rounded.weight_scale, grid[0])
        return rounded._replace(grid=grid, bias=bias)


def _straight(source: Tensor, rounded: Tensor) -> Tensor:
    """Straight-through estimator: the values of ``rounded`` with the gradients (first and second) of ``source``.

    A view, whose backward is the identity, is pointed at other data. Nothing is copied, and no Python function stands
    in the backward pass, which would force a copy of the gradient.
    """
    straight = source.view_as(source)
    straight.data = rounded
    return straight


def _features(peak: Tensor, known: _Features | None) -> _Features:
    """Feature scales for these largest magnitudes; ``known`` itself if they have not changed."""
    if known is not None and same(peak, known.peak):
        return known
    scale = observation_scale(peak)
    return _Features(peak.clone(), scale, 1.0 / scale)


def _copied(source: Tensor, into: Tensor | None) -> Tensor:
    """A copy of ``source``, in the memory of an earlier copy if it fits."""
    if into is None or into.shape != source.shape or into.device != source.device or into.dtype != source.dtype:
        return source.detach().clone()
    return into.copy_(source.detach())


class QatLinear(FakeQuantized, nn.Linear):
    """A quantized linear layer with another layer's parameters; channels on axis 0."""

    def __init__(self, layer: nn.Linear, settings: LayerSettings) -> None:
        # On the meta device: no memory, and no random numbers are drawn.
        nn.Linear.__init__(self, layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self._set_up(layer, settings)

    def forward(self, input: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """``(batch, in)`` → ``(batch, out)``."""
        return F.linear(*self._rounded(input))


class QatConv2d(FakeQuantized, nn.Conv2d):
    """A quantized convolution (zero padding) with another layer's parameters; channels on axis 0."""

    def __init__(self, layer: nn.Conv2d, settings: LayerSettings) -> None:
        nn.Conv2d.__init__(
            self,
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]  # two numbers by now
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
            layer.bias is not None,
            device="meta",
        )
        self._set_up(layer, settings)

    def forward(
        self, input: Float[Tensor, "*batch inputs height width"]
    ) -> Float[Tensor, "*batch outputs rows columns"]:
        """``(batch, in, height, width)`` → ``(batch, out, rows, cols)``."""
        x, weight, bias = self._rounded(input)
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
