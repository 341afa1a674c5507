"""Reads an algorithm's networks for the native update, and refuses what it does not support."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from policypress_runtime.errors import NativeUpdateError
from policypress_train.native.compiled import HINT
from policypress_train.native.layout import CRITICS, LAYERS
from policypress_train.qat.layers import FakeQuantized, QatLinear


@dataclass(frozen=True)
class LayerGroup:
    """Linear layers with the same input, whose outputs are concatenated, and their activation.

    ``activation`` is ``nothing``, ``relu`` or ``tanh``.
    """

    parts: tuple[nn.Linear, ...]
    activation: str = "nothing"


_ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Tanh: "tanh"}
_EXPECTED = "linear layers with ReLU or tanh between them"

# One after the other.
Layers = tuple[LayerGroup, ...]


@dataclass(frozen=True)
class Networks:
    """The networks of an off-policy algorithm.

    Attributes:
        actor: its last layer gives actions before squashing, or means and log stds, or Q values (DQN).
        critics: Q networks of observation and action.
        critic_targets: their target networks.
        actor_target: the actor's target network, or None.
    """

    actor: Layers
    critics: tuple[Layers, ...]
    critic_targets: tuple[Layers, ...]
    actor_target: Layers | None = None

    @property
    def observation_size(self) -> int:
        """Size of an observation."""
        return self.actor[0].parts[0].in_features

    @property
    def action_size(self) -> int:
        """Size of an action; 0 for discrete actions, which no critic reads."""
        return self.critics[0][0].parts[0].in_features - self.observation_size if self.critics else 0

    def parameters(self) -> Iterator[torch.Tensor]:
        """Every weight and bias, and the observer ranges of quantized layers."""
        every = [self.actor, *self.critics, *self.critic_targets]
        for layers in every if self.actor_target is None else [*every, self.actor_target]:
            yield from parameters_of(layers)


@dataclass(frozen=True)
class ActorCritic:
    """The networks of PPO.

    Attributes:
        actor: gives means, or the logits of discrete actions.
        critic: the value network.
        log_std: of continuous actions; None for discrete ones.
    """

    actor: Layers
    critic: Layers
    log_std: torch.Tensor | None = None

    def parameters(self) -> Iterator[torch.Tensor]:
        """Every weight and bias, log_std, and the observer ranges of quantized layers."""
        yield from parameters_of(self.actor)
        yield from parameters_of(self.critic)
        if self.log_std is not None:
            yield self.log_std


def parameters_of(layers: Layers) -> Iterator[torch.Tensor]:
    """Every weight and bias of a network, and the observer ranges of quantized layers."""
    for place in layers:
        for layer in place.parts:
            yield layer.weight
            yield layer.bias
            if isinstance(layer, FakeQuantized):
                yield from layer.buffers()


def refused(got: str, expected: str) -> NativeUpdateError:
    """The error for something the native update does not support."""
    return NativeUpdateError("The native update does not support this agent.", got=got, expected=expected, hint=HINT)


def check_setting(model: BaseAlgorithm) -> None:
    """Check device, spaces and exploration.

    Raises:
        NativeUpdateError: the native update does not support it.
    """
    if model.device.type != "cpu":
        raise refused(f"device {model.device}", "cpu")
    space = model.observation_space
    if not isinstance(space, spaces.Box) or is_image_space(space):
        raise refused(f"observations of {space}", "a Box that is not an image")
    if model.use_sde:
        raise refused("use_sde=True", "use_sde=False")
    for name, extractor in model.policy.named_modules():
        if name.rpartition(".")[2].endswith("features_extractor") and type(extractor) is not FlattenExtractor:
            raise refused(f"a features extractor {type(extractor).__name__}", "FlattenExtractor")


def sac_networks(policy: Any) -> Networks:
    """The networks of SAC.

    Raises:
        NativeUpdateError: a layer that the native update does not support.
    """
    actor = policy.actor
    hidden = _hidden(actor.latent_pi, "the actor", activated_last=True)
    heads = LayerGroup((_linear(actor.mu, "the actor"), _linear(actor.log_std, "the actor")))
    critics, targets = _values(policy.critic), _values(policy.critic_target)
    return _checked(Networks((*hidden, heads), critics, targets))


def dqn_networks(policy: Any) -> Networks:
    """The network of DQN, as the actor, and its target.

    Raises:
        NativeUpdateError: a layer that the native update does not support.
    """
    networks = (policy.q_net, policy.q_net_target)
    values, target = (_hidden(net.q_net, "the network", activated_last=False) for net in networks)
    return _checked(Networks(values, (), (), target))


def td3_networks(policy: Any) -> Networks:
    """The networks of TD3 and DDPG.

    Raises:
        NativeUpdateError: a layer that the native update does not support.
    """
    actor, target = (_squashed(network.mu) for network in (policy.actor, policy.actor_target))
    return _checked(Networks(actor, _values(policy.critic), _values(policy.critic_target), target))


def actor_critic(policy: Any) -> ActorCritic:
    """The networks of PPO.

    Raises:
        NativeUpdateError: a layer that the native update does not support.
    """
    extractor = policy.mlp_extractor
    actor, critic = (
        (*_hidden(hidden, whose, activated_last=True), LayerGroup((_linear(last, whose),)))
        for hidden, last, whose in (
            (extractor.policy_net, policy.action_net, "the actor"),
            (extractor.value_net, policy.value_net, "the critic"),
        )
    )
    found = ActorCritic(actor, critic, getattr(policy, "log_std", None))
    _check_tensors((actor, critic), found.parameters())
    return found


def _checked(networks: Networks) -> Networks:
    if len(networks.critics) > CRITICS:
        raise refused(f"{len(networks.critics)} critics", f"{CRITICS} at most")
    _check_tensors((networks.actor, *networks.critics), networks.parameters())
    return networks


def _check_tensors(networks: Sequence[Layers], parameters: Iterator[torch.Tensor]) -> None:
    deepest = max(len(layers) for layers in networks)
    if deepest > LAYERS:
        raise refused(f"a network of {deepest} layers", f"{LAYERS} at most")
    for parameter in parameters:
        if parameter.dtype != torch.float32 or not parameter.is_contiguous():
            raise refused(f"parameters of {parameter.dtype}, {tuple(parameter.stride())} apart", "float32, row by row")


def _values(critic: Any) -> tuple[Layers, ...]:
    return tuple(_hidden(network, "a critic", activated_last=False) for network in critic.q_networks)


def _squashed(chain: Any) -> Layers:
    modules = list(chain)
    if not modules or type(modules[-1]) is not nn.Tanh:
        raise refused("an actor whose actions are not squashed", "a tanh after its last layer")
    return _hidden(modules[:-1], "the actor", activated_last=False)


def _hidden(chain: Sequence[nn.Module] | nn.Sequential, whose: str, *, activated_last: bool) -> Layers:
    """Linear layers with ReLU or tanh between them, and after the last if ``activated_last``."""
    modules = list(chain)
    if activated_last != (len(modules) % 2 == 0):
        raise refused(f"{whose} with {_words(modules)}", _EXPECTED)
    found = []
    for index in range(0, len(modules), 2):
        following = modules[index + 1 : index + 3]
        if following and type(following[0]) not in _ACTIVATIONS and not _rectifies(following):
            raise refused(f"{whose} with {_words(modules)}", _EXPECTED)
        activation = _ACTIVATIONS.get(type(following[0]), "nothing") if following else "nothing"
        found.append(LayerGroup((_linear(modules[index], whose),), activation))
    return tuple(found)


def _rectifies(following: Sequence[nn.Module]) -> bool:
    """Whether a quantized layer has absorbed the ReLU before it."""
    layer = following[-1]
    return type(following[0]) is nn.Identity and isinstance(layer, FakeQuantized) and layer.rectifies


def _linear(module: nn.Module, whose: str) -> nn.Linear:
    if not isinstance(module, nn.Linear) or type(module) not in (QatLinear, nn.Linear):
        raise refused(f"{whose} with a layer {type(module).__name__}", "linear layers")
    if module.bias is None:
        raise refused(f"{whose} with a layer without a bias", "linear layers with a bias")
    return module


def _words(modules: Sequence[nn.Module]) -> str:
    return ", ".join(type(module).__name__ for module in modules) or "no layers"
