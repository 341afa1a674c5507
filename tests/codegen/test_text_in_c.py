"""Text from files in C: whatever it is, the comment ends where it should and the program stays the same."""

from __future__ import annotations

import ast
import copy
import re
import subprocess
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from compiled_policies import compiler, model_of, source_of, written
from hypothesis import given
from hypothesis import strategies as st
from small_policies import mlp

from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.reading.builder import Builder
from policypress_runtime.codegen.rendering.interface import Sizes, header
from policypress_runtime.codegen.text_in_c import block_comment, identifier, is_prefix, literal, literals, prefix
from policypress_runtime.contract import (
    Checked,
    Contract,
    DictSpace,
    Discrete,
    EnvironmentSpec,
    MultiDiscrete,
    Quantity,
    SourceNames,
    TensorSpec,
)
from policypress_runtime.errors import InputError
from policypress_runtime.runtimes.native.binding import binding_source

ENDINGS = ("*/", "*\\\n/", "*\\\r\n/", "*??/\n/", "*\\ \n/", "/*", "//", "\\", "??/", "*" * 50 + "/", "\n*/\n", "\0*/")
CODE = "#include <stdlib.h>\n__attribute__((constructor)) static void run(void) { abort(); }\nint x = 1;"
HOSTILE = [
    *(f"{ending}\n{CODE}\n/*" for ending in ENDINGS),
    *("%s%n", '"', "'", "a" * 100_000, "é*/", "\u202e", "\ud800", "\x1b[2J", "#define int", "a\u2028*/"),
]
TEXT = st.text() | st.lists(st.sampled_from([*ENDINGS, "\n", "x", "?", "/", "*", "\\"]), max_size=8).map("".join)
TRIGRAPHS = {"=": "#", "/": "\\", "'": "^", "(": "[", ")": "]", "!": "|", "<": "{", ">": "}", "-": "~"}


@pytest.fixture(scope="module")
def program() -> Program:
    policy = mlp(Discrete(3))
    model = to_onnx(policy)
    embed_contract(model, contract_of(policy, "none", "", "fp32", "1.0"))
    return read_program(model.SerializeToString())


def without_comments(text: str, *, trigraphs: bool) -> str:
    """Tokens that a compiler sees, by the first three phases of translation: trigraphs, spliced lines, comments."""
    if trigraphs:
        text = re.sub(r"\?\?([=/'()!<>-])", lambda found: TRIGRAPHS[found[1]], text)
    text = re.sub(r"\\[ \t]*(\r\n|\n|\r)", "", text)
    parts = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
    kept = parts.sub(lambda found: " " if found[0].startswith("/") else found[0], text)
    return "\n".join(line for line in (" ".join(line.split()) for line in kept.splitlines()) if line)


def forced(instance: Any, **values: Any) -> Any:
    """A copy with values of any type, which not even the tests' type checker sees."""
    made = copy.copy(instance)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def says(contract: Contract, text: Any) -> Any:
    """``contract`` with ``text`` in every field that a header could show, past the checks of reading."""
    return forced(
        contract,
        algorithm=text,
        recipe=text,
        recipe_hash=text,
        parent_sha256=text,
        assumptions=(text,),
        precision=text,
        policypress_version=text,
        folded=(text, text),
        caller_supplies=(text,),
        environment=EnvironmentSpec(text, ((text, text),), (), text),
        action_space=forced(MultiDiscrete((2,)), nvec=(text, 2)),
        observation_space=DictSpace(((text, contract.observation_space),)),
        checked=forced(Checked("", "", 1, 0.5), file=text, sha256=text, pairs=text),
        source=SourceNames((text,), text, ((text, text),)),
        measured_return=forced(Quantity(1.0, 0.5, 1.5, 0.95, 9), count=text),
    )


def shown(program: Program, text: Any) -> str:
    assert program.contract is not None
    inputs = tuple(replace(part, spec=TensorSpec(text, "float32", part.spec.shape)) for part in program.inputs)
    return header(forced(program, contract=says(program.contract, text), inputs=inputs), "policy", Sizes(1, 2, 3))


def assert_same_program(program: Program, text: str) -> None:
    for trigraphs in (True, False):
        plain = without_comments(shown(program, ""), trigraphs=trigraphs)
        assert without_comments(shown(program, text), trigraphs=trigraphs) == plain


def test_every_text_field_is_tried(program: Program) -> None:
    assert program.contract is not None
    changed = says(program.contract, "text")
    same = [f.name for f in fields(Contract) if getattr(changed, f.name) == getattr(program.contract, f.name)]
    assert same == ["inputs", "outputs", "batch_independent", "state"]


@given(TEXT)
def test_no_text_changes_the_program(program: Program, text: str) -> None:
    assert_same_program(program, text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_that_ends_comments_changes_the_program(program: Program, text: str) -> None:
    assert_same_program(program, text)
    assert max(map(len, shown(program, text).splitlines())) < 150


@pytest.mark.parametrize("options", [["-std=c99", "-Wtrigraphs"], ["-std=gnu11", "-trigraphs"], ["-x", "c++"]])
def test_compilers_see_one_comment(program: Program, options: list[str], tmp_path: Path) -> None:
    files = []
    for number, text in enumerate(HOSTILE):
        files.append(tmp_path / f"{number}.h")
        files[-1].write_text(shown(program, text))
    strict = ["-fsyntax-only", "-Wall", "-Wextra", "-Wcomment", "-Werror"]
    run = subprocess.run([compiler("gcc"), *options, *strict, *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[:2000]


@given(TEXT)
def test_comments_hold_what_they_may(text: str) -> None:
    comment = block_comment([text, f"Recipe: {text}"])
    assert without_comments(comment, trigraphs=True) == without_comments(comment, trigraphs=False) == ""
    assert not set(comment[2:-2]) & set('*\\"\r\t\0`')
    assert "??" not in comment


def test_comments_say_what_is_usual() -> None:
    lines = ["Environment: ALE/Pong-v5", "", "Recipe: prune(l2, 0.5) > equalize > int8", "  Return: 3 [1, 5] at 95 %"]
    assert block_comment(lines) == "/* " + "\n   ".join(lines).replace("\n   \n", "\n\n") + " */"


@given(TEXT)
def test_strings_are_the_text(text: str) -> None:
    """Octal escapes of C are those of Python's bytes."""
    assert ast.literal_eval("b" + literal(text)) == text.encode(errors="replace")
    joined = b"".join(ast.literal_eval("b" + line.strip()) for line in literals(text).splitlines())
    assert joined == text.encode(errors="replace")
    assert re.fullmatch(r'"(?:[^"\\?]|\\[0-7]{3})*"', literal(text))


@given(TEXT)
def test_names_are_identifiers(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_]{1,40}", identifier(text))


def test_keys_of_observations_are_strings_of_the_extension(program: Program) -> None:
    contract = program.contract
    assert contract is not None
    for text in HOSTILE[:14]:
        spec = TensorSpec(f"observation.{text}", "float32", (4,))
        hostile = forced(says(contract, text), inputs=(spec,), action_space=contract.action_space)
        source = binding_source(hostile, "policy")
        plain = source.partition("static const struct pb_input pb_inputs")[2].partition("};")[0]
        assert plain.count("\n") == 2
        assert "abort();" not in source
        assert "??" not in source.partition("static const char pb_contract")[2].partition(";")[0]


def test_inputs_that_differ_in_case_have_macros_of_their_own() -> None:
    builder = Builder()
    hints = ("observation.a", "observation.A", "observation_a", "a", "*/", "é", "x" * 300, "x" * 301)
    names = [builder.storage(hint, "float32", 1, "input").name for hint in hints]
    assert len({name.upper() for name in names}) == len(hints)
    assert all(re.fullmatch(r"observation_\w{1,45}", name, re.ASCII) for name in names)


@pytest.mark.parametrize("name", ["policy", "half_cheetah", "a1"])
def test_names_that_may_stand_in_front(name: str) -> None:
    assert prefix(name) == name


@pytest.mark.parametrize("name", ["", "1a", "Policy", "a b", "a;b", "é", "a" * 101, "math", "a\n", "a/b", ".."])
def test_names_that_may_not(name: str) -> None:
    assert not is_prefix(name)
    with pytest.raises(InputError, match="prefix"):
        prefix(name)


@pytest.mark.parametrize("file", ["c", "h"])
def test_a_source_compiles_with_its_own_header_alone(file: str, tmp_path: Path) -> None:
    """Weights of another agent behind the same names: only the number tells."""
    one, two = (source_of(model_of(mlp(Discrete(3), activation))) for activation in ("relu", "tanh"))
    mixed_up = replace(one, c=two.c) if file == "c" else replace(one, h=two.h)
    for source, right in ((one, True), (mixed_up, False)):
        path = written(source, tmp_path)
        run = subprocess.run([compiler("gcc"), "-fsyntax-only", path], capture_output=True, text=True)
        assert (run.returncode == 0) == right
        assert right or "policy.h is not the header of this file: export both again" in run.stderr
