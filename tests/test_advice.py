"""What messages tell the user to type exists: options, commands, extras, pages, functions and their arguments."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from policypress.cli.commands import NAMES, command
from policypress.cli.where_stated import PLACES, where_stated
from policypress.compression.recipe import Recipe
from policypress.environments.wrappers.allowed import allowed
from policypress.study.spec import Agents, Evaluation, StudySpec

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("packages/*/src/*/"), *ROOT.glob("papers/*/src/*/")])
READERS = ("inspect", "export", "compress", "evaluate", "bench")
# Floor → the commands in which a user meets its messages.
CONCERNED = {
    "agents": READERS,
    "environments": READERS,
    "policy": READERS,
    "policypress_train": ("train",),
    "export": ("export", "compress"),
    "toolchain": ("evaluate", "bench", "compress"),
    "search": ("compress",),
}
# Options of other programs, and of commands of the project's own that are no part of ``policypress``.
OF_OTHER_PROGRAMS = {"--name", "--constants", "--stack", "--target", "--format", "--query-gpu"}
TEMPLATES = ROOT / "packages/policypress/src/policypress/export/packages"
FOREIGN = re.compile(r"ray start --head|xcode-select --install")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@functools.cache
def messages() -> tuple[tuple[Path, int, str], ...]:
    """Every text of the source that is no documentation: file, line, text; ``{...}`` stands for what is put in."""
    return tuple(one for source in SOURCES for path in sorted(source.rglob("*.py")) for one in texts_in(path))


def texts_in(path: Path) -> Iterator[tuple[Path, int, str]]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if id(node) in parts | documentation:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield path, node.lineno, ours(path, node.value)
        elif isinstance(node, ast.JoinedStr):
            texts = [part.value if isinstance(part, ast.Constant) else "{...}" for part in node.values]
            yield path, node.lineno, ours(path, "".join(map(str, texts)))


def ours(path: Path, text: str) -> str:
    """``text`` without commands of other programs: what a package's files tell is to be typed to their own tools."""
    if TEMPLATES in path.parents:
        return "\n".join(line for line in text.splitlines() if "policypress " in line)
    return FOREIGN.sub("", text)


@functools.cache
def options() -> dict[str, frozenset[str]]:
    """Command, also ``study run``, → its long options."""
    made = {name: command(name) for name in NAMES}
    below = {
        f"{name} {part}": one for name, group in made.items() for part, one in getattr(group, "commands", {}).items()
    }
    single = {name: one for name, one in made.items() if not hasattr(one, "commands")}
    return {
        name: frozenset(text for part in one.params for text in (*part.opts, *part.secondary_opts) if text[:2] == "--")
        for name, one in {**single, **below}.items()
    }


def floor_of(path: Path) -> str:
    """``agents`` of a file of policypress; ``policypress_train`` of every file of that distribution."""
    source = next(source for source in SOURCES if path.is_relative_to(source))
    return path.relative_to(source).parts[0] if source.name != "policypress_train" else source.name


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def named(pattern: str) -> dict[str, list[str]]:
    """What the first group of ``pattern`` finds in the messages → where."""
    found: dict[str, list[str]] = {}
    for path, line, text in messages():
        for match in re.finditer(pattern, text):
            found.setdefault(match.group(1), []).append(place(path, line))
    return found


def test_every_option_exists() -> None:
    known = frozenset[str]().union(*options().values()) | {"--version", "--help"}
    strange = {name: where for name, where in named(f"({OPTION.pattern})").items() if name not in known}
    assert set(strange) - OF_OTHER_PROGRAMS == set(), strange


@pytest.mark.parametrize("floor", CONCERNED)
def test_every_command_that_tells_of_an_option_has_it(floor: str) -> None:
    lacking = {
        (place(path, line), name, option)
        for path, line, text in messages()
        if floor_of(path) == floor
        for option in OPTION.findall(text)
        for name in (("export",) if TEMPLATES in path.parents else CONCERNED[floor])
        if option not in options()[name] and name in with_option(option)
    }
    assert lacking == set()


def with_option(option: str) -> tuple[str, ...]:
    """The commands for which a text on a shared floor may name ``option``; some say something of one command alone."""
    own = {
        "--observations": ("export", "compress"),
        "--max-steps": ("evaluate", "compress"),
        "--runtime": ("evaluate", "bench", "compress"),
    }
    return own.get(option, (*READERS, "train"))


def test_a_study_and_a_training_say_where_they_state_what_they_have_no_option_for() -> None:
    """Both read agents and make environments, whose messages name options of the commands that read agents."""
    lower = {
        option
        for path, _, text in messages()
        if floor_of(path) in ("agents", "environments")
        for option in OPTION.findall(text)
    }
    study, train = options()["study run"], options()["train"]
    # Recorded observations are for exports and for compressions without an environment.
    assert lower - study - set(PLACES["study"]) - {"--observations"} == set()
    # A training starts from Stable-Baselines3's own zips, which have no outputs to choose from.
    of_networks = {"--output-name", "--actions", "--scale-actions", "--observations"}
    of_networks |= {"--squash", "--action-scale", "--action-size", "--layers"}
    assert lower - train - set(PLACES["train"]) - of_networks == set()
    assert all(
        not set(places) & options()[name]
        for name, places in (("train", PLACES["train"]), ("study run", PLACES["study"]))
    )


def test_the_fields_of_a_study_file_that_are_named_exist() -> None:
    told = " ".join(PLACES["study"].values())
    beside_files = re.findall(r"`(\w+):[^`]*` beside `files:`", told)
    assert set(beside_files) > {"environment", "normalizer", "scale_actions"}
    assert set(beside_files) <= set(Agents.model_fields)
    assert set(re.findall(r"`(\w+):` of `evaluation:`", told)) <= set(Evaluation.model_fields)
    assert {"agents", "evaluation", "costs"} <= set(StudySpec.model_fields)


def test_where_an_option_is_stated_follows_the_message() -> None:
    assert where_stated(["study", "run", "x.yml"], "Give --normalizer FILE.").endswith(
        "is `normalizer:` beside `files:`"
    )
    assert where_stated(["export", "a.zip"], "Give --normalizer FILE.") == ""
    assert where_stated(["train", "ppo"], "use --env-kwargs") == ""
    assert where_stated([], "Give --env ID.") == ""


def test_every_command_exists() -> None:
    known = {*options(), *NAMES}
    found = named(r"policypress ((?:study )?[a-z]+)(?=[ `{]|$)")
    # Other than commands in backticks, sentences speak of policypress.
    typed = {name: where for name, where in found.items() if name.split()[0] in NAMES or name in typed_names()}
    assert {"export", "study run"} <= set(typed)
    assert set(typed) <= known


def typed_names() -> set[str]:
    return set(named(r"`policypress ([a-z]+(?: [a-z]+)?)"))


def test_every_extra_page_and_target_exists() -> None:
    project = tomllib.loads((ROOT / "packages" / "policypress" / "pyproject.toml").read_text())["project"]
    extras = named(r"policypress\[(\w+)\]")
    assert set(extras) <= set(project["optional-dependencies"])
    assert {"hub", "parquet"} <= set(extras)
    pages = named(r"\b(docs/[\w/-]+\.md)")
    assert {page for page in pages if not (ROOT / page).is_file()} == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(named(r"`make ([a-z-]+)")) <= targets


def test_extras_are_quoted_for_every_shell() -> None:
    """zsh takes brackets for a pattern."""
    bare = [place(path, line) for path, line, text in messages() if re.search(r"install policypress\[", text)]
    assert bare == []


PYTHON = {
    "Policy.from_module": "policypress",
    "load_agent": "policypress",
    "load_artifact": "policypress",
}


def test_every_function_and_its_arguments_exist() -> None:
    mentioned = named(r"\b(Policy\.\w+|load_\w+)\(")
    assert "Policy.from_module" in mentioned
    assert set(mentioned) <= set(PYTHON)
    for name in mentioned:
        found = importlib.import_module(PYTHON[name])
        for part in name.split("."):
            found = getattr(found, part)
        arguments = inspect.signature(found).parameters
        for path, line, text in messages():
            for inside in re.findall(re.escape(name) + r"\(([^()]*)\)", text):
                keywords = re.findall(r"(\w+)=", inside)
                assert set(keywords) <= set(arguments), place(path, line)


def test_wrappers_and_recipes_that_are_named_exist() -> None:
    typed = set(named(r"--wrapper (\w+)")) - {"none", "NAME", "package", "gymnasium"}
    assert typed <= set(allowed())
    recipes = named(r"(equalize > \w+(?:\(\w+\)|\b(?!\()))")
    assert {"equalize > int8", "equalize > ptsq"} <= set(recipes)
    for text in recipes:
        assert Recipe.parse(text).text == text
