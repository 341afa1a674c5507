"""What the user states is used or refused, for every option and every kind of agent; nothing is left aside."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from policypress.agents.applicable import FLAGS, AgentKind, stated_fields, useless_fields, without
from policypress.agents.bundle import Activation
from policypress.agents.loading import load_agent
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress_runtime.errors import AgentError

STATED: dict[str, Overrides] = {
    "activation": Overrides(activation=Activation("tanh")),
    "cnn_strides": Overrides(cnn_strides=(4, 2)),
    "normalizer": Overrides(normalizer="there.pkl"),
    "output_name": Overrides(output_name="actions"),
    "discrete_actions": Overrides(discrete_actions=2),
    "scale_actions": Overrides(scale_actions=True),
    "check": Overrides(check="pairs.npz"),
    "squash": Overrides(squash="tanh"),
    "action_scale": Overrides(action_scale=(0.25,)),
    "action_size": Overrides(action_size=2),
    "layers": Overrides(layers=("a.0", "a.2")),
}


def test_every_fact_has_its_option_and_is_judged_for_every_kind() -> None:
    assert {field.name for field in fields(Overrides)} == {*FLAGS, "observation_space", "action_space"}
    assert set(STATED) == set(FLAGS)
    for name, overrides in STATED.items():
        assert stated_fields(overrides) == (name,)
        assert without(overrides, (name,)) == NO_OVERRIDES
        assert useless_fields(overrides, AgentKind.ACTING) == (name,)


OF_NO_ZIP = ("output_name", "discrete_actions", "scale_actions", "squash", "action_scale", "action_size", "layers")


@pytest.mark.parametrize("name", [*OF_NO_ZIP, "cnn_strides"])
def test_what_a_zip_has_no_use_for_is_refused(name: str, own_agents: Path) -> None:
    with pytest.raises(AgentError, match=FLAGS[name]) as refused:
        load_agent(own_agents / "dqn-CartPole-v1.zip", overrides=STATED[name])
    assert refused.value.exit_code == 2
