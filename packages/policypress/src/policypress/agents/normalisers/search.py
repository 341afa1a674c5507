"""Which VecNormalize statistics belong to an agent: those stated, or the one file around it that can be meant.

Looked at are the folder of the zip's name, the zip's own folder and the one above. What is doubtful is an error that
lists every file and names the flag, for a normaliser that is missed, or wrong, is another policy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from policypress.agents.near_files import missing
from policypress.agents.normalisers.files import StatisticsFile, read_statistics_file, statistics_in
from policypress.agents.normalisers.fit import Fitted
from policypress.agents.normalisers.names import are_pair, contradict, is_part_of_a_run, steps_of
from policypress.agents.normalisers.stated_arrays import HOW, SUFFIX, read_stated_arrays
from policypress.agents.normalisers.vecnormalize import Statistics
from policypress_runtime.errors import AgentError, DamagedAgentError, UndeterminedAgentError

NONE = "none"
_FLAGS = "--normalizer FILE with the statistics that were saved with this agent, or --normalizer none if it has none"
_NOT_AGENTS = ("train_eval_metrics", "replay_buffer")

Fit = Callable[[Statistics], Fitted | str]


@dataclass(frozen=True)
class Chosen:
    """The statistics of an agent: their file, and how they fit."""

    path: Path
    fitted: Fitted


@dataclass(frozen=True)
class _Candidate:
    file: StatisticsFile
    fitted: Fitted | None
    reason: str

    @property
    def stem(self) -> str:
        return self.file.path.stem


def stated(path: str, fit: Fit) -> Chosen:
    """The statistics in the file that the user named.

    Raises:
        AgentError: there is no such file, it holds no statistics, or they do not fit.
    """
    file = Path(path)
    if not file.is_file():
        expected = f"normalisation statistics: a file that VecNormalize.save() wrote, an {SUFFIX}, or {NONE!r}"
        raise missing(file, expected=expected, suffixes=(".pkl", ".pickle", SUFFIX))
    fitting = fit(_read(file))
    if isinstance(fitting, str):
        raise _misfit(fitting, file)
    return Chosen(file, fitting)


def _read(file: Path) -> Statistics:
    """The statistics that the user named: of a VecNormalize, or as arrays."""
    if file.suffix.lower() == SUFFIX:
        return read_stated_arrays(file)
    read = read_statistics_file(file)
    if read.statistics is not None:
        return read.statistics
    error = read.error or AgentError(f"{file} cannot be read.")
    hint = f"{error.hint or ''} Statistics of another framework: {HOW}.".strip()
    raise type(error)(error.message, got=error.got, expected=error.expected, hint=hint)


def refuse_unclear(network: Path, fit: Fit) -> None:
    """Refuse an ONNX file beside statistics that fit: it may normalise by itself, or not.

    Raises:
        UndeterminedAgentError: there are some; lists them and names the flag.
    """
    beside = _fitting(Path(os.path.abspath(network)).parent, fit)
    if beside:
        _only(network, beside, ())


def found_around(agent: Path, companions: Iterable[Path], fit: Fit, doubtful: Iterable[Path] = ()) -> Chosen | None:
    """The one file of statistics that belongs to the zip ``agent``; None where there is none around it.

    Args:
        agent: the zip.
        companions: folders that hold what was written for this zip alone.
        fit: how statistics fit the agent.
        doubtful: folders whose statistics may be those of another time of the same training.

    Raises:
        UndeterminedAgentError: several could be meant, or it is doubtful that the one is the agent's.
        DamagedAgentError: they do not fit the agent, or cannot be read.
    """
    # Not resolved: a zip that is a link belongs to the folder in which the link stands.
    agent = Path(os.path.abspath(agent))
    folder = agent.parent
    own = [place for place in dict.fromkeys(companions) if place.absolute() != folder]
    candidates = [_judged(file, fit) for place in own for file in statistics_in(place)]
    if candidates:
        return _only(agent, candidates, candidates)
    rivals = _other_agents(agent)
    candidates = [_judged(file, fit) for file in statistics_in(folder)]
    candidates = [one for one in candidates if not (_is_misfit(one) and _is_of(rivals, one))]
    if candidates:
        return _only(agent, candidates, _meant(agent.stem, candidates, rivals))
    above = [] if folder.parent == folder else _fitting(folder.parent, fit)
    candidates = [*above, *(one for place in doubtful for one in _fitting(place, fit))]
    if candidates:
        related = is_part_of_a_run(folder.name)
        return _only(agent, candidates, _meant(agent.stem, above, rivals) if related else [])
    return None


def _fitting(folder: Path, fit: Fit) -> list[_Candidate]:
    """Statistics of another folder, without those that do not fit: they are another agent's."""
    return [one for one in (_judged(file, fit) for file in statistics_in(folder)) if not _is_misfit(one)]


def _judged(file: StatisticsFile, fit: Fit) -> _Candidate:
    if file.statistics is None:
        error = file.error
        return _Candidate(file, None, f"cannot be read: {error.got or error.message if error else 'no statistics'}")
    fitting = fit(file.statistics)
    if isinstance(fitting, str):
        return _Candidate(file, None, f"does not fit: {fitting}")
    return _Candidate(file, fitting, "fits" if fitting.normalisers else "normalises no observations")


def _other_agents(agent: Path) -> list[str]:
    """Stems of the other zips in the agent's folder."""
    others = (path for path in agent.parent.glob("*.zip") if path.name != agent.name)
    return [path.stem for path in others if not path.stem.startswith(_NOT_AGENTS)]


def _meant(agent: str, candidates: Sequence[_Candidate], rivals: Sequence[str]) -> list[_Candidate]:
    """Those that the names allow to be the agent's: of its own name and step, else what no other zip can claim."""
    usable = [candidate for candidate in candidates if not _is_misfit(candidate)]
    paired = [candidate for candidate in usable if are_pair(agent, candidate.stem)]
    if paired:
        return paired
    steps = steps_of(agent)
    if steps is not None:
        at_the_step = [candidate for candidate in usable if steps_of(candidate.stem) == steps]
        if at_the_step:
            return at_the_step if steps not in map(steps_of, rivals) else []
    else:
        # Checkpoints have statistics of their own, with the number of their step.
        rivals = [rival for rival in rivals if steps_of(rival) is None]
    open_ones = [candidate for candidate in usable if not contradict(agent, candidate.stem)]
    return [] if rivals else open_ones


def _is_of(agents: Iterable[str], candidate: _Candidate) -> bool:
    """Whether the name of the statistics is that of one of ``agents``."""
    return any(are_pair(agent, candidate.stem) for agent in agents)


def _is_misfit(candidate: _Candidate) -> bool:
    return candidate.fitted is None and candidate.file.error is None


def _only(agent: Path, candidates: Sequence[_Candidate], meant: Sequence[_Candidate]) -> Chosen:
    """The one of ``meant``; everything else is an error that shows all ``candidates``."""
    usable = [candidate for candidate in meant if not _is_misfit(candidate)]
    if len(usable) == 1 and usable[0].fitted is not None:
        return Chosen(usable[0].file.path, usable[0].fitted)
    if len(candidates) == 1:
        only = candidates[0]
        if only.file.error is not None:
            raise _unreadable(only.file.error)
        if only.fitted is None:
            raise _misfit(only.reason.removeprefix("does not fit: "), only.file.path)
    raise UndeterminedAgentError(
        "It is not certain which normalisation statistics belong to the agent."
        if len(candidates) > 1
        else "It is not certain that the normalisation statistics belong to the agent.",
        got="; ".join(f"{candidate.file.path} ({candidate.reason})" for candidate in candidates[:8])
        + (f"; and {len(candidates) - 8} more" if len(candidates) > 8 else ""),
        expected=f"one file of statistics that can only be that of {agent.name}",
        hint=f"Give {_FLAGS}.",
    )


def _unreadable(error: AgentError) -> AgentError:
    hint = f"{error.hint or ''} Give {_FLAGS}.".strip()
    return type(error)(error.message, got=error.got, expected=error.expected, hint=hint)


def _misfit(words: str, path: Path) -> DamagedAgentError:
    return DamagedAgentError(
        "The normalisation statistics do not fit the agent's observations.",
        got=f"{path}: {words}",
        expected="the shape of the agent's observations, or of one frame of a stack of them",
        hint=f"Give {_FLAGS}.",
    )
