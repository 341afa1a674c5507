"""Who listens to a search: one that knows searches, one that knows studies only, or nobody."""

from __future__ import annotations

from policypress.compression.learning import StepProgress
from policypress.engine.cell import Cell
from policypress.engine.progress import LearningProgress, Plan, Silent
from policypress.engine.tasks import Failure
from policypress.records import EvaluationProtocol
from policypress.search.narrator import Narrator, Relay, SilentNarrator, narrator_of

CELL = Cell("random", EvaluationProtocol(0))


class Recorder(Silent):
    """Knows studies only; keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def planned(self, plan: Plan) -> None:
        self.heard.append("planned")

    def started(self, cell: Cell) -> None:
        self.heard.append("started")

    def advanced(self, cell: Cell, episodes: int) -> None:
        self.heard.append(f"advanced {episodes}")

    def finished(self, cell: Cell) -> None:
        self.heard.append("finished")

    def failed(self, cell: Cell, failure: Failure) -> None:
        self.heard.append(failure.message)

    def measuring(self, done: int, total: int) -> None:
        self.heard.append(f"measuring {done}")


def test_a_listener_to_studies_hears_the_studies_beneath() -> None:
    recorder = Recorder()
    narrator = narrator_of(recorder)
    assert isinstance(narrator, Relay)
    narrator.phase("racing")
    narrator.tell("a decision")
    narrator.planned(Plan(1, 0, 0, 0, 0))
    narrator.started(CELL)
    narrator.advanced(CELL, 5)
    narrator.failed(CELL, Failure("E", "why"))
    narrator.finished(CELL)
    narrator.measuring(1, 2)
    assert recorder.heard == ["planned", "started", "advanced 5", "why", "finished", "measuring 1"]


def test_how_far_a_recipe_is_with_learning_is_passed_on_to_whom_it_interests() -> None:
    class Curious(Recorder):
        def learning(self, cell: Cell, learning: StepProgress) -> None:
            self.heard.append(f"{learning.done} of {learning.total}")

    for recorder, heard in ((Curious(), ["5 of 10"]), (Recorder(), [])):
        relay = narrator_of(recorder)
        assert isinstance(relay, LearningProgress)
        relay.learning(CELL, StepProgress("distill", 5, 10, 0.1, 0.2))
        assert recorder.heard == heard


def test_nobody_and_a_narrator_stay_what_they_are() -> None:
    assert isinstance(narrator_of(None), SilentNarrator)
    mine = SilentNarrator()
    assert narrator_of(mine) is mine
    assert isinstance(mine, Narrator)
