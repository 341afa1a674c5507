"""A trained agent as plain data: what a reader gives, and all that the policy is built from.

No torch here: tensors are float32 numpy arrays under the names of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policypress_runtime.contract import Checked, EnvironmentSpec, Space

Array = npt.NDArray[np.float32]
Algorithm = Literal[
    "dqn", "qrdqn", "a2c", "ppo", "maskable_ppo", "trpo", "recurrent_ppo", "ars", "ddpg", "td3", "sac", "tqc", "crossq"
]
ACTOR_CRITIC = ("a2c", "ppo", "maskable_ppo", "trpo", "recurrent_ppo")
Q_LEARNING = ("dqn", "qrdqn")


@dataclass(frozen=True)
class Activation:
    """An activation of the field by name (``relu``, ``tanh``, ``elu``, ``leaky_relu``, ...) and its parameters."""

    name: str
    parameters: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Cnn:
    """Convolutional extractor: strides and paddings, which the tensors alone do not tell, and its activation."""

    strides: tuple[int, ...]
    paddings: tuple[int, ...]
    activation: Activation = field(default_factory=lambda: Activation("relu"))


@dataclass(frozen=True)
class Extractor:
    """How observations become features.

    ``kind``: ``flatten`` (Mlp, Linear), ``cnn``, or ``combined`` (dict observations: a CNN for image
    keys, flatten for the rest, concatenated in the order of the observation space's keys).
    ``prefix``: where its tensors stand in the state, e.g. ``actor.features_extractor.``.
    """

    kind: Literal["flatten", "cnn", "combined"]
    prefix: str = ""
    cnn: Cnn | None = None
    image_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Normaliser:
    """VecNormalize statistics of one observation tensor, float64: clip((o - mean) / sqrt(var + epsilon))."""

    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]
    epsilon: float
    clip: float


@dataclass(frozen=True)
class LearnedQuantizer:
    """What quantization-aware training learned for one layer.

    Args:
        low: least value that the layer read in training, or 0.
        high: largest value that it read, or 0; both 0 where it read nothing else.
        peak: largest magnitude of each observation feature that it reads, where those are scaled first.
        weight_bits: of its weight.
        activation_bits: of what it reads.
        per_channel: one weight scale per output channel.
    """

    low: float
    high: float
    peak: tuple[float, ...] | None
    weight_bits: int
    activation_bits: int
    per_channel: bool


@dataclass(frozen=True)
class Sb3Network:
    """A Stable-Baselines3 or sb3-contrib policy.

    Args:
        algorithm: decides the names under which the tensors stand and what the head does.
        state: acting tensors (no critics, targets or optimizers needed; extra keys are ignored).
        activation: of the hidden layers.
        squash_output: the mean goes through tanh and is unscaled to the action bounds.
        mean_clip: SAC/TQC with state-dependent exploration clip the mean to ±this before squashing.
        normalize_images: image observations are divided by 255.
        n_quantiles: QR-DQN; the score of an action is the mean over its quantiles.
        norm_epsilon: of the batch (re)normalisation layers of CrossQ.
        quantizers: what quantization-aware training learned, by the name of the layer; empty without it.
    """

    algorithm: Algorithm
    state: Mapping[str, Array]
    activation: Activation
    extractor: Extractor
    squash_output: bool
    mean_clip: float | None = None
    normalize_images: bool = True
    n_quantiles: int | None = None
    norm_epsilon: float = 1e-3
    quantizers: Mapping[str, LearnedQuantizer] = field(default_factory=dict)


@dataclass(frozen=True)
class OnnxNetwork:
    """A network that came as an ONNX file.

    Args:
        model: the serialised model, already checked, with all of its weights.
        action: name of the output that is the action; None where the rule of the reader decides.
        scale_actions: it gives -1 to 1, which the user says is to be scaled to the action bounds.
    """

    model: bytes
    action: str | None = None
    scale_actions: bool = False


@dataclass(frozen=True)
class Dense:
    """y = W x + b; weight ``(out, in)``, bias ``(out,)`` or None."""

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True)
class LayerNormed:
    """Layer normalisation over the features, with learned scale and shift ``(n,)``."""

    weight: Array
    bias: Array
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Scaled:
    """x · scale + shift; each ``(n,)``, ``(1,)`` or None. ``role`` is what an artifact's contract calls it."""

    scale: Array | None = None
    shift: Array | None = None
    role: str = ""


@dataclass(frozen=True)
class Limited:
    """Elements no less than ``low`` and no greater than ``high``."""

    low: float
    high: float


@dataclass(frozen=True)
class Recurrent:
    """Layers of an LSTM or GRU one after the other, whose state is 0 at the start; what follows reads the last one's h.

    ``layers`` are the weights of each under torch's names, ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh``;
    the biases are None where it has none.
    """

    kind: Literal["lstm", "gru"]
    layers: tuple[tuple[Array, Array, Array | None, Array | None], ...]

    @property
    def inputs(self) -> int:
        """Numbers that the first layer reads."""
        return int(self.layers[0][0].shape[1])

    @property
    def hidden(self) -> int:
        """Numbers that the last layer gives."""
        return int(self.layers[-1][1].shape[1])


Plain = Dense | Activation | LayerNormed | Scaled | Limited
Step = Plain | Recurrent


@dataclass(frozen=True)
class ChainNetwork:
    """A network that another framework saved: steps one after the other, from the normalised observation.

    Args:
        framework: that saved it, e.g. ``rsl_rl``.
        steps: the last gives the action, or the scores of discrete actions. An :class:`Activation` that squashes the
            action is a step as well.
        squash: whether the last activation is a squash of the action.
    """

    framework: str
    steps: tuple[Step, ...]
    squash: bool = False


@dataclass(frozen=True)
class Provenance:
    """Where the agent came from: ``sha256`` of the file that was read, and what it says of itself."""

    source: str
    sha256: str
    library_version: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentBundle:
    """A trained agent as plain data.

    ``observation_space`` is the one the network was built for (Stable-Baselines3 stores image spaces
    channel-first, after its own transposition). ``normaliser`` maps observation keys (``""`` for a
    single tensor) to statistics. ``caller_supplies`` names what wrappers add to the observation and a
    deployed caller must supply. ``notices`` tell the user about the reading; ``assumptions``
    what its files leave open and was taken to be so, each one sentence for the artifact's contract; ``checked`` is what
    an artifact's own contract says of its comparison.
    ``unproven`` names the author's own code that the network stands for: it is a guess, ``alternatives`` are others,
    and the observations and actions in the file ``check`` decide; without them no policy is built.
    """

    network: Sb3Network | OnnxNetwork | ChainNetwork
    observation_space: Space
    action_space: Space
    provenance: Provenance
    environment: EnvironmentSpec | None = None
    normaliser: Mapping[str, Normaliser] = field(default_factory=dict)
    caller_supplies: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    alternatives: tuple[Sb3Network, ...] = ()
    check: str | None = None
    assumptions: tuple[str, ...] = ()
    checked: Checked | None = None

    def __repr__(self) -> str:
        where = "no environment stated" if self.environment is None else self.environment.id
        normalised = ", normalised observations" if self.normaliser else ""
        return f"<AgentBundle: {self.algorithm}, {where}{normalised}; {self.provenance.source}>"

    @property
    def algorithm(self) -> str:
        """Name of the algorithm, or of the framework that saved a network without one, or ``onnx``."""
        match self.network:
            case Sb3Network():
                return self.network.algorithm
            case ChainNetwork():
                return self.network.framework
            case _:
                return "onnx"
