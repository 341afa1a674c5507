"""What holds for the whole tree: floors, sizes of files and functions, names, the public surface, tests."""

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
from policypress.cli.commands import NAMES
from policypress.compression.methods import METHODS
from policypress_runtime import errors

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("packages/*/src/*/"), *ROOT.glob("papers/*/src/*/")])
MODULES = sorted(path for source in SOURCES for path in source.rglob("*.py"))
TESTED = [path for path in MODULES if path.name != "__init__.py"]
FILE_LINES, BODY_LINES, PARAMETERS, FOLDER_FILES = 400, 50, 8, 20
DRAWERS = {"utils", "util", "common", "helpers", "misc", "base"}
PUBLIC = (
    "Policy",
    "Recipe",
    "Search",
    "benchmark",
    "certify",
    "compress",
    "evaluate",
    "export_agent",
    "load_agent",
    "load_artifact",
    "train",
)


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
    files = [
        path
        for folder in ("packages", "papers", "tests", "examples", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    assert [name_of(path) for path in files if path.stem in DRAWERS] == []


def dotted(path: Path) -> str:
    """The module of a source file."""
    source = next(source for source in SOURCES if path.is_relative_to(source))
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def test_folders_are_small() -> None:
    folders = sorted({path.parent for path in MODULES})
    counts = {name_of(folder): sum(entry.is_file() for entry in folder.iterdir()) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > FOLDER_FILES} == {}


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    return sum(map(len, (arguments.posonlyargs, arguments.args, arguments.kwonlyargs)))


def test_functions_take_few_parameters() -> None:
    """A command's options are its parameters."""
    many = {
        f"{name_of(path)}:{function.lineno} {function.name}": count
        for path in MODULES
        if "cli" not in path.parts and path.stem != "command"
        for function in functions(path)
        if (count := parameters(function)) > PARAMETERS
    }
    assert many == {}


def test_every_module_is_used_by_a_test_or_by_a_module_that_is() -> None:
    """What nothing reaches from the tests, nothing tests; ``make coverage`` says which lines are not run."""
    modules = {dotted(path): path for path in MODULES if path.name != "__init__.py"}
    reached: set[str] = set()
    # The command line imports its commands by name, and what other distributions offer is found by entry points.
    waiting = [f"policypress.cli.{name}" for name in NAMES] + ["policypress.__main__", *offered()]
    waiting += [f"policypress.compression.{method.where.partition(':')[0]}" for method in METHODS.values()]
    for test in (ROOT / "tests").rglob("*.py"):
        waiting += imported(test)
    while waiting:
        name = waiting.pop()
        if name in reached or name not in modules:
            continue
        reached.add(name)
        waiting += imported(modules[name])
    assert sorted(set(modules) - reached) == []


def offered() -> list[str]:
    """Modules that the distributions of this repository offer as entry points."""
    projects = (tomllib.loads(path.read_text())["project"] for path in ROOT.glob("pa*/*/pyproject.toml"))
    groups = (group for project in projects for group in project.get("entry-points", {}).values())
    return [str(target).partition(":")[0] for group in groups for target in group.values()]


def imported(path: Path) -> Iterator[str]:
    """Names that the file imports, wherever in it: modules, and what may be modules of packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_a_test_file_has_the_name_of_a_module_or_says_its_behaviour() -> None:
    """``test_fit.py``, or ``test_normaliser_fit.py`` where the name alone would say too little."""
    names = {path.stem for path in TESTED}
    unsaid = [
        name_of(test)
        for test in (ROOT / "tests").rglob("test_*.py")
        if not any(test.stem.endswith(f"_{name}") for name in names)
        and ast.get_docstring(ast.parse(test.read_text())) is None
    ]
    assert unsaid == []


def test_every_folder_of_the_source_has_a_folder_of_tests() -> None:
    """``agents/zoo`` is tested in ``tests/agents``, and what trains in ``tests/train``."""
    floors = {path.relative_to(source).parts[0] for source in SOURCES for path in source.iterdir() if path.is_dir()}
    train = {path.name for path in (ROOT / "packages/policypress-train/src/policypress_train").iterdir()}
    tested = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    papers = {path.name for path in ROOT.glob("papers/*/src/*/*")}
    assert (floors - train - papers - tested - {"__pycache__", "training", "onnx_files", "tflite"}) == set()


def test_what_tests_share_has_names_of_its_own() -> None:
    """The folders of tests lie on one import path: of two modules of one name, only the first is found."""
    shared = [path.name for path in (ROOT / "tests").rglob("*.py") if not path.name.startswith(("test_", "conftest"))]
    assert sorted(name for name in set(shared) if shared.count(name) > 1) == []


def test_the_public_surface() -> None:
    assert tuple(policypress.__all__) == PUBLIC
    assert set(dir(policypress)) == {*PUBLIC, "__version__"}
    for name in PUBLIC:
        assert callable(getattr(policypress, name)), name
    with pytest.raises(AttributeError, match="no attribute 'press'"):
        policypress.press  # noqa: B018


def loaded_after(statement: str, *packages: str) -> list[str]:
    """Which of ``packages`` a fresh process has loaded after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {packages!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


HEAVY = ("torch", "gymnasium", "pydantic", "onnx", "stable_baselines3", "pandas", "matplotlib", "scipy")


@pytest.mark.parametrize(
    "statement",
    [
        "import policypress",
        "import policypress_runtime.contract",
        "import policypress_runtime.runtimes.loading",
        "from policypress import load_artifact",
    ],
)
def test_acting_is_light(statement: str) -> None:
    assert loaded_after(statement, *HEAVY) == []


@pytest.mark.parametrize("module", ["measurement.returns", "measurement.statistics", "environments.making"])
def test_evaluating_needs_no_torch(module: str) -> None:
    assert loaded_after(f"import policypress.{module}", "torch", "stable_baselines3") == []


def test_nothing_uses_the_library_that_trained() -> None:
    everything = "from policypress import *\nfrom policypress.cli.commands import NAMES, command\n"
    everything += "for name in NAMES: name == 'train' or command(name)"
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
    assert [name_of(source) for source in SOURCES if not (source / "py.typed").is_file()] == []


def test_floors_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_the_floors_are_the_design_s() -> None:
    """The table of docs/design.md names the folders in the order of the layers contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract.get("containers") == ["policypress"])["layers"]
    design = (ROOT / "docs" / "design.md").read_text()
    rows = [line for line in design.splitlines() if line.startswith("| ") and line.split("|")[1].strip().isdigit()]
    floors = [row.split("|")[2].strip() for row in rows]
    folders = [layer.strip("()") for layer in layers[:-1] if layer != "__main__"]
    assert [floor.strip("`/") for floor in reversed(floors[1:])] == folders
    assert {name.strip("`").removesuffix(".py") for name in floors[0].split()} == set(layers[-1].split(" : "))
