"""Evaluating one artifact or one agent: deterministic episodes on fixed seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from policypress import __version__
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.environments.fit import described, resolve_first, spaces_of
from policypress.environments.making import SpecFactory, user_environment
from policypress.environments.memory.episodes import whole_episodes
from policypress.environments.memory.remembering import memory_of
from policypress.environments.observations import visited
from policypress.environments.wrappers.one_of_many import as_factory
from policypress.export.runtime_gate import check_runtime
from policypress.measurement.agent_in_environment import (
    AgentLike,
    Factory,
    agent_in_environment,
    cut_notice,
    described_callable,
    fit_of_own,
    limit_and_suspects,
    ways_of,
)
from policypress.measurement.returns import actor_of, measure_returns
from policypress.measurement.stated_facts import check_acting
from policypress.measurement.statistics import Missing, mean_return
from policypress.policy.policy import Policy
from policypress.records import EpisodeRecord, EvaluationProtocol
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.contract import EnvironmentSpec, Quantity
from policypress_runtime.errors import ArtifactError, EnvironmentInputError
from policypress_runtime.runtimes.loading import load_artifact, load_model
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.runtimes.protocol import NATIVE, Runtime, RuntimeChoice

FLOAT_RECIPE = "none"
PROVEN_ON = 256
"""Observations on which a native build is compared before it is evaluated."""


@dataclass(frozen=True)
class Evaluation:
    """Returns of one policy: raw episodes, and their mean with its interval (or why there is none)."""

    name: str
    environment: EnvironmentSpec
    protocol: EvaluationProtocol
    episodes: tuple[EpisodeRecord, ...]
    mean: Quantity | Missing
    notices: tuple[str, ...] = ()


def model_of(policy: Policy) -> bytes:
    """The fp32 policy as an artifact, in memory."""
    model = to_onnx(policy)
    embed_contract(model, contract_of(policy, FLOAT_RECIPE, "", "fp32", __version__))
    content: bytes = model.SerializeToString()
    return content


def runtime_of(policy: Policy) -> OnnxRuntime:
    """The fp32 policy under ONNX Runtime, in memory, for rollouts of an agent."""
    return OnnxRuntime(model_of(policy))


def evaluate(
    subject: AgentLike,
    *,
    episodes: int = 100,
    seed: int = 0,
    env: EnvironmentSpec | str | Factory | VectorEnv[Any, Any, Any] | None = None,
    max_steps: int | None = None,
    overrides: Overrides = NO_OVERRIDES,
    on_episode: Callable[[EpisodeRecord], None] | None = None,
    runtime: RuntimeChoice = "auto",
) -> Evaluation:
    """Play ``episodes`` deterministic episodes with an artifact or an agent.

    Args:
        subject: path of an artifact or an agent, a Hub id, a bundle, a policy; or a live object: a model of
            Stable-Baselines3, a module of torch, TorchScript, an actor-critic of rsl_rl.
        episodes: how many; their seeds are the first of the stream that ``seed`` names.
        seed: of the list of episode seeds; the same seed gives the same list for every policy.
        env: another environment than the one it names: an id, a spec, a function that makes the user's own (a
            gymnasium environment, or a ``gymnasium.vector.VectorEnv``, whose environments play at once), or such a
            simulator that is there, which stays open.
        max_steps: limit where the environment has none.
        overrides: facts that the user states of an agent's network.
        on_episode: is called with every finished episode.
        runtime: what acts: ``native``, ``onnxruntime``, or ``auto`` for native where it can be had. A native build
            has to pass the parity gate before its episodes count.

    Raises:
        InputError: the file or the environment cannot be used; or facts are stated that change nothing.
        NativeBuildError: ``runtime`` is ``native``, and the artifact cannot be built.
        ParityError: the native build does not do what the artifact does.
    """
    where = as_factory(env)
    named, own = (None, where) if callable(where) else (where, None)
    artifact = as_artifact(subject, runtime)
    if artifact is not None:
        check_acting(artifact, overrides, str(subject))
        spec, factory, limit, notices = environment_of(artifact, named, own)
        acting, name, policy, model = artifact, str(subject), None, Path(str(subject)).read_bytes()
    else:
        agent = agent_in_environment(subject, env=named, env_fn=own, overrides=overrides)
        if agent.factory is None or agent.environment is None:
            raise _no_environment(agent.source)
        spec, factory, limit, notices = agent.environment, agent.factory, agent.max_steps, agent.notices
        policy, model = agent.policy, model_of(agent.policy)
        acting, name = load_model(model, runtime), agent.source
    protocol = EvaluationProtocol(episodes=episodes, seed=seed, max_steps=max_steps or limit, runtime=acting.name)
    protocol = replace(protocol, masked=acting.contract.masked)
    if acting.name == NATIVE:
        _prove_native(acting, policy, model, factory, protocol.max_steps)
    rows = measure_returns(
        actor_of(acting), factory, protocol.seeds(), max_steps=protocol.max_steps, on_episode=on_episode
    )
    mean = mean_return(np.array([row.episode_return for row in rows]).tolist())
    return Evaluation(name, spec, protocol, rows, mean, (*notices, *cut_notice(rows, max_steps), *acting.notices))


def _prove_native(
    acting: Runtime, policy: Policy | None, model: bytes, factory: Factory, max_steps: int | None
) -> None:
    """The parity gate, on observations that the native build meets itself."""
    met = visited(
        factory, actor_of(acting), count=PROVEN_ON, seed=0, purpose="native_parity", episodes=1, max_steps=max_steps
    )
    memory = memory_of(actor_of(acting))
    episodes = () if memory is None else whole_episodes(factory, memory, [0], max_steps)
    check_runtime(policy, model, acting, met, episodes)


def as_artifact(subject: AgentLike, runtime: RuntimeChoice) -> Runtime | None:
    """The artifact at a path, or None where it is an agent."""
    if not isinstance(subject, str | Path) or not str(subject).lower().endswith(".onnx"):
        return None
    try:
        return load_artifact(subject, runtime)
    except ArtifactError:
        if Path(subject).is_file():
            return None  # an ONNX file from elsewhere is an agent
        raise


def environment_of(
    artifact: Runtime, env: EnvironmentSpec | str | None, env_fn: Factory | None
) -> tuple[EnvironmentSpec, Factory, int | None, tuple[str, ...]]:
    """Where an artifact acts: the environment, what makes it, its step limit, and notices.

    Raises:
        EnvironmentInputError: none is stated, or it does not fit the artifact.
    """
    contract = artifact.contract
    named = user_environment(env) if isinstance(env, str) else env
    policy_like = (contract.observation_space, contract.action_space)
    if env_fn is not None:
        spec = described_callable(env_fn)
        fit_of_own(env_fn, *policy_like)
        limit, told = limit_and_suspects(env_fn, contract.algorithm, contract.caller_supplies)
        return spec, env_fn, limit, told
    ways, first = ways_of(named, contract.environment)
    if first is None:
        raise _no_environment("the artifact")
    resolved_environment = resolve_first(ways, *policy_like)
    if resolved_environment.fit.transpose_image:
        raise EnvironmentInputError(
            "The artifact reads images in another layout than the environment gives.",
            got=f"{described(resolved_environment.spec)} with {spaces_of(resolved_environment.spec)[0]}",
            expected=str(contract.observation_space),
            hint="Export the agent again with --env, so that the transposition is folded in.",
        )
    factory = SpecFactory(resolved_environment.spec)
    limit, told = limit_and_suspects(factory, contract.algorithm, contract.caller_supplies)
    return resolved_environment.spec, factory, limit, (*resolved_environment.notices, *told)


def _no_environment(source: str) -> EnvironmentInputError:
    return EnvironmentInputError(
        f"It is not known which environment {source} acts in.",
        got="no environment in its files",
        expected="an environment to run episodes in",
        hint="Name it: --env Hopper-v4, or --env package.module:MyEnv-v0; in Python env=...",
    )
