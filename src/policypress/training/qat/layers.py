"""Linear and convolutional layers that compute in training what their integers will compute when they act.

What a layer reads, its weight and its bias are rounded in floating point (fake quantization): affine min-max
activations from 0 to 2^b − 1 (Li 2023, section 3.3), signed symmetric weights, int32 biases of scale s_x · s_w. The
arithmetic is that of :mod:`policypress.policy.quantization`, to the bit, on plain tensor operations.

Ranges are observed (running minimum and maximum) in buffers called ``running_*``, which Stable-Baselines3 copies from
an online network to its target. They begin as 0, 0, which means that nothing was seen yet and nothing is rounded:
infinities would become NaN on their way to the target.
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

_TINY = torch.finfo(torch.float32).tiny
_INT32 = 2.0**31
_SMALL = 10_000
Q = TypeVar("Q", bound="FakeQuantized")


@dataclass(frozen=True)
class LayerSettings:
    """How one layer is quantized.

    Attributes:
        weight_bits: of its weight.
        activation_bits: of what it reads.
        per_channel: one weight scale per output channel.
        scaled: what it reads are observations (or holds them), to be scaled per feature before they are rounded.
        held: ranges come into force only when the layer leaves training mode, so that an on-policy algorithm
            collects and learns with the same ones.
    """

    weight_bits: int
    activation_bits: int
    per_channel: bool
    scaled: bool = False
    held: bool = False


class _Rounded(NamedTuple):
    """A layer's parameters as their integers say them, and what observations are multiplied by."""

    weight: Tensor
    bias: Tensor | None
    inverse_scale: Tensor | None


class _Kept(NamedTuple):
    """What was rounded last, and what it was rounded from."""

    input_scale: float
    weight: Tensor | None
    bias: Tensor | None
    peak: Tensor | None
    rounded: _Rounded


class _Grid(NamedTuple):
    """The integers of what a layer reads: their scale, and the least and largest of them as real numbers."""

    limits: tuple[float, float]
    scale: float
    floor: float
    ceiling: float


def _grid(low: float, high: float, bits: int) -> _Grid:
    scale, zero = affine_grid(low, high, bits)
    return _Grid((low, high), scale, -zero * scale, (2**bits - 1 - zero) * scale)


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _same(left: Tensor, right: Tensor | None) -> bool:
    if right is None or left.device != right.device:
        return False
    if left.numel() > _SMALL and left.device.type == "cpu":
        # Six times as fast as torch.equal where it is not the call that takes the time.
        return bool((left.detach().numpy() == right.numpy()).all())
    return torch.equal(left, right)


class FakeQuantized(nn.Module):
    """What the quantized layers share: observers, ranges and rounding."""

    weight: Tensor
    bias: Any
    settings: LayerSettings

    def _set_up(self, layer: nn.Linear | nn.Conv2d, settings: LayerSettings) -> None:
        """Take over the parameters of ``layer``, the very objects, and add the observers."""
        self.weight, self.bias = layer.weight, layer.bias
        self.settings = settings
        self.training = layer.training
        self._weight_steps = 2 ** (settings.weight_bits - 1) - 1
        self._axes = tuple(range(1, layer.weight.dim())) if settings.per_channel else ()
        self._grid = _grid(0.0, 0.0, settings.activation_bits)
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
        self._kept: _Kept | None = None

    def train(self: Q, mode: bool = True) -> Q:
        """As always; leaving training mode brings what was observed into force."""
        if not mode:
            self._hold()
        return super().train(mode)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, *arguments)
        self._hold()

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
            peak = buffers["running_peak"]
            torch.maximum(peak, x.abs().amax(0), out=peak)
            x = x * (1.0 / observation_scale(peak))
        torch.minimum(buffers["running_min"], x.amin(), out=buffers["running_min"])
        torch.maximum(buffers["running_max"], x.amax(), out=buffers["running_max"])

    def _rounded(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the layer reads, its weight and its bias, as their integers say them."""
        differentiable = torch.is_grad_enabled()
        if differentiable and self.training:
            self._observe(x.detach())
        # Through the dictionary: nn.Module looks attributes up slowly, and this runs at every step of a rollout.
        buffers: dict[str, Any] = self._buffers
        low, high, peak = self._in_force
        limits = buffers[low].item(), buffers[high].item()
        if not limits[0] < limits[1]:
            return x, self.weight, self.bias
        if limits != self._grid.limits:
            self._grid = _grid(*limits, self.settings.activation_bits)
        _, scale, floor, ceiling = self._grid
        rounded = (self._round if differentiable else self._round_once)(scale, buffers.get(peak))
        weight, bias, inverse_scale = rounded
        if inverse_scale is not None:
            x = x * inverse_scale
        x = F.hardtanh(x, floor, ceiling)
        # Straight-through: the rounding edits the tensor behind autograd, which keeps second derivatives too.
        x.detach().div_(scale).round_().mul_(scale)
        return x, weight, bias

    def _round(self, input_scale: float, peak: Tensor | None) -> _Rounded:
        """The parameters as their integers say them; gradients pass straight through."""
        inverse_scale = None
        if peak is None:
            weight = self.weight.clone()
        else:
            features = observation_scale(peak)
            weight, inverse_scale = self.weight * features, 1.0 / features
        values = weight.detach()
        # Largest magnitude, of each channel or of all, on the largest integer; a channel of zeros gets 1.
        per_channel = self.settings.per_channel
        scale = values.abs().amax(self._axes, keepdim=per_channel).div_(self._weight_steps)
        scale = scale + (scale < _TINY)
        values.div_(scale).round_().mul_(scale)
        if self.bias is None:
            return _Rounded(weight, None, inverse_scale)
        bias, bias_scale = self.bias.clone(), scale.mul_(input_scale)
        if per_channel:
            bias_scale = bias_scale.view(-1)
        # The nearest that float32 comes to the largest int32 is 2³¹, in ``quantize`` too.
        bias.detach().div_(bias_scale).round_().clamp_(-_INT32, _INT32).mul_(bias_scale)
        return _Rounded(weight, bias, inverse_scale)

    def _round_once(self, input_scale: float, peak: Tensor | None) -> _Rounded:
        """As :meth:`_round`, without gradients: what was rounded before is used again where all of it is the same.

        The same by content: target networks, fused optimizers and line searches change parameters without a trace
        in their version or address.
        """
        kept, weight, bias = self._kept, self.weight, self.bias
        if (
            kept is not None
            and kept.input_scale == input_scale
            and _same(weight, kept.weight)
            and (bias is None or _same(bias, kept.bias))
            and (peak is None or _same(peak, kept.peak))
        ):
            return kept.rounded
        rounded = self._round(input_scale, peak)
        self._kept = _Kept(input_scale, _copy(weight), _copy(bias), _copy(peak), rounded)
        return rounded


class QatLinear(FakeQuantized, nn.Linear):
    """A linear layer with the parameters of another, quantized; per-channel axis 0."""

    def __init__(self, layer: nn.Linear, settings: LayerSettings) -> None:
        # On the meta device: no memory, and no random numbers are drawn.
        nn.Linear.__init__(self, layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self._set_up(layer, settings)

    def forward(self, input: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """``(batch, in)`` → ``(batch, out)``."""
        return F.linear(*self._rounded(input))


class QatConv2d(FakeQuantized, nn.Conv2d):
    """A convolution (zero padding) with the parameters of another, quantized; per-channel axis 0."""

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
