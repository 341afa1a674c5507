from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from typing import ClassVar

import numpy as np
import onnx
import pytest

from checkpoint_policies import sac
from policypress.compression.pruning.prune import Prune
from policypress.compression.quantization.ptdq import Ptdq
from policypress.compression.step import Context, Stage, Step


@dataclass(frozen=True)
class Example(Step):
    name: ClassVar[str] = "example"
    stage: ClassVar[Stage] = Stage.CONDITIONING
    version: ClassVar[int] = 3
    depth: int = field(metadata={"positional": True})
    share: float = 0.5
    kind: str = "plain"


CONTEXT = Context(np.zeros((2, 8), np.float32))


def test_stages_are_in_the_order_of_a_recipe() -> None:
    assert sorted(Stage) == [Stage.STRUCTURE, Stage.CONDITIONING, Stage.QUANTIZATION, Stage.LOWERING]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Example(4), "example(4)"),
        (Example(4, 0.5, "plain"), "example(4)"),
        (Example(-1, 1 / 3), "example(-1, share=0.3333333333333333)"),
        (Example(0, kind="fancy"), "example(0, kind=fancy)"),
        (Prune("l2", float(np.float64(0.1))), "prune(l2, 0.1)"),
        (Prune("l2", np.float64(0.1)), "prune(l2, 0.1)"),
        (Ptdq(), "ptdq"),
    ],
)
def test_text(step: Step, text: str) -> None:
    assert step.text() == text


def test_arguments_come_in_the_order_of_the_text() -> None:
    assert list(Example(4).arguments().items()) == [("depth", 4), ("share", 0.5), ("kind", "plain")]


def test_a_step_is_a_value() -> None:
    assert Example(4) == Example(4)
    assert Example(4) != Example(5)
    assert len({Example(4), Example(4), Example(5)}) == 2
    with pytest.raises(FrozenInstanceError):
        Example(4).depth = 5  # type: ignore[misc]


def test_a_step_does_what_its_stage_says_and_no_more() -> None:
    with pytest.raises(NotImplementedError, match="changes a policy"):
        Prune("l2", 0.3).lower(onnx.ModelProto(), sac(), CONTEXT)
    with pytest.raises(NotImplementedError, match="lowers a model"):
        Ptdq().apply(sac(), CONTEXT)
