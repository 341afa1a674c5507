"""Fine-tuning: starting a training from the networks of a trained agent, quantized or not."""

from __future__ import annotations

from pathlib import Path

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress.agents.archive import Archive, read_bytes
from policypress.agents.sb3.tensors import read_tensors
from policypress_runtime.errors import TrainingInputError
from policypress_train.vector_envs.making import normaliser
from policypress_train.vector_envs.normalisation import load_statistics

_OBSERVER = ".running_"


def load_networks(model: BaseAlgorithm, source: Path, normalizer: str | None = None) -> None:
    """Load a trained agent's network parameters into a new algorithm; its optimizers start from scratch.

    Quantization ranges are loaded if the agent has learned some, else observed from the first update on.
    Observations are normalised with the agent's statistics.

    Args:
        model: the algorithm, with networks of the same names and shapes.
        source: the zip as ``model.save()`` writes it; nothing in it is executed.
        normalizer: the agent's normalisation statistics that the user states, or ``none``.

    Raises:
        AgentError: the file cannot be read.
        TrainingInputError: its networks differ, it holds only the policy, or its observations are normalised and
            the training's are not, or the other way round.
    """
    archive = Archive(read_bytes(source), source.name)
    found = read_tensors(archive.read("policy.pth"), f"{source.name}: policy.pth")
    own = model.policy.state_dict()
    wrong = [
        f"{name} of shape {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if (name in found or _OBSERVER not in name) and (name not in found or found[name].shape != tuple(tensor.shape))
    ]
    if wrong:
        raise TrainingInputError(
            "A training can only start from an agent with the same networks.",
            got=f"{source}, which lacks {', '.join(wrong[:4])}" + (", …" if len(wrong) > 4 else ""),
            expected="a whole zip of the same algorithm and net_arch, as model.save() writes it",
            hint="Give the training the agent's net_arch: --set net_arch=[…].",
        )
    load_statistics(None if model.env is None else normaliser(model.env), source, normalizer)
    tensors = {name: torch.from_numpy(found[name].copy()) for name in own if name in found}
    model.policy.load_state_dict({**own, **tensors})
    _load_entropy_coefficient(model, archive, source.name)


def _load_entropy_coefficient(model: BaseAlgorithm, archive: Archive, label: str) -> None:
    """Load SAC's learned entropy coefficient; with a fresh one the policy would first become random again."""
    learned = getattr(model, "log_ent_coef", None)
    member = "pytorch_variables.pth"
    if isinstance(learned, torch.Tensor) and member in archive.names:
        stored = read_tensors(archive.read(member), f"{label}: {member}").get("log_ent_coef")
        if stored is not None and stored.shape == tuple(learned.shape):
            learned.data.copy_(torch.from_numpy(stored.copy()))
