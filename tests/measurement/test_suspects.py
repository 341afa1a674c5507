"""An agent that does hardly better than random actions: what is told."""

from __future__ import annotations

from policypress.measurement.suspects import hardly_better, suspects
from policypress.policy.policy import Origin
from policypress_runtime.contract import ACTION_MASK, NO_NORMALISER_FOUND

MISSING = Origin(assumptions=(NO_NORMALISER_FOUND,))


def test_a_normaliser_that_was_not_found_comes_first() -> None:
    told = suspects(MISSING)
    assert "--normalizer FILE" in told
    assert told.index("--normalizer") < told.index("--env") < told.index("--wrapper")
    assert "VecNormalize" not in suspects(Origin())


def test_only_where_the_returns_say_so() -> None:
    assert hardly_better(MISSING, [10.0, 12.0, 9.0], [11.0, 10.0, 10.0])[0].startswith("The agent is not clearly")
    assert hardly_better(MISSING, [100.0, 120.0, 90.0], [11.0, 10.0, 10.0]) == ()
    assert hardly_better(MISSING, [], []) == ()


def test_masks_that_leave_little_choice_come_before_a_normaliser() -> None:
    for origin in (
        Origin(algorithm="maskable_ppo", assumptions=(NO_NORMALISER_FOUND,)),
        Origin(caller_supplies=(ACTION_MASK,), assumptions=(NO_NORMALISER_FOUND,)),
    ):
        told = suspects(origin)
        assert told.index("action masks") < told.index("--normalizer") < told.index("--env")
        assert "Most likely" not in told
    assert "--normalizer" not in suspects(Origin(algorithm="maskable_ppo"))


def test_an_environment_that_cannot_tell_policies_apart_is_said_to() -> None:
    (told,) = hardly_better(Origin(algorithm="maskable_ppo"), [50.0] * 20, [50.0] * 20)
    assert told.startswith("Random actions have the same return as the agent, in every episode")
    assert "masks" in told
