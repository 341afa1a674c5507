"""Which files the costs of a study need, and which agents are gone."""

from __future__ import annotations

from policypress.engine.cost_stage import left_groups
from policypress.engine.store.reader import StoreReader
from policypress.engine.tasks import prepared_agent
from policypress.study.plan import StudyPlan


def files_wanted(plan: StudyPlan, store: StoreReader, *, retry_failed: bool) -> tuple[frozenset[str], tuple[str, ...]]:
    """Cells whose files the cost cells that are left need, and agents that would have to be trained again for it.

    Costs are not worth a training: agents that were trained, whose files are gone, and that are not kept anywhere, are
    not measured.

    Returns:
        Keys of cells, and identities of agents.
    """
    wanted, gone = set[str](), list[str]()
    for identity, cells in left_groups(plan, store, retry_failed=retry_failed).items():
        agent = plan.agents[identity]
        makers = {plan.needs[cell.key] for cell in cells}
        own = {plan.needs[maker] for maker in makers}
        files = {path: digest for key in own for path, digest in (store.prepared_files(key) or {}).items()}
        if agent.training is not None and not agent.kept and not prepared_agent.intact(store.folder, files):
            gone.append(identity)
        else:
            wanted |= makers | own
    return frozenset(wanted), tuple(gone)
