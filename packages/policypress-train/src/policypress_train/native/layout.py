"""The C interface: structures of ``c/update.h`` and functions of ``c/update.c``."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_double, c_float, c_int, c_int64, c_void_p
from typing import Any

MEMORY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
ROLLOUT = ("observations", "actions", "values", "log_probs", "advantages", "returns")
PARTS = 2
LAYERS = 16
CRITICS = 8
ACTIVATIONS = ("nothing", "relu", "tanh")


class Tensor(ctypes.Structure):
    """Pointers to a parameter tensor, Adam's moments and its step count; the last three are None if it is frozen."""

    _fields_ = [("value", c_void_p), ("exp_avg", c_void_p), ("exp_avg_sq", c_void_p), ("count", c_void_p)]


class AdamSettings(ctypes.Structure):
    """The settings of one optimizer."""

    _fields_ = [(name, c_double) for name in ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")]


class ObserverRange(ctypes.Structure):
    """Pointers to the range an observer has seen; None if the layer is not quantized."""

    _fields_ = [(name, c_void_p) for name in ("min", "max", "observed_max")]


class Quantizer(ctypes.Structure):
    """A quantized layer's observer ranges, running and active, and its largest integers."""

    _fields_ = [
        ("running", ObserverRange),
        ("active", ObserverRange),
        *((name, c_int64) for name in ("weight_qmax", "input_qmax", "per_channel", "rectifies")),
    ]


class Layer(ctypes.Structure):
    """A linear layer of one or several tensors with the same input; ``activation`` is an index into `ACTIVATIONS`."""

    _fields_ = [
        ("inputs", c_int64),
        ("outputs", c_int64),
        ("parts", c_int64),
        ("activation", c_int64),
        ("weight", Tensor * PARTS),
        ("bias", Tensor * PARTS),
        ("quantizer", Quantizer * PARTS),
    ]


class Network(ctypes.Structure):
    """A sequence of layers."""

    _fields_ = [("layers", POINTER(Layer)), ("count", c_int64)]


class Update(ctypes.Structure):
    """All inputs and outputs of one update."""

    _fields_ = [
        *((name, c_void_p) for name in ("observations", "actions", "next_observations", "rewards", "dones")),
        ("discounts", c_void_p),
        ("noise", c_void_p),
        ("next_noise", c_void_p),
        *((name, c_int64) for name in ("batch", "observation_size", "action_size", "critic_count")),
        ("actor", Network),
        ("actor_target", Network),
        ("critics", POINTER(Network)),
        ("critic_targets", POINTER(Network)),
        ("actor_adam", AdamSettings),
        ("critic_adam", AdamSettings),
        ("temperature_adam", AdamSettings),
        ("log_temperature", Tensor),
        ("temperature", c_double),
        ("target_entropy", c_double),
        ("gamma", c_double),
        ("max_grad_norm", c_double),
        ("target_cached", c_int64),
        ("losses", c_void_p),
        ("scratch", c_void_p),
    ]


class Rollout(ctypes.Structure):
    """All inputs and outputs of a minibatch of PPO, or of TRPO's critic."""

    _fields_ = [
        *((name, c_void_p) for name in ROLLOUT),
        *((name, c_int64) for name in ("batch", "observation_size", "action_size", "normalize_advantage")),
        ("actor", Network),
        ("critic", Network),
        ("log_std", Tensor),
        ("adam", AdamSettings),
        *(
            (name, c_double)
            for name in ("clip_range", "clip_range_vf", "ent_coef", "vf_coef", "max_grad_norm", "target_kl")
        ),
        ("losses", c_void_p),
        ("scratch", c_void_p),
    ]


class Memory(ctypes.Structure):
    """Pointers to a replay buffer's arrays."""

    _fields_ = [(name, c_void_p) for name in MEMORY]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "pp_supported": (c_int, []),
    "pp_update_bytes": (c_int64, []),
    "pp_scratch_bytes": (c_int64, [POINTER(Update)]),
    "pp_sample_replay": (None, [POINTER(Memory), c_void_p, POINTER(Update)]),
    "pp_sac_update_critics": (None, [POINTER(Update)]),
    "pp_sac_update_actor": (None, [POINTER(Update)]),
    "pp_td3_update_critics": (None, [POINTER(Update)]),
    "pp_td3_update_actor": (None, [POINTER(Update)]),
    "pp_dqn_update": (None, [POINTER(Update)]),
    "pp_rollout_bytes": (c_int64, []),
    "pp_rollout_scratch_bytes": (c_int64, [POINTER(Rollout)]),
    "pp_ppo_update": (c_int64, [POINTER(Rollout), c_void_p, c_int64]),
    "pp_fit_values": (None, [POINTER(Rollout), c_void_p, c_int64]),
    "pp_polyak_update": (None, [POINTER(Network), POINTER(Network), c_int64, c_double]),
    "pp_act": (c_int64, [POINTER(Network), c_void_p, c_int64, c_int64, c_void_p, c_void_p]),
    "pp_explore": (None, [c_void_p, c_void_p, c_int64, c_int64, c_void_p]),
    "pp_product": (None, [c_void_p, c_void_p, *[c_int64] * 6, c_void_p, c_void_p]),
    "pp_quotients": (None, [c_void_p, c_int64, c_float, c_void_p]),
    "pp_product_bytes": (c_int64, [c_int64, c_int64, c_int64]),
}
"""Name → return type, argument types."""
