"""Whose results a store holds: one agent's, or a study's that this agent belongs to."""

from __future__ import annotations

from policypress.engine.cells.builder import CellBuilder
from policypress.engine.store.reader import SPEC_KEY, AgentRow
from policypress.engine.store.store import Store
from policypress.engine.tasks.prepared_agent import AGENT_FILE
from policypress.measurement.agent_in_environment import AgentInEnvironment
from policypress.policy.identity import fingerprint
from policypress.records import EvaluationProtocol
from policypress_runtime.errors import StudyInputError


def claimed_builder(
    store: Store, subject: AgentInEnvironment, protocol: EvaluationProtocol, calibration: int, observations: str | None
) -> CellBuilder:
    """What makes the agent's cells, in the form that ``store`` has; the agent is remembered there.

    Args:
        store: of the output folder.
        subject: the agent.
        protocol: of its episodes.
        calibration: number of observations that are calibrated on.
        observations: hash of the recorded observations, if there are any.

    Raises:
        StudyInputError: the folder holds the results of another agent, or of a study without this one.
    """
    row = agent_row(subject)
    study = store.note(SPEC_KEY)
    if study is not None:
        identity = _in_study(store, subject, row.sha256)
        if identity is None or subject.environment is None or observations is not None:
            raise _refused(store, row, f"the study {study}", "The folder holds a study, and this agent is not in it.")
        return CellBuilder.of_study(identity, subject.environment, protocol)
    others = [known for known in store.agents() if known.sha256 != row.sha256]
    if others:
        found = ", ".join(dict.fromkeys(f"{other.source}" for other in others))
        raise _refused(store, row, found, "The folder holds the results of another agent.")
    store.add_agent(row)
    where = subject.environment if observations is None else None
    return CellBuilder.of_agent(row.sha256, where, protocol, calibration, observations)


def _refused(store: Store, row: AgentRow, found: str, message: str) -> StudyInputError:
    return StudyInputError(
        message,
        got=f"{store.path}: {found}",
        expected=f"results of the network in {row.source}, read as it is read now, or a new folder",
        hint="Choose another folder with -o.",
    )


def _in_study(store: Store, subject: AgentInEnvironment, policy: str) -> str | None:
    """The identity that the study of ``store`` has for the agent: of one that it was given, or that it trained."""
    if any(known.sha256 == policy for known in store.agents()):
        return policy
    for cell in store.cells(status="done", kind="agent"):
        for path, digest in (store.prepared_files(cell.key) or {}).items():
            if path.endswith(f"/{AGENT_FILE}") and digest == subject.policy.origin.sha256:
                return cell.cell.agent_sha256
    return None


def agent_row(subject: AgentInEnvironment) -> AgentRow:
    """What the store says of the agent."""
    origin = subject.policy.origin
    return AgentRow(
        sha256=fingerprint(subject.policy),
        source=subject.source,
        algorithm=origin.algorithm,
        environment=subject.environment,
        library_version=subject.library_version,
        training=origin.training,
        notices=(*subject.notices, *origin.assumptions),
    )
