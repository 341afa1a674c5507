"""What the user adds to an agent's environment is arguments, not trust in the code that the agent's files name."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from command_lines import run_lines

from policypress.cli.agent_options import AgentOptions
from policypress.environments.making import make
from policypress.environments.trust import id_of_user
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.evaluation import evaluate, model_of
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import EnvironmentInputError

MODULE = """
import pathlib
import gymnasium
pathlib.Path(__file__).with_name("RAN").touch()
gymnasium.register("{name}/Own-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=7)
"""


@pytest.fixture
def agent(tmp_path: Path, own_agents: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The id that the files of the agent in the current folder name; its module leaves ``RAN`` when it runs."""
    name = f"evil_{abs(hash(request.node.nodeid)) % 10**8}"
    shutil.copy(own_agents / "dqn-CartPole-v1.zip", tmp_path / "a.zip")
    (tmp_path / "args.yml").write_text(f"algo: dqn\nenv: {name}:{name}/Own-v0\n")
    (tmp_path / "config.yml").write_text("normalize: false\n")
    (tmp_path / f"{name}.py").write_text(MODULE.format(name=name))
    (tmp_path / f"friend_{name}.py").write_text("import gymnasium\nWrapper = gymnasium.Wrapper\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return f"{name}:{name}/Own-v0"


def play(options: AgentOptions) -> None:
    said = options.stated(".")
    evaluate(".", episodes=1, env=said.environment, overrides=said.overrides, runtime="onnxruntime")


@pytest.mark.parametrize(
    "options",
    [
        AgentOptions(env_kwargs=["sutton_barto_reward=True"]),
        AgentOptions(wrapper=["TimeLimit(max_episode_steps=5)"]),
        AgentOptions(wrapper=["friend_{module}:Wrapper"]),
        AgentOptions(wrapper=["friend_{module}:Wrapper"], env_kwargs=["sutton_barto_reward=True"]),
        AgentOptions(),
    ],
)
def test_arguments_and_wrappers_are_no_trust_in_what_the_file_names(agent: str, options: AgentOptions) -> None:
    wrappers = [text.format(module=agent.partition(":")[0]) for text in options.wrapper or ()]
    with pytest.raises(EnvironmentInputError, match="Only the user may do that") as refused:
        play(replace(options, wrapper=wrappers or None))
    assert refused.value.exit_code == 2
    assert not Path("RAN").exists()
    assert f"--env {agent}" in str(refused.value)


def test_the_hint_works(agent: str) -> None:
    options = AgentOptions(env_kwargs=["sutton_barto_reward=True"])
    with pytest.raises(EnvironmentInputError) as refused:
        play(options)
    hint = refused.value.hint
    assert hint is not None
    flag, name = shlex.split(hint[hint.index("--env") :])
    assert flag == "--env"
    play(replace(options, env=name))
    assert Path("RAN").exists()


def test_an_id_that_a_shell_would_read_otherwise_is_quoted_in_the_hint() -> None:
    with pytest.raises(EnvironmentInputError) as refused:
        make(EnvironmentSpec("evil:x; rm -rf ~"))
    assert "'evil:x; rm -rf ~'" in str(refused.value)


def test_arguments_join_those_of_the_file(agent: str) -> None:
    Path("args.yml").write_text("algo: dqn\nenv: CartPole-v1\nenv_kwargs: {sutton_barto_reward: true}\n")
    Path("config.yml").write_text("normalize: false\nenv_wrapper: TimeFeatureWrapper\n")
    stated = AgentOptions(env_kwargs=["sutton_barto_reward=False", "render_mode=rgb_array"]).stated(".")
    assert stated.environment is not None
    assert dict(stated.environment.kwargs) == {"sutton_barto_reward": False, "render_mode": "rgb_array"}
    assert [wrapper.name for wrapper in stated.environment.wrappers] == ["TimeFeatureWrapper"]
    assert not id_of_user(stated.environment)
    named = AgentOptions(wrapper=["ClipAction"]).stated(".").environment
    assert named is not None
    assert [wrapper.name for wrapper in named.wrappers] == ["ClipAction"]


OPTIONS = [
    ["--activation", "tanh"],
    ["--cnn-strides", "4,2"],
    ["--normalizer", "there.pkl"],
    ["--output-name", "action"],
    ["--actions", "2"],
    ["--scale-actions"],
    ["--check", "pairs.npz"],
    ["--squash", "tanh"],
    ["--action-scale", "0.25"],
    ["--action-size", "2"],
    ["--layers", "a.0,a.2"],
]
OF_NO_ZIP = ("--output-name", "--actions", "--scale-actions", "--squash", "--action-scale", "--action-size", "--layers")
COMMANDS = {"evaluate": [], "bench": [], "inspect": [], "export": ["-o", "o.onnx"]}


def test_no_option_is_left_aside_for_an_artifact(tmp_path: Path, own_agents: Path) -> None:
    (tmp_path / "artifact.onnx").write_bytes(model_of(agent_in_environment(own_agents / "dqn-CartPole-v1.zip").policy))
    asked = [(command, option) for command in COMMANDS for option in OPTIONS]
    lines = [[command, "artifact.onnx", *option, *COMMANDS[command]] for command, option in asked]
    for (command, option), done in zip(asked, run_lines(lines, tmp_path), strict=True):
        assert done.code == 2, done
        # Statistics and pairs may be given for an artifact that is read as an agent; these two are not there.
        read = command in ("inspect", "export") and option[0] in ("--normalizer", "--check")
        assert (option[1] if read else option[0]) in done.told
    assert [path.name for path in tmp_path.iterdir()] == ["artifact.onnx"]


def test_no_option_is_left_aside_for_a_zip(tmp_path: Path, own_agents: Path) -> None:
    shutil.copy(own_agents / "dqn-CartPole-v1.zip", tmp_path / "agent.zip")
    options = [option for option in OPTIONS if option[0] in OF_NO_ZIP]
    commands = {**COMMANDS, "compress": ["-o", "out", "--recipe", "int8"]}
    lines = [[command, "agent.zip", *option, *rest] for command, rest in commands.items() for option in options]
    for words, done in zip(lines, run_lines(lines, tmp_path), strict=True):
        assert done.code == 2, done
        assert words[2] in done.told
    assert [path.name for path in tmp_path.iterdir()] == ["agent.zip"]
