"""Expressions as the Zoo writes them; anything that would have to be executed is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.agents.zoo.expressions import ClassName, read_expression
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "dict( log_std_init=-2, ortho_init=False, activation_fn=nn.ReLU,\n net_arch=[dict(pi=[256, 256], vf=[9])])",
            {
                "log_std_init": -2,
                "ortho_init": False,
                "activation_fn": ClassName("nn.ReLU"),
                "net_arch": [{"pi": [256, 256], "vf": [9]}],
            },
        ),
        ("{'norm_obs': False, 'norm_reward': True}", {"norm_obs": False, "norm_reward": True}),
        ("dict(optimizer_class=RMSpropTFLike, optimizer_kwargs=dict(eps=1e-5))",
         {"optimizer_class": ClassName("RMSpropTFLike"), "optimizer_kwargs": {"eps": 1e-5}}),
        ("[64] * 2", [64, 64]),
        ("(1 + 2 * 3 - 4 / 2, 7 // 2, 7 % 4, 2 ** 8, +1)", (5.0, 3, 3, 256, 1)),
        ("None", None),
        ("torch.nn.Tanh", ClassName("torch.nn.Tanh")),
    ],
)  # fmt: skip
def test_values(text: str, value: object) -> None:
    assert read_expression(text) == value


@pytest.mark.parametrize(
    "template",
    [
        "__import__('os').system('touch {canary}')",
        "dict(activation_fn=__import__('os').system('touch {canary}'))",
        "open('{canary}', 'w')",
        "exec(\"open('{canary}', 'w')\")",
        "dict(**open('{canary}', 'w'))",
        "dict(open('{canary}', 'w'))",
        "[x for x in [open('{canary}', 'w')]]",
        "(lambda: open('{canary}', 'w'))()",
        "().__class__.__base__.__subclasses__()",
        "nn.__class__",
        "__builtins__",
        "f\"{{open('{canary}', 'w')}}\"",
        "dict(a=1)['a']",
        "nn.ReLU()",
        "'a' * 3",
        "-[1]",
        "not 1",
        "1 if 2 else 3",
        "1 @ 2",
        "{{**{{}}}}",
        "dict.fromkeys([1])",
        "(y := 3)",
    ],
)
def test_refused_and_not_run(tmp_path: Path, template: str) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(UnsafeAgentError):
        read_expression(template.format(canary=canary))
    assert not canary.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "x = 1",
        "1 / 0",
        "2 ** 2 ** 30",
        "[1] * 10**9",
        "(" * 500 + ")" * 500,
        "\x00",
        "9" * 30_000,
        "{[]: 1}",
    ],
)
def test_damage(text: str) -> None:
    with pytest.raises(DamagedAgentError):
        read_expression(text)


@given(st.text(alphabet="dict()[]{}=,:'\"0123456789.*-+/%_ nReLU\\", max_size=40))
def test_any_text(text: str) -> None:
    try:
        value = read_expression(text)
    except AgentError:
        return
    assert isinstance(value, dict | list | tuple | str | int | float | bool | ClassName | None)


@pytest.mark.parametrize(
    "text",
    ["[[[[0] * 1000] * 1000] * 1000]", "[[[0] * 100] * 100]", "[dict(a=[0] * 100)] * 100", "[{'a': [0] * 100}] * 100"],
)
def test_lists_of_lists_that_multiply(text: str) -> None:
    with pytest.raises(DamagedAgentError, match="too long"):
        read_expression(text)
