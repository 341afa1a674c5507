"""Whose code acts: classes by their names, by value and by reference, and tensors that no class of the library has."""

from __future__ import annotations

import base64
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from sb3_files import set_fields, tensors_of, with_tensors
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from torch import nn

from policypress.agents.sb3.authorship import foreign_tensors, own_code, printed
from policypress.agents.sb3.data import Sb3Data, read_data
from policypress.agents.sb3.defaults import FACTS, MNIH_CLASSES
from policypress.agents.sb3.reading import read_sb3_zip
from policypress_runtime.errors import UndeterminedAgentError

LIBRARY = "stable_baselines3.common.policies"


def data(module: str = LIBRARY, name: str | None = "ActorCriticPolicy", **kwargs: Any) -> Sb3Data:
    return Sb3Data({"policy_kwargs": kwargs}, module, name, kwargs, ())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (data(), ()),
        (data("", None), ()),
        (data("", "MlpPolicy"), ()),
        (data("", "MaskableActorCriticPolicy"), ()),
        (data("policypress_train.qat.policies", "QuantizedSacMlpPolicy"), ()),
        (data("mine", "MlpPolicy"), ("policy class mine.MlpPolicy",)),
        (data("", "ReluPolicy"), ("policy class ReluPolicy",)),
        (
            data("stable_baselines3.common.policies.mine", "P"),
            ("policy class stable_baselines3.common.policies.mine.P",),
        ),
        (data(features_extractor_class=str(NatureCNN)), ()),
        (data(features_extractor_class=str(FlattenExtractor)), ()),
        (data(features_extractor_class=str(CombinedExtractor)), ()),
        (data(features_extractor_class=f"<class '{MNIH_CLASSES[0]}'>"), ()),
        (data(features_extractor_class=f"<class '{MNIH_CLASSES[1]}'>"), ()),
        (data(features_extractor_class="<class '__main__.Cnn'>"), ("features_extractor_class __main__.Cnn",)),
        (data(optimizer_class="<class 'mine.Adam'>"), ()),
    ],
)
def test_own_code(given: Sb3Data, expected: tuple[str, ...]) -> None:
    assert own_code(given) == expected


def test_a_class_by_value_under_the_librarys_module_is_not_the_librarys(build: Any) -> None:
    class Own(ActorCriticPolicy):
        """Pickled with its code, since it is local."""

    saved = build("PPO", Own, "vector", "box")
    with pytest.raises(UndeterminedAgentError, match=r"test_authorship\.Own\b"):
        read_sb3_zip(saved.path)
    code = base64.b64encode(cloudpickle.dumps(Own)).decode()
    claims = {"__module__": LIBRARY, ":serialized:": code, "__init__": "<function ActorCriticPolicy.__init__ at 0x1>"}
    with pytest.raises(UndeterminedAgentError, match="policy class"):
        read_sb3_zip(set_fields(saved.path, policy_class=claims))


def test_arguments_that_are_pickled_alone() -> None:
    def kwargs(**given: Any) -> tuple[str, ...]:
        stored = {":type:": "<class 'dict'>", ":serialized:": base64.b64encode(cloudpickle.dumps(given)).decode()}
        import json

        return own_code(read_data(json.dumps({"policy_kwargs": stored}).encode(), "x"))

    assert kwargs(activation_fn=nn.ELU, optimizer_class=torch.optim.Adam) == ()
    assert kwargs(features_extractor_class=NatureCNN) == ()
    assert "_make_function" in kwargs(activation_fn=lambda: nn.ELU())[0]


def test_printed_forgets_addresses() -> None:
    assert printed("<function <lambda> at 0x7f12ab>") == "<function <lambda>>"
    assert printed("<class 'a.B'>") == "a.B"


def zeros(**shapes: tuple[int, ...]) -> dict[str, Any]:
    return {
        f"mlp_extractor.policy_net.{name.replace('_', '.')[1:]}": np.zeros(s, np.float32) for name, s in shapes.items()
    }


@pytest.mark.parametrize(
    ("more", "strange"),
    [
        ({}, []),
        (zeros(_1_weight=(1,)), []),
        (
            {
                "value_net.weight": np.zeros((1, 4), np.float32),
                "log_std": np.zeros(2, np.float32),
                "mlp_extractor.value_net.7.x": np.zeros(1, np.float32),
            },
            [],
        ),
        (zeros(_3_weight=(4,), _3_bias=(4,)), ["3.bias", "3.weight"]),
        (zeros(_5_weight=(4, 4)), ["5.weight"]),
        (zeros(_4_weight=(4, 4)), ["4.weight"]),
        ({"encoder.0.weight": np.zeros((4, 4), np.float32)}, ["encoder.0.weight"]),
        ({"mlp_extractor.policy_net.gate": np.zeros(4, np.float32)}, ["gate"]),
        ({"action_net.0.weight": np.zeros((4, 4), np.float32)}, ["action_net.0.weight"]),
    ],
)
def test_tensors_that_the_library_does_not_have(more: dict[str, Any], strange: list[str]) -> None:
    state = zeros(_0_weight=(4, 3), _0_bias=(4,)) | {"action_net.weight": np.zeros((2, 4), np.float32), **more}
    facts = FACTS["actor_critic"]
    acting = {name: a for name, a in state.items() if name.startswith((*facts.hidden, facts.output))}
    found = foreign_tensors(state, acting, facts, "pi_features_extractor.", normalised=False)
    assert [name.removeprefix("mlp_extractor.policy_net.") for name in found] == strange


def test_a_network_that_was_exchanged_is_not_read_as_the_librarys(build: Any) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    tensors = tensors_of(saved.path)
    normed = {"mlp_extractor.policy_net.1.weight": torch.ones(8), "mlp_extractor.policy_net.1.bias": torch.ones(8)}
    for more in (normed, {"adapter.weight": torch.ones(3)}):
        with pytest.raises(UndeterminedAgentError, match="which its class does not have"):
            read_sb3_zip(with_tensors(saved.path, {**tensors, **more}))
