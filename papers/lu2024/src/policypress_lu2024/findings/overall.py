"""The statements of Lu et al. (2024), each judged by the paper's own tables and by a study under each runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policypress.report.studies.evidence import Evidence, Finding
from policypress_lu2024.cells.combination import Combination
from policypress_lu2024.findings import contradictions as against
from policypress_lu2024.findings import costs, pruning, quantization
from policypress_lu2024.findings.claims import View, paper_view, study_view

_RETURNS = "3.2.1, average return"
_DISCUSSION = "4, discussion and findings"


@dataclass(frozen=True)
class Statement:
    """A statement of the paper, in our words, and what judges it."""

    name: str
    text: str
    section: str
    judge: Callable[[View], Evidence]
    against: tuple[Callable[[], str], ...] = ()


STATEMENTS = (
    Statement(
        "best-shares",
        "PTDQ is the best quantizer in 40 % of the combinations, QAT in 36 %, PTSQ in 24 %.",
        _DISCUSSION,
        quantization.best_shares,
    ),
    Statement(
        "ptdq-superior",
        "Dynamic quantization (PTDQ) statistically outperforms the other quantizers.",
        _DISCUSSION,
        quantization.ptdq_superior,
        (against.unchanged_by_ptdq,),
    ),
    Statement(
        "ptsq-worst",
        "Static quantization (PTSQ) consistently gives the lowest returns.",
        f"{_RETURNS}; {_DISCUSSION}",
        quantization.ptsq_worst,
        (against.worst_is_qat,),
    ),
    Statement(
        "qat-humanoid-standup",
        "QAT is at its best on HumanoidStandup, where it raises the return, except with PPO.",
        _RETURNS,
        quantization.qat_standup,
        (against.standup_barely,),
    ),
    Statement(
        "qat-sac",
        "SAC benefits more from QAT than from the other quantizers, except on Hopper.",
        _RETURNS,
        quantization.qat_sac,
        (against.qat_hardly_helps_sac,),
    ),
    Statement(
        "ptsq-distribution-shift",
        "PTSQ's loss comes from a shift between the calibration data and the states that are met.",
        f"{_RETURNS}; {_DISCUSSION}",
        quantization.ptsq_shift,
    ),
    Statement(
        "l2-favoured",
        "L2 pruning is favoured over L1 for most models.",
        _DISCUSSION,
        pruning.l2_favoured,
        (against.l1_as_often, against.table3_disagrees),
    ),
    Statement(
        "norms-close",
        "Where L1 does better than L2, the returns are close.",
        _DISCUSSION,
        pruning.norms_stay_close,
    ),
    Statement(
        "substantial-pruning",
        "Most agents can be pruned substantially without a notable loss of return, except SAC on HalfCheetah.",
        _DISCUSSION,
        pruning.substantial_pruning,
        (against.half_stops_at_five, against.best_rows_miss_the_rule),
    ),
    Statement(
        "l2-ten-percent",
        "Removing 10 % by L2 pruning is beneficial in general; PPO on HalfCheetah is an exception.",
        f"{_DISCUSSION}; 5, conclusion",
        pruning.ten_percent_safe,
        (against.ten_percent_exceptions,),
    ),
    Statement(
        "ppo-prunes-least",
        "PPO's agents have the lowest pruning thresholds.",
        _DISCUSSION,
        pruning.ppo_prunes_least,
        (against.ppo_without_standup,),
    ),
    Statement(
        "survival-5",
        "About 40 % of the models do not survive more than 5 % of pruning.",
        _DISCUSSION,
        pruning.few_survive_five,
        (against.best_rows_miss_the_rule,),
    ),
    Statement(
        "survival-50",
        "80 % of the models do not survive 50 % of pruning, so that the lottery ticket hypothesis does not hold.",
        _DISCUSSION,
        pruning.few_survive_fifty,
        (against.not_the_lottery,),
    ),
    Statement(
        "memory-quantization",
        "Quantization does not lower memory use; PTDQ and PTSQ raise it.",
        _DISCUSSION,
        costs.memory_of_quantized,
    ),
    Statement("memory-pruning", "Pruning saves about 1 % of memory.", _DISCUSSION, costs.memory_of_pruned),
    Statement(
        "inference-time",
        "Neither quantization nor pruning makes inference faster.",
        "3.2.2, resource utilization; 5, conclusion",
        costs.no_faster,
    ),
    Statement("energy", "Neither quantization nor pruning saves energy.", _DISCUSSION, costs.no_less_energy),
    Statement(
        "energy-follows-return",
        "Energy falls only where the return does, because episodes end early.",
        _DISCUSSION,
        costs.energy_follows_return,
    ),
    Statement("size", "Pruning and quantization make the model smaller.", _DISCUSSION, costs.smaller),
)


def findings(combinations: Sequence[Combination], runtimes: Sequence[str]) -> tuple[Finding, ...]:
    """Every statement with what the paper's tables and the study say of it."""
    paper = paper_view()
    views = [study_view(combinations, runtime) for runtime in runtimes]
    return tuple(
        Finding(
            name=statement.name,
            statement=statement.text,
            section=statement.section,
            paper=statement.judge(paper),
            contradictions=tuple(contradiction() for contradiction in statement.against),
            study=tuple(statement.judge(view) for view in views),
        )
        for statement in STATEMENTS
    )


def general_contradictions() -> tuple[str, ...]:
    """What is wrong in the paper's tables, whatever statement it bears on."""
    return tuple(contradiction() for contradiction in against.GENERAL)
