"""What of a training's memory is what."""

from __future__ import annotations

import numpy as np

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.memory import begins_here, memory_of, peak_resident_bytes, resident_bytes
from policypress_train.model import build_model
from policypress_train.vector_envs.making import learning_environments

WORD = 4


def test_the_split_is_what_the_shapes_say() -> None:
    stated = [("net_arch", [7]), ("buffer_size", 100), ("learning_starts", 10)]
    spec = prepare(TrainingRequest("dqn", EnvironmentSpec("CartPole-v1"), overrides=stated)).spec
    model = build_model(spec, learning_environments(spec))
    network = WORD * (4 * 7 + 7 + 7 * 2 + 2)
    empty = memory_of(model, ALGORITHMS["dqn"], 5, peak_before=2**60)
    assert (empty.acting_bytes, empty.value_bytes, empty.optimizer_bytes, empty.replay_bytes) == (
        network,
        network,
        0,
        0,
    )
    assert (empty.before_rss_bytes, empty.peak_rss_bytes) == (5, 2**60)
    model.learn(256 + 256)  # one round that collects, one that learns
    memory = memory_of(model, ALGORITHMS["dqn"], 5)
    assert memory.optimizer_bytes == 2 * network + 4 * WORD
    row = 2 * 4 * WORD + 8 + 3 * WORD  # two observations, an action, reward, done, time-out
    assert memory.replay_reserved_bytes == memory.replay_bytes == 100 * row


def test_only_one_training_is_a_process_s_first() -> None:
    begins_here()
    assert not begins_here()


def test_resident_memory_is_read() -> None:
    before = peak_resident_bytes()
    block = np.ones(8 * 2**20)
    assert peak_resident_bytes() >= before
    assert resident_bytes() > block.nbytes / 2
