"""``docs/images/side-by-side.webp``: an agent and what it was compressed to, playing the same seed side by side.

    policypress export AGENT.zip --recipe "prune(obs, 0.8) > distill(dagger, w=8, a=8)" -o small.onnx
    MUJOCO_GL=osmesa python benchmarks/side_by_side.py AGENT.zip small.onnx -o docs/images/side-by-side.webp

MuJoCo draws off-screen: with ``MUJOCO_GL=egl`` where there is a graphics driver, else ``osmesa`` (libosmesa6).
Both policies start in the same state; what they do then is theirs. The script prints both returns of the episode.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFont

from policypress.environments.making import make
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.sizes import packed_bytes
from policypress.policy.policy import Policy
from policypress.report.quantities import size
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.runtimes.loading import load_artifact

WIDTH, HEIGHT, BAND, GAP = 300, 200, 46, 12
INK, PAPER, QUIET = (27, 31, 36), (255, 255, 255), (91, 100, 112)
Act = Callable[[Any], Any]


def played(spec: EnvironmentSpec, act: Act, seed: int, steps: int, every: int) -> tuple[list[np.ndarray], float]:
    """Every ``every``-th picture of the first ``steps`` steps, and the return of the whole episode."""
    env = make(replace(spec, kwargs=(*spec.kwargs, ("render_mode", "rgb_array"), ("width", WIDTH), ("height", HEIGHT))))
    observation, _ = env.reset(seed=seed)
    pictures: list[np.ndarray] = []
    total, step, over = 0.0, 0, False
    while not over:
        if step < steps and step % every == 0:
            pictures.append(np.array(env.render()))  # a copy: the next picture may take its place
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        total, step, over = total + float(reward), step + 1, terminated or truncated
    env.close()
    return pictures, total


def side_by_side(frames: tuple[np.ndarray, np.ndarray], words: list[tuple[str, str]]) -> Image.Image:
    """One picture of both, with two lines of words above each."""
    sheet = Image.new("RGB", (2 * WIDTH + GAP, HEIGHT + BAND), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (frame, (name, note)) in enumerate(zip(frames, words, strict=True)):
        x = index * (WIDTH + GAP)
        draw.text((x + 2, 1), name, INK, font=ImageFont.load_default(18))
        draw.text((x + 2, 24), note, QUIET, font=ImageFont.load_default(13))
        sheet.paste(Image.fromarray(frame), (x, BAND))
    return sheet


def words_of(policy: Policy, artifact: Path, returns: tuple[float, float]) -> list[tuple[str, str]]:
    """What stands above each: its size, and the return of this episode."""
    before = sum(4 * tensor.numel() for tensor in policy.parameters())
    after = packed_bytes(onnx.load(artifact))
    return [
        (f"fp32, {size(before)}", f"return {returns[0]:.0f} in this episode"),
        (f"{before / after:.0f} times smaller, {size(after)}", f"return {returns[1]:.0f} in this episode"),
    ]


def main() -> int:
    """Play, draw, and write the animation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("agent")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=120, help="steps that are drawn")
    parser.add_argument("--every", type=int, default=2, help="steps from picture to picture")
    asked = parser.parse_args()
    subject = agent_in_environment(asked.agent)
    if subject.environment is None:
        parser.error("it is not known which environment the agent acts in")
    actors = runtime_of(subject.policy), load_artifact(asked.artifact, runtime="onnxruntime")
    both = [played(subject.environment, one.act, asked.seed, asked.steps, asked.every) for one in actors]
    words = words_of(subject.policy, asked.artifact, (both[0][1], both[1][1]))
    sheets = [side_by_side(pair, words) for pair in zip(both[0][0], both[1][0], strict=False)]
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    sheets[0].save(asked.output, save_all=True, append_images=sheets[1:], duration=60, loop=0, quality=60, method=4)
    print(f"{asked.output}: {len(sheets)} pictures, {asked.output.stat().st_size} bytes; {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
