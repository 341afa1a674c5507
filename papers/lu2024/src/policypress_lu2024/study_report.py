"""The report of a study as plain data: what ``report.json`` holds and what the page is made from.

Every number is an :class:`~.estimates.Estimate` or the reason why there is none
(:class:`~policypress.measurement.statistics.Missing`). Returns are raw sums of rewards; times are in seconds, sizes
in bytes, energies in joules; ratios and shares are numbers, 1 for all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from policypress.report.studies.estimates import plain
from policypress.report.studies.evidence import Finding
from policypress.report.studies.provenance import Provenance
from policypress.report.studies.runs import Cells
from policypress_lu2024.cells.combination import Combination
from policypress_lu2024.findings.conclusions import Aggregate, Improvement
from policypress_lu2024.layout import OptimalRow, PruningRow, QuantizationRow, Series

SCHEMA = 1


@dataclass(frozen=True)
class StudyReport:
    """Everything that a study found, from its database alone.

    Attributes:
        study: its name.
        description: from its file.
        paper: citation of the paper that it is held against.
        provenance: where the numbers come from.
        cells: how many cells of the whole study are done.
        algorithms: in the paper's order, then others.
        environments: likewise, without versions.
        runtimes: ``onnxruntime`` before ``native``.
        reduced: how the study is smaller than the paper's, in sentences; and what else a reader must know.
        combinations: by runtime, algorithm, environment.
        table1: quantization.
        table2: pruning.
        table3: the best pruning.
        series: of the figures.
        aggregates: over combinations.
        improvements: of methods against each other.
        findings: in the order of the paper.
        contradictions: in the paper's tables, whatever they concern.
    """

    study: str
    description: str
    paper: str
    provenance: Provenance
    cells: Cells
    algorithms: tuple[str, ...]
    environments: tuple[str, ...]
    runtimes: tuple[str, ...]
    reduced: tuple[str, ...]
    combinations: tuple[Combination, ...]
    table1: tuple[QuantizationRow, ...]
    table2: tuple[PruningRow, ...]
    table3: tuple[OptimalRow, ...]
    series: tuple[Series, ...]
    aggregates: tuple[Aggregate, ...]
    improvements: tuple[Improvement, ...]
    findings: tuple[Finding, ...]
    contradictions: tuple[str, ...]

    def combination(self, name: str) -> Combination:
        """The combination called ``name`` (rows and points name theirs)."""
        return next(combination for combination in self.combinations if combination.name == name)

    def to_json(self) -> dict[str, Any]:
        """The object of ``report.json``."""
        return {"schema": SCHEMA, **plain(self)}

    def to_text(self) -> str:
        """The content of ``report.json``."""
        return json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
