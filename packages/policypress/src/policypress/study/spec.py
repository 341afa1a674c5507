"""Study files: which agents, which recipes, how they are evaluated; read from YAML and validated whole.

A study is axes. ``docs/studies.md`` explains every field with examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from policypress.agents.overrides import Overrides
from policypress.agents.stated_overrides import stated_overrides
from policypress.compression.recipe import Recipe
from policypress.engine.tasks.costs import CostRequest
from policypress.measurement.costs.measuring import CostProtocol
from policypress.study.ranges import expand, integers
from policypress.study.report_plugins import check_report
from policypress.study.spec_header import DEFAULT_REPORT, read_data
from policypress_runtime.errors import InputError, RecipeError, StudyInputError

SPEC_VERSION = 1
RuntimeName = Literal["auto", "native", "onnxruntime"]


def _listed(value: Any) -> Any:
    """One value stands for a list of one."""
    return value if isinstance(value, list) else [value]


def _strides_text(value: Any) -> Any:
    """``[4, 2]`` and ``4`` mean what ``4,2`` and ``4`` do on the command line."""
    numbers = all(type(item) is int for item in _listed(value))
    return ",".join(map(str, _listed(value))) if numbers else value


def _joined(value: Any) -> Any:
    """``[0.25, 0.5]`` and ``0.25`` mean what ``0.25,0.5`` and ``0.25`` do on the command line; likewise names."""
    plain = all(isinstance(item, int | float | str) and not isinstance(item, bool) for item in _listed(value))
    return ",".join(map(str, _listed(value))) if plain and value is not None else value


def _whole_numbers(value: Any) -> Any:
    if any(isinstance(item, bool) or not isinstance(item, int | str) for item in _listed(value)):
        raise ValueError("whole numbers or ranges such as 0..9 are needed")
    try:
        return [number for item in _listed(value) for number in integers(item)]
    except StudyInputError as error:
        raise ValueError(str(error)) from error


def _recipes(value: Any) -> Any:
    if not all(isinstance(item, str) for item in _listed(value)):
        raise ValueError("recipes are texts")
    try:
        texts = [text for item in _listed(value) for text in expand(item)]
        return [Recipe.parse(text).text for text in texts]
    except (StudyInputError, RecipeError) as error:
        raise ValueError(str(error)) from error


Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Numbers = Annotated[list[int], BeforeValidator(_whole_numbers), Field(min_length=1)]
Recipes = Annotated[list[str], BeforeValidator(_recipes), Field(min_length=1)]


class _Part(BaseModel):
    """A part of a study file: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Evaluation(_Part):
    """How returns are measured.

    Attributes:
        episodes: of every cell, on the same seeds.
        seed: that the episodes' seeds come from.
        runtimes: each recipe is evaluated once under each of them.
        max_steps: limit where the environment has none.
    """

    episodes: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    runtimes: Annotated[list[RuntimeName], BeforeValidator(_listed), Field(min_length=1)] = ["auto"]
    max_steps: int | None = Field(default=None, ge=1)


class CostMeasurements(_Part):
    """How the costs of every artifact are measured; the numbers are those of ``CostProtocol``.

    Attributes:
        runtimes: each artifact is measured under each of them; those of the evaluation where this is left out.
        seeds: only agents that were trained with one of these seeds (and those that were given) are measured; all
            where this is left out. Costs differ little between training seeds, but they take as long for each.
        warm_samples: latencies with warm caches.
        cold_samples: latencies with evicted caches.
        windows: windows of CPU time and energy.
        processes: fresh processes whose memory is measured.
        watts_per_core: power of a busy core, for energy that no meter can measure; the default's where left out.
    """

    runtimes: Annotated[list[RuntimeName], BeforeValidator(_listed), Field(min_length=1)] | None = None
    seeds: Numbers | None = None
    warm_samples: int = Field(default=5000, ge=10)
    cold_samples: int = Field(default=40, ge=10)
    windows: int = Field(default=5, ge=1)
    processes: int = Field(default=3, ge=1)
    watts_per_core: float | None = Field(default=None, gt=0)

    def request(self, seed: int) -> CostRequest:
        """What is asked of the measurement; ``seed`` is that of the observations acted on."""
        protocol = CostProtocol(
            warm_samples=self.warm_samples,
            cold_samples=self.cold_samples,
            windows=self.windows,
            processes=self.processes,
        )
        return CostRequest(protocol, seed, self.watts_per_core)


class QatOptions(_Part):
    """Quantization-aware training; the fields are those of ``QatConfig``."""

    weight_bits: int = 8
    activation_bits: int = 8
    networks: Literal["actor", "all"] = "actor"
    observation_scaling: bool = True
    per_channel: bool = True


class Training(_Part):
    """Agents to be trained: every algorithm in every environment with every seed.

    Attributes:
        algorithms: names, as ``policypress train`` takes them.
        environments: ids.
        steps: environment steps; the published number where it is left out; or a number per algorithm.
        episodes: end each training after so many; the published number where the source counts them and no steps are
            stated.
        published: whose hyperparameters: ``zoo``, or a publication's name.
        seeds: training seeds, a list or a range.
        hyperparameters: in the place of the published ones.
        qat: quantization-aware training, or none.
        sparse: ``alpha`` and ``strength`` of the group-sparsity regulariser, or none.
        prune: share of the acting weights to prune gradually by magnitude, or none.
        update: how to compute, not what: ``native``, ``fast``, ``stock``, or ``auto``: native if possible, else fast.
        kernels: the native update's kernels that alone may learn (``amx``, ``avx512``, ``avx2``, ``plain``), so that
            agents that are compared round alike; the machine's best where it is left out.
    """

    algorithms: Names
    environments: Names
    steps: int | dict[str, int] | None = None
    episodes: int | None = Field(default=None, ge=1)
    published: str = "zoo"
    seeds: Numbers = [0]
    hyperparameters: dict[str, Any] = {}
    qat: QatOptions | None = None
    sparse: dict[str, float] | None = None
    prune: float | None = Field(default=None, gt=0, lt=1)
    update: Literal["auto", "fast", "native", "stock"] = "auto"
    kernels: str | None = None

    @field_validator("qat", mode="before")
    @classmethod
    def _plain_qat(cls, value: Any) -> Any:
        """``qat: true`` is QAT with its defaults."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    def steps_of(self, algorithm: str) -> int | None:
        """Steps of one algorithm, None for the published number."""
        return self.steps.get(algorithm) if isinstance(self.steps, dict) else self.steps


# As the options of the command line.
_OF_FILES = (
    "activation",
    "cnn_strides",
    "check",
    "output_name",
    "actions",
    "scale_actions",
    "squash",
    "action_scale",
    "action_size",
    "layers",
)


class Agents(_Part):
    """One axis of agents: trained here, or given as files, RL Zoo folders or Hub ids.

    Attributes:
        label: names the axis in reports.
        train: agents to train.
        files: paths (``*`` and ``?`` match), relative to the study file, or Hub ids.
        environment: where the files act, in place of what they name.
        normalizer: path of the files' VecNormalize statistics, relative to the study file, or ``none``.
        activation: of the files' hidden layers, where they do not tell it, e.g. ``leaky_relu(0.2)``.
        cnn_strides: of the files' convolutions, e.g. ``4,2``.
        check: path of observations and the actions that the author's own code gave, relative to the study file.
        output_name: the output of the ONNX files that is the action.
        actions: the ONNX files' output chooses among so many actions.
        scale_actions: the networks give -1 to 1, which stands for the action bounds.
        squash: ``tanh`` or ``none``: what the training's code did to the checkpoints' actions.
        action_scale: what it multiplied them by, e.g. ``0.25``.
        action_size: how many actions the checkpoints' outputs are.
        layers: of the files' weights, those that act, in their order: ``actor.0,actor.2``.
        recipes: in place of the study's.
    """

    label: str = ""
    train: Training | None = None
    files: Annotated[list[str], BeforeValidator(_listed)] = []
    environment: str | None = None
    normalizer: str | None = None
    activation: str | None = None
    cnn_strides: Annotated[str | None, BeforeValidator(_strides_text)] = None
    check: str | None = None
    output_name: str | None = None
    actions: int | None = Field(default=None, ge=1)
    scale_actions: bool = False
    squash: str | None = None
    action_scale: Annotated[str | None, BeforeValidator(_joined)] = None
    action_size: int | None = Field(default=None, ge=1)
    layers: Annotated[str | None, BeforeValidator(_joined)] = None
    recipes: Recipes | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Agents:
        if (self.train is None) == (not self.files):
            raise ValueError("an entry of agents has either train or files")
        if self.train is not None and self.environment is not None:
            raise ValueError("environment belongs to files; a training names its environments")
        if self.train is not None and self.normalizer is not None:
            raise ValueError("normalizer belongs to files; a training keeps its own statistics")
        stated = [name for name in _OF_FILES if getattr(self, name) not in (None, False)]
        if self.train is not None and stated:
            raise ValueError(f"{', '.join(stated)} belongs to files; a training knows its own network")
        try:
            self.overrides(Path())
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    def overrides(self, folder: Path) -> Overrides:
        """What is stated of the files, as on the command line; paths are relative to ``folder``."""
        return stated_overrides(
            normalizer=self.normalizer, folder=folder, **{name: getattr(self, name) for name in _OF_FILES}
        )


class StudySpec(_Part):
    """A study file.

    Attributes:
        version: of this format.
        name: of the study.
        description: a line on what it is for.
        agents: axes of agents.
        recipes: what is done to each agent; ranges such as ``prune(l1, 0.05..0.70/0.05)`` stand for their values.
        evaluation: how returns are measured.
        report: kind of report: the general one of agents and recipes (``grid``), or that of an installed plug-in.
        trained: folder of agents that were trained before; one whose training is asked for is taken from there.
        costs: how latency, memory, CPU time and energy of every artifact are measured, alone on the machine, after
            the returns; none where it is left out.
    """

    version: Literal[1] = Field(default=1, alias="policypress-study")
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    agents: Annotated[list[Agents], Field(min_length=1)]
    recipes: Recipes = ["none"]
    evaluation: Evaluation = Evaluation()
    report: str = DEFAULT_REPORT
    trained: str | None = None
    costs: CostMeasurements | None = None

    @field_validator("report")
    @classmethod
    def _installed_report(cls, value: str) -> str:
        try:
            check_report(value)
        except StudyInputError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("costs", mode="before")
    @classmethod
    def _plain_costs(cls, value: Any) -> Any:
        """``costs: true`` is the costs under the evaluation's runtimes."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value


def read_spec(path: Path, overrides: Sequence[str] = ()) -> StudySpec:
    """The study in a file, with changes as :func:`~policypress.study.overrides.overridden` takes them.

    Raises:
        StudyInputError: it is not there, not YAML, or not a study; every mistake is named with its place.
    """
    return spec_of(read_data(path, overrides), str(path))


def spec_of(data: Any, source: str = "study") -> StudySpec:
    """The study in plain data.

    Raises:
        StudyInputError: it is no study; every mistake is named with its place.
    """
    try:
        return StudySpec.model_validate(data)
    except ValidationError as error:
        mistakes = [_told(mistake) for mistake in error.errors(include_url=False)]
        raise StudyInputError(
            "The study file is not valid.",
            got=f"{source}: " + "; ".join(mistakes),
            expected="the fields that docs/studies.md describes",
        ) from error


def _told(mistake: Any) -> str:
    place = ".".join(str(part) for part in mistake["loc"]) or "file"
    given = repr(mistake.get("input"))
    shown = given if len(given) <= 60 else given[:57] + "..."
    return f"{place}: {' '.join(mistake['msg'].removeprefix('Value error, ').split())} (got {shown})"
