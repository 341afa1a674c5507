"""Sample Factory's checkpoints (version 2): ``checkpoint_p0/checkpoint_N_STEPS.pth`` beside ``config.json``.

The action is the mean, the first half of the outputs where the other half is a deviation. Observations are
clamp((x - mean) / sqrt(variance + 1e-5), ±5).
"""

from __future__ import annotations

from policypress.agents.bundle import Normaliser
from policypress.agents.frameworks.chains import layer, refuse_memory, refuse_others, sequential
from policypress.agents.frameworks.found import Found, Framework
from policypress.agents.frameworks.normalisers import inside_root, statistics
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.frameworks.stored import Stored
from policypress.agents.overrides import Overrides
from policypress_runtime.errors import UnsupportedAgentError

EPSILON, CLIP = 1e-5, 5.0
_STATISTICS = "obs_normalizer.running_mean_std.running_mean_std.obs."
_MLP = "encoder.encoders.obs.mlp_head."
_HEAD = "action_parameterization.distribution_linear"
_DEVIATION = "action_parameterization.learned_stddev"
_DECODER = "decoder.mlp."
# What the configuration does to observations and actions beside the network, and its value where it does nothing.
_NEUTRAL = {"obs_subtract_mean": 0.0, "obs_scale": 1.0, "continuous_tanh_scale": 0.0}


def recognises(stored: Stored) -> bool:
    """A model with Sample Factory's names of the action's parameters."""
    return any(str(name).startswith("action_parameterization.") for name in stored.section("model"))


def read(stored: Stored, config: RunConfig, overrides: Overrides) -> Found:
    """The actor of vector observations.

    Raises:
        UnsupportedAgentError: it is recurrent or convolutional, or its configuration changes observations or actions.
        DamagedAgentError: tensors are missing.
    """
    model = stored.section("model")
    refuse_memory("Sample Factory", model, ("core.",))
    known = (_STATISTICS, _MLP, _DECODER, _HEAD + ".", _DEVIATION, "returns_normalizer.", "critic_linear.")
    refuse_others("Sample Factory", model, known)
    for name, neutral in _NEUTRAL.items():
        value = config.at(name)
        if value is not None and value != neutral:
            raise UnsupportedAgentError(
                f"The run's configuration sets {name}, which is not read.",
                got=f"{name}: {str(value)[:40]}",
                expected=f"{neutral:g}",
            )
    arrays = stored.arrays(model)
    parts = sequential(arrays, _MLP, closing=True)
    if any(name.startswith(_DECODER) for name in arrays):
        parts = (*parts, *sequential(arrays, _DECODER, closing=True))
    return Found(
        "sample_factory",
        "Sample Factory 2",
        (*parts, layer(arrays, _HEAD)),
        config.activation("nonlinearity"),
        config.name,
        _normaliser(stored),
        choices=() if _DEVIATION in arrays else None,
        halves=False if _DEVIATION in arrays else None,
    )


def _normaliser(stored: Stored) -> Normaliser | None:
    found = stored.arrays(stored.section("model"), _STATISTICS)
    if not found:
        return None
    mean, variance = statistics(found, "running_mean", "running_var")
    return inside_root(mean, variance, EPSILON, CLIP)


FRAMEWORK = Framework("sample_factory", recognises, read)
