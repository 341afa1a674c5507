from __future__ import annotations

import pytest

from policypress.agents.onnx_reading.output_names import NEVER_THE_ACTION, Kind, is_mask, is_state, kind_of

NAMES = {
    Kind.DETERMINISTIC: "deterministic_continuous_actions deterministic_discrete_actions DeterministicAction",
    Kind.ACTION: "action actions Actions ACTION actions:0 actions_v2 head/action net.actions action_0",
    Kind.ACTIONS_OF_A_KIND: "continuous_actions discrete_actions policy_action actor/continuous_actions "
    "output_action clippedActions joint_actions",
    Kind.MEAN: "mean mu action_mean mean_actions actor_mean loc pi_mean policy.mean mode torques joint_commands",
    Kind.SCORES: "logits action_logits policy_logits q_values qValues Q action_values action_probs scores q_out",
    Kind.HEAD: "pi policy actor actor_output policy_output",
    Kind.OUTPUT: "output output_0 out y model_output Output:0 outputs.1",
    Kind.UNKNOWN: "49 Identity:0 linear_2 tanh /net/Gemm_output_0 Gemm_output_0 foo StatefulPartitionedCall",
    Kind.LOG_PROBABILITIES: "log_prob log_probs logp logProbs action_log_prob neglogp log_pi",
    Kind.SAMPLE: "sampled_action stochastic_actions action_sample",
    Kind.VALUE: "value values vf critic v V value_fn critic_output state_value vpred critic_q output_value",
    Kind.SPREAD: "std log_std logstd sigma action_std variance entropy action_scale",
    Kind.STATE: "state_outs h_out c_out hidden hn cn recurrent_out next_state rnn_states lstm_h hidden_state",
    Kind.ABOUT: "version_number memory_size continuous_action_output_shape action_masks is_continuous_control",
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names.split()])
def test_kinds_of_outputs(kind: Kind, name: str) -> None:
    assert kind_of(name) == kind
    assert (kind_of(name) < NEVER_THE_ACTION) == (kind < Kind.VALUE)


def test_names_of_any_length_and_content() -> None:
    for name in ("", "\n", "x" * 10**6, "[/red]", "a" * 300 + "actions", "//", "/", ".", ":0", "\x1b[31mactions"):
        assert kind_of(name) in Kind


@pytest.mark.parametrize(
    ("name", "mask", "state"),
    [
        ("action_masks", True, False),
        ("legal_actions", True, False),
        ("obs", False, False),
        ("state", False, False),
        ("states", False, False),
        ("state_ins", False, True),
        ("h_in", False, True),
        ("c0", False, True),
        ("recurrent_in", False, True),
        ("prev_action", False, False),
    ],
)
def test_kinds_of_inputs(name: str, mask: bool, state: bool) -> None:
    assert (is_mask(name), is_state(name)) == (mask, state)
