"""Results in sentences: what a recipe does, what became of it, what may be concluded and what not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from policypress.compression.methods import CRITERIA, METHODS
from policypress.measurement.statistics import Interval, Missing
from policypress.report import search_words
from policypress.report.costs import RUNTIME_IN_WORDS, Energy, Latency, Memory
from policypress.report.quantities import percent, si, size, times
from policypress.report.recipe_results import BASELINE, RANDOM, RecipeResult
from policypress.report.results import KEEP, Results

Family = Literal["baseline", "quantized", "pruned", "pruned and quantized", "other"]
VerdictKind = Literal["keeps", "unclear", "loses", "failed", "unknown", "reference"]

RANDOM_ACTIONS = "random actions"
_STAGE_VERDICTS: Mapping[str, VerdictKind] = {
    "certified": "keeps",
    "promising": "keeps",
    "not certified": "loses",
    "built": "unknown",
}


@dataclass(frozen=True)
class Verdict:
    """What the interval of the retention allows to say."""

    kind: VerdictKind
    text: str


def family(row: RecipeResult) -> Family:
    """Which kind of compression a recipe is; how figures group them."""
    return family_of(row.steps)


def family_of(steps: Sequence[Mapping[str, Any]]) -> Family:
    """The same, of a recipe's steps in JSON form.

    >>> family_of([{"step": "prune"}, {"step": "int8"}])
    'pruned and quantized'
    """
    names = {step.get("step") for step in steps}
    if not names:
        return "baseline"
    kinds = {METHODS[str(name)].kind for name in names if name in METHODS}
    quantized = "quantizing" in kinds or any(step.get("w", 32) < 32 for step in steps)
    if "smaller" in kinds:
        return "pruned and quantized" if quantized else "pruned"
    return "quantized" if quantized else "other"


def recipe_in_words(row: RecipeResult) -> str:
    """What the recipe does, for somebody who does not know its name."""
    if row.name == RANDOM:
        return "actions drawn at random: the zero of retention"
    if row.name == BASELINE:
        return "the agent itself, fp32: what all others are compared with"
    return steps_in_words(row.steps)


def steps_in_words(steps: Sequence[Mapping[str, Any]]) -> str:
    """What steps do, one after the other.

    >>> steps_in_words([{"step": "refit"}])
    'recomputes what reads the channels that are left'
    """
    return "; ".join(_step_in_words(step) for step in steps)


def _step_in_words(step: Mapping[str, Any]) -> str:
    name = str(step.get("step"))
    if name not in METHODS:
        return name
    if name == "prune" and isinstance(step.get("ratio"), float | int):
        least = CRITERIA.get(str(step.get("criterion")), f"that {step.get('criterion')} ranks last")
        return f"removes the {percent(step['ratio'], 0)} of the channels {least}"
    return _distilled(step) if name == "distill" else METHODS[name].of(step)


def _distilled(step: Mapping[str, Any]) -> str:
    how = "on what it meets itself" if step.get("method") == "dagger" else "on the agent's own episodes"
    w, a = step.get("w"), step.get("a")
    bits = "" if w is None or a is None or (w == 32 and a == 32) else f", {w}-bit weights and {a}-bit activations in it"
    return f"{METHODS['distill'].of(step)}, {how}{bits}"


def display_name(row: RecipeResult) -> str:
    """The recipe's name in tables and figures."""
    return {RANDOM: RANDOM_ACTIONS, BASELINE: "none (fp32)"}.get(row.name, row.name)


def verdict(row: RecipeResult) -> Verdict:
    """Whether the recipe keeps the share :data:`~policypress.report.results.KEEP` of the return."""
    if row.status == "failed":
        return Verdict("failed", "failed")
    if row.name in (RANDOM, BASELINE):
        return Verdict("reference", "reference")
    if row.tried is not None and row.tried.stage in _STAGE_VERDICTS:
        return Verdict(_STAGE_VERDICTS[row.tried.stage], search_words.STAGES[row.tried.stage])
    if isinstance(row.retention, Missing):
        return Verdict("unknown", "return not measured" if not row.returns else "cannot be told")
    if row.retention.lower >= KEEP:
        return Verdict("keeps", f"keeps {percent(KEEP, 0)}")
    if row.retention.upper < KEEP:
        return Verdict("loses", f"below {percent(KEEP, 0)}")
    return Verdict("unclear", "too close to tell")


def title(results: Results) -> str:
    """Agent and environment: ``SAC on HalfCheetah-v4``."""
    algorithm = "Policy" if results.agent is None else results.agent.algorithm.upper()
    return algorithm if results.environment is None else f"{algorithm} on {results.environment.id}"


def headline(results: Results) -> str:
    """The result in one line."""
    if results.search is not None:
        return search_words.headline(results, results.search)
    winner, base = results.winner, results.baseline.artifact
    if winner is not None and winner.artifact is not None and base is not None:
        return f"{times(base.packed_bytes / winner.artifact.packed_bytes)} smaller, return kept"
    if not results.complete:
        return "not complete yet"
    if all(not row.returns for row in results.variants):
        return "compressed, return not measured"
    return "no recipe surely keeps the return"


def lead(results: Results) -> list[str]:
    """The result in a few sentences, without saying more than was shown."""
    winner, base = results.winner, results.baseline.artifact
    if results.search is not None:
        told = search_words.lead(results, results.search)
        return told if winner is None else [*told, *_faster(results.baseline, winner)]
    sentences = []
    if (
        winner is not None
        and winner.artifact is not None
        and base is not None
        and isinstance(winner.retention, Interval)
    ):
        kept = winner.retention
        sentences.append(
            f"The recipe “{winner.name}” takes {size(winner.artifact.packed_bytes)} instead of "
            f"{size(base.packed_bytes)} and keeps {percent(kept.estimate)} of the return above random actions "
            f"({percent(kept.confidence, 0)} interval {percent(kept.lower)} to {percent(kept.upper)})."
        )
        sentences += _faster(results.baseline, winner)
    elif results.variants and all(not row.returns for row in results.variants):
        sentences.append(
            "No environment was given, so no episodes were played: the artifacts act like the policy to within the "
            "action errors below, and what they keep of the return is not known."
        )
    else:
        sentences.append(
            f"None of the recipes that make the policy smaller has a retention whose lower bound reaches "
            f"{percent(KEEP, 0)}."
        )
        sentences += _why_nothing(results)
    sentences += _tally(results)
    return sentences


def _why_nothing(results: Results) -> list[str]:
    kinds = [verdict(row).kind for row in results.variants]
    if "unclear" in kinds:
        return ["Some are too close to tell: more episodes would narrow their intervals."]
    reasons = {row.retention.reason for row in results.variants if isinstance(row.retention, Missing) and row.returns}
    return [f"Retention is not defined here: {reason}." for reason in sorted(reasons)]


def _faster(base: RecipeResult, winner: RecipeResult) -> list[str]:
    """How the latencies compare, under the best runtime and then under the others that both have."""
    before, after = base.costs.latency, winner.costs.latency
    if isinstance(before, Missing) or isinstance(after, Missing):
        return []
    old, new = before.warm_s["p50"], after.warm_s["p50"]
    both = f"{si(new, 's')} instead of {si(old, 's')} (median, {_runtime(after)}, warm cache)"
    compared = "It is faster" if new < 0.95 * old else "It is slower" if new > 1.05 * old else "It is not faster"
    said = [f"{compared}: an action takes {both}."]
    for name, costs in winner.other_runtimes.items():
        other = base.other_runtimes.get(name)
        if other is not None and isinstance(costs.latency, Latency) and isinstance(other.latency, Latency):
            old, new = other.latency.warm_s["p50"], costs.latency.warm_s["p50"]
            said.append(f"Under {_runtime(costs.latency)} it takes {si(new, 's')} instead of {si(old, 's')}.")
    return said


def _runtime(latency: Latency) -> str:
    return RUNTIME_IN_WORDS.get(latency.runtime, latency.runtime)


def _tally(results: Results) -> list[str]:
    kinds = [verdict(row).kind for row in results.variants]
    if not any(kind in ("keeps", "loses", "unclear") for kind in kinds):
        return []
    parts = [
        f"{kinds.count(kind)} {one if kinds.count(kind) == 1 else several}"
        for kind, one, several in (
            ("keeps", f"surely keeps at least {percent(KEEP, 0)}", f"surely keep at least {percent(KEEP, 0)}"),
            ("loses", "loses more", "lose more"),
            ("unclear", "is too close to tell", "are too close to tell"),
            ("unknown", "cannot be judged", "cannot be judged"),
            ("failed", "failed", "failed"),
        )
        if kind in kinds
    ]
    return [f"Of {len(kinds)} recipes, {_listed(parts)}."] if len(kinds) > 1 else []


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def caution(results: Results) -> list[str]:
    """What the numbers do not show."""
    if results.search is not None:
        return search_words.caution(results.search)
    if all(not row.returns for row in results.variants):
        return ["An action error says how far actions move, not what that does to the return."]
    episodes = results.protocol.episodes
    rarest = 1 - 0.05 ** (1 / episodes)
    sentences = [
        f"The intervals are those of one agent on {episodes} episodes; "
        "each speaks for its recipe alone, and picking the best of several flatters it.",
        f"In {episodes} episodes, a failure that happens in up to {percent(rarest, 0)} of all episodes can stay "
        "unseen (with a probability of 5 % or more).",
    ]
    if len(results.variants) == 1:
        sentences[0] = f"The interval is that of one agent on {episodes} episodes."
    return sentences


def protocol_in_words(results: Results) -> list[str]:
    """How returns were measured, in sentences."""
    if results.environment is None or results.protocol.episodes == 0:
        sentence = (
            "No episodes were played. The action error is the mean distance to the baseline's action, as a share "
            "of the action range, on held-out observations (discrete actions: the share that differs)."
        )
        return [sentence]
    protocol = results.protocol
    limit = "" if protocol.max_steps is None else f", of at most {protocol.max_steps} steps"
    methods = sorted({row.retention.method for row in results.variants if isinstance(row.retention, Interval)})
    several = "the same" if results.search is None else "the first or all of the same"
    sentences = [
        f"Every policy acted deterministically in {several} {protocol.episodes} episodes of {results.environment.id}"
        f"{limit}; the seeds of the episodes follow from seed {protocol.seed}.",
        "The return of an episode is the plain sum of its rewards. Retention is (R − R_random) / (R_baseline − "
        "R_random) of mean returns: 0 % is as good as random actions, 100 % as good as the fp32 agent.",
        "The share “of baseline” is the raw ratio of mean returns, as papers report it; the 90 % rule of Lu et al. "
        "(2024) asks whether that ratio reaches 0.9.",
    ]
    if methods:
        sentences.append(
            f"Intervals: {'; or '.join(methods)}. The uncertainty of the baseline and of the random policy is in them."
        )
    return sentences if results.search is None else [*sentences, *search_words.method(results.search)]


def costs_in_words(results: Results) -> list[str]:
    """How costs were measured, or why they were not; modelled joules say so."""
    costs = [row.costs for row in results.rows if row.artifact is not None]
    if not costs:
        return []
    latency = next((c.latency for c in costs if isinstance(c.latency, Latency)), costs[0].latency)
    memory = next((c.memory for c in costs if isinstance(c.memory, Memory)), costs[0].memory)
    energy = next((c.energy for c in costs if isinstance(c.energy, Energy)), costs[0].energy)
    return [*_runtimes_in_words(results), latency_in_words(latency), memory_in_words(memory), energy_in_words(energy)]


def _runtimes_in_words(results: Results) -> list[str]:
    """Which runtimes costs are of, where it is not simply the one that played."""
    winner = results.winner or results.baseline
    if not winner.other_runtimes:
        return []
    first, others = winner.costs.runtime, [RUNTIME_IN_WORDS.get(name, name) for name in winner.other_runtimes]
    played = results.protocol.runtime
    return [
        f"Costs, in figures too, are those under {RUNTIME_IN_WORDS.get(str(first), first)}, which load_artifact takes "
        "where there is a C compiler; the baseline and the best recipe were also measured under "
        f"{_listed(others)}. The episodes were played under {RUNTIME_IN_WORDS.get(played, played)}."
    ]


def latency_in_words(latency: Latency | Missing) -> str:
    """How latency was measured."""
    if isinstance(latency, Missing):
        return f"Latency: {latency.reason}."
    floor = ""
    if latency.floor_s is not None:
        floor = f" The measuring itself takes {si(latency.floor_s['p50'], 's')} (a policy that does nothing), included."
    return (
        f"Latency: one observation at a time on one thread with {_runtime(latency)}, called from Python; the recipes "
        f"took turns; {latency.samples} samples each with warm caches.{floor}"
    )


def memory_in_words(memory: Memory | Missing) -> str:
    """How memory was measured."""
    if isinstance(memory, Missing):
        return f"Peak memory: {memory.reason}."
    bare = ""
    if memory.bare_python_bytes is not None:
        bare = f" An interpreter that does nothing takes {size(memory.bare_python_bytes)} of it."
    return f"Peak memory: resident set of a fresh process that loads the artifact and acts.{bare}"


def energy_in_short(energy: Energy) -> str:
    """Where joules come from, in a sentence or two."""
    if energy.source == "measured":
        return energy_in_words(energy)
    return (
        "Modelled from CPU time, not measured: no meter of this machine gave a value. It says how recipes compare, "
        "not how many joules they really take."
    )


def energy_in_words(energy: Energy | Missing) -> str:
    """How energy was measured or modelled."""
    if isinstance(energy, Missing):
        return f"Energy: {energy.reason}."
    said = energy.protocol
    if energy.source == "measured":
        covers = f", which covers {said['covers']}" if "covers" in said else ""
        step = f", in steps of {si(said['resolution_j'], 'J')}" if "resolution_j" in said else ""
        return f"Energy: measured by {said.get('meter', 'a meter')}{covers}{step}, above what the idle machine takes."
    watts = ""
    if "watts_per_core" in said:
        watts = f" times {said['watts_per_core']:g} W ({said.get('watts_source', 'source not known')})"
    reasons = said.get("not_measured") or {}
    why = "; ".join(f"{meter}: {reason}" for meter, reason in reasons.items())
    gave = f" No meter gave a value: {why}." if why else ""
    return f"Energy: modelled, not measured: CPU-seconds per action{watts}.{gave}"


def machine_in_words(machine: Mapping[str, Any]) -> str:
    """The machine in one sentence; what is not known is left out."""
    parts = [str(machine.get("cpu", "unknown processor"))]
    if machine.get("cores_logical"):
        kind = " of a virtual machine" if machine.get("virtual_machine") else ""
        parts.append(f"{machine['cores_logical']} cores{kind}")
    if machine.get("memory_bytes"):
        parts.append(f"{machine['memory_bytes'] / 1e9:.0f} GB of memory")
    parts += [str(machine[key]) for key in ("system", "python") if machine.get(key)]
    packages = machine.get("packages") or {}
    parts += [f"{name} {packages[name]}" for name in ("onnxruntime", "gymnasium", "mujoco") if name in packages]
    return ", ".join(parts)
