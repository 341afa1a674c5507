"""How the cells of a search become tasks: an artifact is built once, however many cells play it, in any environment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from policypress.contract import EnvironmentSpec, WrapperSpec
from policypress.engine.agent_factory import PressWorker
from policypress.engine.artifact_files import BuiltArtifact, load
from policypress.engine.cell import Cell
from policypress.engine.store.store import Store
from policypress.engine.tasks import Task
from policypress.environment.wrappers import WrappedFactory
from policypress.errors import ExecutionError
from policypress.policy.identity import fingerprint


def hand_over(artifact: BuiltArtifact) -> BuiltArtifact:
    """The task of a cell whose artifact another cell has built."""
    return artifact


@dataclass
class SearchWorker:
    """``press`` with a memory of what was built; see :class:`~policypress.engine.cell_worker.CellWorker`.

    A cell whose environment has more wrappers than the agent's is played inside them.
    """

    press: PressWorker
    _known: dict[str, tuple[Store, str]] = field(default_factory=dict)

    @cached_property
    def identity(self) -> str:
        """Fingerprint of the agent's policy."""
        return fingerprint(self.press.subject.policy)

    def keep(self, cell: Cell, store: Store) -> None:
        """Remember that ``cell`` in ``store`` has the artifact of its recipe."""
        self._known[cell.recipe_hash] = (store, cell.key)

    def build(self, cell: Cell) -> Task | None:
        """Hand over what is known of the cell's recipe, or press it."""
        known = None if cell.kind == "random" else self._artifact(cell)
        return self.press.build(cell) if known is None else Task(f"{cell.key}/build", hand_over, known)

    def episodes(self, cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        """Play ``seeds`` in the cell's environment."""
        return self._press_in(cell).episodes(cell, artifact, seeds)

    def _artifact(self, cell: Cell) -> BuiltArtifact | None:
        if cell.recipe_hash not in self._known:
            return None
        store, key = self._known[cell.recipe_hash]
        record = store.artifact(key)
        return None if record is None or key == cell.key else load(store.folder, record, store.artifact_files(key))

    def _press_in(self, cell: Cell) -> PressWorker:
        subject = self.press.subject
        own, wanted = subject.environment, cell.environment
        if own is None or wanted is None or subject.factory is None:
            raise ExecutionError("A search needs an environment.", got=f"the agent {subject.source} without one")
        extra = wanted.wrappers[len(own.wrappers) :]
        if not extra:
            return self.press
        inside = replace(subject, environment=wanted, factory=WrappedFactory(subject.factory, extra))
        return replace(self.press, subject=inside)


def disturbed(environment: EnvironmentSpec, wrappers: tuple[WrapperSpec, ...]) -> EnvironmentSpec:
    """``environment`` inside more ``wrappers``: where cells are played that :class:`SearchWorker` makes tasks of."""
    return replace(environment, wrappers=(*environment.wrappers, *wrappers))
