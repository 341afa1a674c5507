"""Another framework's checkpoint on the command line: what is open is asked for, and what is stated is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from command_line import run


def test_a_checkpoint_is_inspected_and_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ELU(), torch.nn.Linear(8, 2))
    state = {"std": torch.ones(2), **{f"actor.{name}": tensor for name, tensor in net.state_dict().items()}}
    statistics = {"_mean": torch.ones(1, 4), "_std": torch.full((1, 4), 2.0)}
    torch.save({"model_state_dict": state, "obs_norm_state_dict": statistics, "iter": 3}, tmp_path / "model_3.pt")
    asked = run("inspect", "model_3.pt", cwd=tmp_path)
    assert asked.returncode == 2
    assert "--activation" in asked.stderr
    shown = run("inspect", "model_3.pt", "--activation", "elu", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for words in ("rsl_rl", "8 → 2 channels", "elu", "folded in"):
        assert words in shown.stdout
    rows = torch.randn(64, 4)
    with torch.no_grad():
        actions = net((rows - 1.0) / 2.01).numpy()
    np.savez(tmp_path / "pairs.npz", x=rows.numpy(), y=actions)
    proven = ["--activation", "elu", "--check", "pairs.npz"]
    for name in ("policy.onnx", "policy.c"):
        done = run("export", "model_3.pt", *proven, "-o", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).is_file()
    wrong = run(
        "export", "model_3.pt", "--activation", "relu", "--check", "pairs.npz", "-o", "wrong.onnx", cwd=tmp_path
    )
    assert wrong.returncode == 2
    assert not (tmp_path / "wrong.onnx").exists()
