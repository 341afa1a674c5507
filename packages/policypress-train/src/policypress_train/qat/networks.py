"""Replaces linear layers and convolutions by quantized ones that share their parameters.

Every linear layer and convolution is replaced where it stands, so that names, ``Parameter`` objects and with them
optimizers and zips stay what they were. A layer rounds its input: the output of the ReLU, the pooling or the
concatenation before it. The output of the last layer stays float.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from stable_baselines3.common.torch_layers import CombinedExtractor
from torch import nn

from policypress_train.qat.layers import FakeQuantized, LayerSettings, QatConv2d, QatLinear


def quantize_chain(owner: nn.Module, parts: Sequence[str], extractor: nn.Module, settings: LayerSettings) -> None:
    """Quantize the layers from a features extractor to an output.

    Args:
        owner: the module that holds the parts.
        parts: dotted names of its submodules in the order in which they run after the extractor.
        extractor: gives the features.
        settings: of every layer; only the first is scaled, where observations reach it unchanged.
    """
    scaled = settings.scaled and _hands_on_observations(extractor)
    plain = replace(settings, scaled=False)
    for parent, name, layer in list(_weighted(extractor)):
        setattr(parent, name, _quantized(layer, plain))
    for part in parts:
        for parent, name, layer in list(_weighted(owner, part)):
            setattr(parent, name, _quantized(layer, settings if scaled else plain))
            scaled = False


def mirror(online: nn.Module, target: nn.Module) -> None:
    """Quantize in ``target`` what is quantized in ``online``: target networks need the same tensor names."""
    for name, layer in online.named_modules():
        copy = target.get_submodule(name)
        if isinstance(layer, FakeQuantized) and isinstance(copy, nn.Linear | nn.Conv2d):
            parent, _, own_name = name.rpartition(".")
            setattr(target.get_submodule(parent), own_name, _quantized(copy, layer.settings))


def absorb_rectifiers(network: nn.Module) -> None:
    """Fuse each ReLU into the quantized layer after it, whose integers begin at 0 anyway.

    This saves a pass over the activations and one over their gradients; the numbers are the same.
    """
    for chain in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index in range(1, len(chain)):
            before, layer = chain[index - 1], chain[index]
            if type(before) is nn.ReLU and isinstance(layer, FakeQuantized):
                layer.rectifies = True
                chain[index - 1] = nn.Identity()


def quantized_layers(network: nn.Module) -> dict[str, FakeQuantized]:
    """The quantized layers by name."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, FakeQuantized)}


def _hands_on_observations(extractor: nn.Module) -> bool:
    """Whether the extractor passes observations, or some of them, through unchanged."""
    return isinstance(extractor, CombinedExtractor) or next(extractor.parameters(), None) is None


def _weighted(owner: nn.Module, part: str = "") -> Iterator[tuple[nn.Module, str, nn.Linear | nn.Conv2d]]:
    """Layers to quantize, with their parent module and their name in it, in order of creation."""
    for below, layer in owner.get_submodule(part).named_modules():
        fits = isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros")
        if fits and not isinstance(layer, FakeQuantized):
            parent, _, name = ".".join(filter(None, (part, below))).rpartition(".")
            yield owner.get_submodule(parent), name, layer


def _quantized(layer: nn.Linear | nn.Conv2d, settings: LayerSettings) -> FakeQuantized:
    return QatConv2d(layer, settings) if isinstance(layer, nn.Conv2d) else QatLinear(layer, settings)
