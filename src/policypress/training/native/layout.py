"""What Python and C hand to each other: the structures of ``c/update.h`` and the functions of ``c/update.c``."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_double, c_float, c_int, c_int64, c_void_p
from typing import Any

MEMORY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
ROLLOUT = ("observations", "actions", "values", "log_probs", "advantages", "returns")
PARTS = 2
LAYERS = 16
CRITICS = 8
BEHIND = ("nothing", "relu", "tanh")


class Tensor(ctypes.Structure):
    """Addresses of a tensor of parameters and of Adam's averages and count; those are None where nothing is learned."""

    _fields_ = [("value", c_void_p), ("first", c_void_p), ("second", c_void_p), ("count", c_void_p)]


class AdamSettings(ctypes.Structure):
    """The settings of one optimizer."""

    _fields_ = [(name, c_double) for name in ("rate", "beta1", "beta2", "epsilon", "decay")]


class Extent(ctypes.Structure):
    """Addresses of the extent of what a layer read; None where it is not quantized."""

    _fields_ = [(name, c_void_p) for name in ("least", "most", "peak")]


class Quantizer(ctypes.Structure):
    """A quantized layer's extents, running and in force, and its largest integers."""

    _fields_ = [
        ("running", Extent),
        ("force", Extent),
        *((name, c_int64) for name in ("weight_steps", "input_steps", "per_channel", "rectifies")),
    ]


class Layer(ctypes.Structure):
    """A linear layer, of one or several tensors that read the same, and what stands behind it: a place in `BEHIND`."""

    _fields_ = [
        ("inputs", c_int64),
        ("outputs", c_int64),
        ("parts", c_int64),
        ("behind", c_int64),
        ("weight", Tensor * PARTS),
        ("bias", Tensor * PARTS),
        ("quantizer", Quantizer * PARTS),
    ]


class Network(ctypes.Structure):
    """Layers, one behind the other."""

    _fields_ = [("layers", POINTER(Layer)), ("count", c_int64)]


class Update(ctypes.Structure):
    """Everything that one update reads and changes."""

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
        ("longest", c_double),
        ("target_known", c_int64),
        ("losses", c_void_p),
        ("scratch", c_void_p),
    ]


class Rollout(ctypes.Structure):
    """Everything that a minibatch of PPO, or of TRPO's critic, reads and changes."""

    _fields_ = [
        *((name, c_void_p) for name in ROLLOUT),
        *((name, c_int64) for name in ("batch", "observation_size", "action_size", "normalised")),
        ("actor", Network),
        ("critic", Network),
        ("log_std", Tensor),
        ("adam", AdamSettings),
        *((name, c_double) for name in ("clip", "value_clip", "entropy_weight", "value_weight", "longest", "farthest")),
        ("losses", c_void_p),
        ("scratch", c_void_p),
    ]


class Memory(ctypes.Structure):
    """Addresses of a replay memory's arrays."""

    _fields_ = [(name, c_void_p) for name in MEMORY]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "pp_may_run": (c_int, []),
    "pp_update_bytes": (c_int64, []),
    "pp_scratch_bytes": (c_int64, [POINTER(Update)]),
    "pp_draw": (None, [POINTER(Memory), c_void_p, POINTER(Update)]),
    "pp_learn_sac_values": (None, [POINTER(Update)]),
    "pp_learn_sac_actions": (None, [POINTER(Update)]),
    "pp_learn_td3_values": (None, [POINTER(Update)]),
    "pp_learn_td3_actions": (None, [POINTER(Update)]),
    "pp_learn_dqn_values": (None, [POINTER(Update)]),
    "pp_rollout_bytes": (c_int64, []),
    "pp_rollout_scratch_bytes": (c_int64, [POINTER(Rollout)]),
    "pp_learn_rollout": (c_int64, [POINTER(Rollout), c_void_p, c_int64]),
    "pp_learn_returns": (None, [POINTER(Rollout), c_void_p, c_int64]),
    "pp_follow": (None, [POINTER(Network), POINTER(Network), c_int64, c_double]),
    "pp_act": (c_int64, [POINTER(Network), c_void_p, c_int64, c_int64, c_void_p, c_void_p]),
    "pp_explore": (None, [c_void_p, c_void_p, c_int64, c_int64, c_void_p]),
    "pp_product": (None, [c_void_p, c_void_p, *[c_int64] * 6, c_void_p, c_void_p]),
    "pp_quotients": (None, [c_void_p, c_int64, c_float, c_void_p]),
    "pp_product_bytes": (c_int64, [c_int64, c_int64, c_int64]),
}
"""Name → what it gives, what it takes."""
