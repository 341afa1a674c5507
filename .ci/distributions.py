"""Installs each distribution from this checkout into an environment of its own, and looks at what came along.

    python .ci/distributions.py

A runtime without torch, a compressor without Stable-Baselines3, and each does its work.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIME, CORE = "packages/policypress-runtime", "packages/policypress"
AGENT = ROOT / "examples" / "agents" / "dqn-CartPole-v1.zip"
TEST_TOOLS = ("pytest", "hypothesis", "beartype", "scipy", "pandas", "rliable")
TRAINING = ("stable_baselines3", "sb3_contrib", "policypress_train")
# What does not come along with each, as it is imported.
ABSENT = {
    "runtime": ("torch", "gymnasium", "pydantic", "typer", "policypress", *TRAINING, "ale_py", "ray", *TEST_TOOLS),
    "policypress": (*TRAINING, "ale_py", "cv2", "ray", "policypress_lu2024", "policypress_li2023", *TEST_TOOLS),
    "train": ("ale_py", "ray", "policypress_lu2024", "policypress_li2023", "pytest", "hypothesis", "rliable"),
}
ACT = """
import numpy as np
from policypress_runtime.runtimes.loading import load_artifact
policy = load_artifact("policy.onnx")
action, _ = policy.predict(np.zeros(4, np.float32), deterministic=True)
assert int(action) in (0, 1), action
"""


class Environment:
    """A virtual environment in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)

    def install(self, *packages: str) -> None:
        """Install distributions of this checkout, and what they need."""
        paths = [str(ROOT / package) for package in packages]
        self.run("python", "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), *paths)

    def run(self, tool: str, *arguments: str, expected: int = 0) -> str:
        """What ``tool`` of the environment prints, in the folder of all environments; exits here if it fails."""
        command = [str(self._folder / "bin" / tool), *arguments]
        done = subprocess.run(command, cwd=self._folder.parent, capture_output=True, text=True)
        if done.returncode != expected:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def check_absent(self, names: tuple[str, ...]) -> None:
        """Exit if one of ``names`` can be imported."""
        code = f"import importlib.util as i; print(*[n for n in {names!r} if i.find_spec(n)])"
        found = self.run("python", "-P", "-c", code).split()
        if found:
            sys.exit(f"came along and should not: {', '.join(found)}")


def main() -> None:
    """Install and look, from the smallest distribution to the largest."""
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        whole = Environment(Path(folder) / "environment-of-all")
        whole.install(RUNTIME, CORE)
        whole.check_absent(ABSENT["policypress"])
        whole.run("policypress", "--help")
        whole.run("policypress", "export", str(AGENT), "--recipe", "equalize > int8", "-o", "policy.onnx")
        said = whole.run("policypress", "train", "ppo", "CartPole-v1", "-o", "agent.zip", expected=1)
        if "pip install policypress-train" not in said:
            sys.exit(f"train does not say what is missing: {said}")
        print("policypress: exports, and says what training needs")

        small = Environment(Path(folder) / "environment-of-runtime")
        small.install(RUNTIME)
        small.check_absent(ABSENT["runtime"])
        small.run("python", "-c", ACT)
        small.run("python", "-m", "policypress_runtime.codegen", "policy.onnx", "-o", "policy.c")
        print("policypress-runtime: acts, and writes C")

        whole.install(RUNTIME, CORE, "packages/policypress-train")
        whole.check_absent(ABSENT["train"])
        whole.run("policypress", "train", "ppo", "CartPole-v1", "--steps", "64", "-o", "agent.zip")
        whole.run("policypress", "evaluate", "agent.zip", "--episodes", "2")
        print("policypress-train: trains")

        for paper, study in (("lu2024", "lu2024-small"), ("li2023", "li2023")):
            spec = str(ROOT / "papers" / paper / "studies" / f"{study}.yml")
            without = whole.run("policypress", "study", "report", spec, "-o", paper, expected=2)
            if f"report: {paper}" not in without:
                sys.exit(f"a report that is not installed is not named: {without}")
            whole.install(RUNTIME, CORE, f"papers/{paper}")
            whole.run("policypress", "study", "report", spec, "-o", paper)
            print(f"policypress-{paper}: reports")


if __name__ == "__main__":
    main()
