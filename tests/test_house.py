"""What holds for the whole tree: floors, sizes of files and functions, names, the public surface, a test per file."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import policypress
from policypress import errors

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "policypress"
MODULES = sorted(path for path in SOURCE.rglob("*.py"))
TESTED = [path for path in MODULES if path.name != "__init__.py"]
FILE_LINES, BODY_LINES = 400, 50
DRAWERS = {"utils", "util", "common", "helpers", "misc", "base"}
# Modules without a test of the same path: plain data and protocols, and operators that are tested through importers.
COVERED_BY = {
    "__main__.py": "cli/test_app.py",
    "sidecar.py": "export/test_sidecar.py",
    "space.py": "test_contract.py",
    "cli/": "cli/test_app.py",
    "agent/bundle.py": "policy/test_from_sb3.py",
    "compression/learning.py": "engine/test_notes.py",
    "artifact/c/builder.py": "artifact/c/test_reader.py",
    "artifact/c/operators.py": "artifact/c/test_reader.py",
    "artifact/c/program.py": "artifact/c/test_reader.py",
    "artifact/c/read_dense.py": "artifact/c/test_reader.py",
    "artifact/c/read_elementwise.py": "artifact/c/test_reader.py",
    "artifact/c/read_quantization.py": "artifact/c/test_reader.py",
    "artifact/c/read_reductions.py": "artifact/c/test_reader.py",
    "artifact/c/read_shapes.py": "artifact/c/test_reader.py",
    "artifact/c/render_choice.py": "artifact/c/test_render.py",
    "artifact/c/render_constants.py": "artifact/c/test_render.py",
    "artifact/c/render_interface.py": "artifact/c/test_render.py",
    "artifact/c/render_map.py": "artifact/c/test_render.py",
    "artifact/c/render_selftest.py": "artifact/c/test_render.py",
    "artifact/c/render_steps.py": "artifact/c/test_render.py",
    "agent/defaults.py": "agent/test_sb3.py",
    "agent/overrides.py": "agent/test_sb3.py",
    "policy/activations.py": "policy/test_layers.py",
    "policy/assembly.py": "policy/test_from_module.py",
    "policy/aten_elementwise.py": "policy/test_from_module.py",
    "policy/aten_registry.py": "policy/test_from_module.py",
    "policy/aten_shapes.py": "policy/test_from_module.py",
    "policy/aten_weighted.py": "policy/test_from_module.py",
    "policy/elementwise.py": "policy/test_from_module.py",
    "policy/tensor_shapes.py": "policy/test_from_module.py",
    "policy/weighted_operations.py": "policy/test_from_module.py",
    "policy/onnx_elementwise.py": "policy/test_onnx_operators.py",
    "policy/onnx_node.py": "policy/test_onnx_operators.py",
    "policy/onnx_reference.py": "policy/test_onnx_operators.py",
    "policy/onnx_registry.py": "policy/test_onnx_operators.py",
    "policy/onnx_shapes.py": "policy/test_onnx_operators.py",
    "policy/onnx_weighted.py": "policy/test_onnx_operators.py",
    "training/native/pointers.py": "training/native/test_bindings.py",
    "training/native/collecting.py": "training/native/test_ppo.py",
    "training/native/rollouts.py": "training/native/test_ppo.py",
    "report/study/combination.py": "report/study/test_study_report.py",
    "report/study/combining.py": "report/study/test_assembling.py",
    "report/study/aggregate_charts.py": "report/study/test_figures.py",
    "report/study/cost_charts.py": "report/study/test_figures.py",
    "report/study/figure.py": "report/study/test_figures.py",
    "report/study/return_charts.py": "report/study/test_figures.py",
    "report/study/conclusions.py": "report/study/test_study_report.py",
    "report/study/contradictions.py": "report/study/test_findings.py",
    "report/study/figure_series.py": "report/study/test_assembling.py",
    "report/study/findings_costs.py": "report/study/test_findings.py",
    "report/study/findings_pruning.py": "report/study/test_findings.py",
    "report/study/findings_quantization.py": "report/study/test_findings.py",
    "report/study/claims.py": "report/study/test_findings.py",
    "report/study/layout.py": "report/study/test_study_report.py",
    "report/study/seeds.py": "report/study/test_assembling.py",
    "report/table.py": "cli/test_app.py",
    "report/li2023/charts.py": "report/li2023/test_folder.py",
    "report/li2023/memory.py": "report/li2023/test_folder.py",
    "report/li2023/page.py": "report/li2023/test_folder.py",
    "report/li2023/paper.py": "report/li2023/test_folder.py",
    "report/li2023/results.py": "report/li2023/test_folder.py",
    "report/li2023/trainings.py": "report/li2023/test_folder.py",
    "artifact/tflite_file.py": "artifact/test_tflite.py",
    "runtime/checked_runtime.py": "runtime/test_conformance.py",
    "runtime/litert_runtime.py": "artifact/test_tflite.py",
    "runtime/observation.py": "runtime/test_conformance.py",
    "runtime/protocol.py": "runtime/test_conformance.py",
    "runtime/stated_contract.py": "runtime/test_loading.py",
    "search/robustness_evaluation.py": "search/test_compress.py",
    "search/gate.py": "search/test_compress.py",
    "search/history.py": "search/test_compress.py",
    "search/robustness.py": "search/test_compress.py",
    "engine/agent_tasks.py": "study/test_whole_study.py",
    "study/status.py": "study/test_whole_study.py",
    "study/study_agents.py": "study/test_whole_study.py",
    "study/cost_files.py": "study/test_cost_run.py",
    "engine/cost_stage.py": "study/test_cost_run.py",
    "engine/cell_stage.py": "engine/test_scheduler.py",
    "engine/shared_builds.py": "engine/test_scheduler.py",
    "engine/outcome.py": "engine/test_scheduler.py",
    "engine/plan.py": "engine/test_scheduler.py",
    "engine/run_options.py": "engine/test_scheduler.py",
    "engine/checked_results.py": "engine/test_scheduler.py",
    "engine/calibration.py": "engine/test_task_factory.py",
    "engine/cell_builder.py": "study/test_plan.py",
    "engine/executors/choice.py": "cli/test_study.py",
    "search/claim.py": "search/test_compress_recipes.py",
    "search/options.py": "search/test_compress_recipes.py",
    "study/training_identity.py": "study/test_agents.py",
    "engine/executors/debug_executor.py": "engine/executors/test_executor.py",
    "study/export_agent.py": "cli/test_app.py",
    "engine/build_tasks.py": "engine/test_task_factory.py",
    "engine/events.py": "engine/test_scheduler.py",
    "engine/store/reader.py": "engine/store/test_store.py",
    "training/evaluator.py": "training/test_trainer.py",
    "training/outputs.py": "training/test_trainer.py",
    "training/env_state.py": "training/test_trainer.py",
    "training/model.py": "training/test_trainer.py",
    "training/native/layout.py": "training/native/test_compiled.py",
    "training/native/learning.py": "training/native/test_bindings.py",
    "training/training_log.py": "training/test_record.py",
    "training/versions.py": "training/test_record.py",
}
PUBLIC = ("Policy", "Recipe", "benchmark", "compress", "evaluate", "load_agent", "load_artifact")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_files_are_short() -> None:
    long = {name_of(path): count for path in MODULES if (count := path.read_text().count("\n")) > FILE_LINES}
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}:{function.lineno} {function.name}": count
        for path in MODULES
        for function in functions(path)
        if (count := body_lines(function)) > BODY_LINES
    }
    assert long == {}


def test_no_file_is_a_drawer() -> None:
    files = [path for folder in ("src", "tests", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert [name_of(path) for path in files if path.stem in DRAWERS] == []


def test_every_module_has_its_test() -> None:
    untested = []
    for path in TESTED:
        module = path.relative_to(SOURCE)
        own = ROOT / "tests" / module.with_name(f"test_{path.stem}.py")
        elsewhere = COVERED_BY.get(str(module), COVERED_BY.get(f"{module.parts[0]}/"))
        if not own.is_file() and (elsewhere is None or not (ROOT / "tests" / elsewhere).is_file()):
            untested.append(name_of(path))
    assert untested == []


def test_what_is_covered_elsewhere_is_up_to_date() -> None:
    for module in COVERED_BY:
        assert (SOURCE / module).exists(), module
        assert not (ROOT / "tests" / module.replace(".py", "")).with_name(f"test_{Path(module).name}").is_file(), module


def test_every_test_file_is_of_a_module_or_a_folder() -> None:
    modules = {path.relative_to(SOURCE) for path in TESTED}
    without = [
        name_of(test)
        for test in (ROOT / "tests").rglob("test_*.py")
        if test.parent != ROOT / "tests"
        and test.relative_to(ROOT / "tests").with_name(test.name.removeprefix("test_")) not in modules
        and not (SOURCE / test.parent.relative_to(ROOT / "tests")).is_dir()
        and not (ROOT / test.parent.relative_to(ROOT / "tests")).is_dir()
    ]
    assert without == []


def test_the_public_surface() -> None:
    assert tuple(policypress.__all__) == PUBLIC
    assert set(dir(policypress)) == {*PUBLIC, "__version__"}
    for name in PUBLIC:
        assert callable(getattr(policypress, name)), name
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        policypress.train  # noqa: B018


def loaded_after(statement: str, *packages: str) -> list[str]:
    """Which of ``packages`` a fresh process has loaded after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {packages!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


HEAVY = ("torch", "gymnasium", "pydantic", "onnx", "stable_baselines3", "pandas", "matplotlib", "scipy")


@pytest.mark.parametrize(
    "statement",
    [
        "import policypress",
        "import policypress.contract",
        "import policypress.runtime.loading",
        "from policypress import load_artifact",
    ],
)
def test_acting_is_light(statement: str) -> None:
    assert loaded_after(statement, *HEAVY) == []


@pytest.mark.parametrize("module", ["measurement.returns", "measurement.statistics", "environment.making"])
def test_evaluating_needs_no_torch(module: str) -> None:
    assert loaded_after(f"import policypress.{module}", "torch", "stable_baselines3") == []


def test_nothing_uses_the_library_that_trained() -> None:
    everything = "from policypress import *\nfrom policypress.cli.commands import NAMES, command\n"
    everything += "for name in NAMES: command(name)"
    assert loaded_after(everything, "stable_baselines3", "sb3_contrib") == []


def test_every_error_is_drawn_in_the_tree() -> None:
    tree = inspect.getdoc(errors)
    assert tree is not None
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    drawn = {line.split()[position]: line for line in tree.splitlines() for position in range(len(line.split()))}
    for kind in kinds:
        assert issubclass(kind, errors.PolicypressError)
        assert kind.__name__ in drawn, kind.__name__
        depth = len(kind.__mro__) - len(errors.PolicypressError.__mro__)
        assert drawn[kind.__name__].index(kind.__name__) == 4 * (depth + 1), kind.__name__


def test_every_error_is_an_error_of_ours_and_says_so() -> None:
    raised = {
        node.exc.func.id
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    ours = {name for name in raised if hasattr(errors, name)}
    assert ours
    assert not raised & {"Exception", "RuntimeError", "AssertionError"}


def test_user_input_meets_no_assert() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert found == []


def test_every_public_thing_of_the_source_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()


def test_floors_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_the_floors_are_the_design_s() -> None:
    """The table of docs/design.md names the folders in the order of the layers contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    design = (ROOT / "docs" / "design.md").read_text()
    rows = [line for line in design.splitlines() if line.startswith("| ") and line.split("|")[1].strip().isdigit()]
    floors = [row.split("|")[2].strip() for row in rows]
    folders = [layer.strip("()") for layer in layers[:-1] if layer != "__main__"]
    assert [floor.strip("`/") for floor in reversed(floors[1:])] == folders
    assert {name.strip("`").removesuffix(".py") for name in floors[0].split()} == set(layers[-1].split(" : "))
