"""Fuzz targets of the writers: bytes become foreign text, which is written, and read as its own language has it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import onnx
from benchmarks.fuzz.oracles import (
    WrongTextError,
    c_tokens,
    check_shown,
    csv_cells,
    require,
    shape_of_c,
    tex_tokens,
)

from policypress.agents.zoo.config import read_zoo_config
from policypress.agents.zoo.yaml_data import read_yaml
from policypress.cli.characters import make_output_safe
from policypress.cli.console import echo, marked, print_json
from policypress.cli.screen import Screen
from policypress.compression.recipe import Recipe
from policypress.export.c_source import c_name
from policypress.report.csv_text import csv_of
from policypress.report.studies.latex import escaped, tabular
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import render
from policypress_runtime.codegen.targets import target_of
from policypress_runtime.codegen.text_in_c import block_comment, identifier, is_prefix, literal, literals
from policypress_runtime.contract import Contract, EnvironmentSpec, TensorSpec, WrapperSpec, box
from policypress_runtime.errors import ArtifactError, OutputError, PolicypressError
from policypress_runtime.foreign_text import is_plain, plain, plain_lines
from policypress_runtime.reading_limits import shown as shown_short
from policypress_runtime.runtimes.native.binding import binding_source
from policypress_runtime.sidecar import sidecar_of
from policypress_train.outputs import zoo_files
from policypress_train.spec import TrainingSpec

SEEDS = Path(__file__).parent / "seeds"
_ALLOWED = re.compile(r"[A-Za-z0-9 .,:;()\[\]{}<>_+=|&@#%'!/~^$?\n-]*")
_COMPILED = 400
"""One of so many inputs is shown to the compiler, which takes a thousand times as long as a reader of ours."""


def foreign(content: bytes) -> str:
    """Text as the names of files give it: bytes that are none become lone surrogates."""
    return content.decode("utf-8", errors="surrogateescape")


def _chosen(content: bytes) -> bool:
    return zlib.crc32(content) % _COMPILED == 0 or content in _seeds()


@cache
def _seeds() -> frozenset[bytes]:
    return frozenset(path.read_bytes() for path in SEEDS.glob("c_*/*"))


def c_text(content: bytes) -> None:
    """Comments, strings and names of C."""
    text = foreign(content)
    name = identifier(text)
    comment = block_comment([*text.split("\n"), text])
    source = (
        f"{comment}\nstatic const char a[] = {literal(text)};\n"
        f"static const char b[] =\n{literals(text) or literal('')};\nint x_{name}; /* end */\n"
    )
    told = text.encode(errors="replace")
    expected: list[str | bytes] = []
    for which in "ab":
        expected += ["static", "const", "char", which, "[", "]", "=", told, ";"]
    expected += ["int", f"x_{name}", ";"]
    require(re.fullmatch(r"x_\w{1,40}", f"x_{name}", re.ASCII) is not None, "no name of C", name)
    tokens, comments = c_tokens(source)
    require(tokens == expected, "other C than was meant", source)
    require(len(comments) == 2, "another number of comments", source)
    require(_ALLOWED.fullmatch(comments[0].strip()) is not None, "characters that may not be in a comment", comments[0])
    if _chosen(content):
        seen = _compiler("-E", "-P", source)
        require(c_tokens(seen)[0] == expected, "the compiler reads other C", seen)


def _compiler(*how: str) -> str:
    *options, source = how
    command = ["cc", "-std=c99", "-Wall", "-Werror=comment", "-Werror=trigraphs", *options, "-x", "c", "-"]
    done = subprocess.run(command, input=source.encode("utf-8", "surrogateescape"), capture_output=True, check=False)
    require(done.returncode == 0, "the compiler refuses it", done.stderr.decode(errors="replace"))
    return done.stdout.decode("utf-8", "surrogateescape")


def _told_everywhere(contract: Contract, text: str) -> Contract:
    """``contract`` with ``text`` wherever a text may stand; its schema would not let all of them through."""
    wrapper = WrapperSpec(text, ((text, text),))
    return replace(
        contract,
        algorithm=text,
        folded=(text, text),
        recipe=text,
        recipe_hash=text,
        environment=EnvironmentSpec(text, ((text, text),), (wrapper,), text),
        caller_supplies=(text,),
        assumptions=(text,),
        parent_sha256=text,
        policypress_version=text,
        inputs=tuple(replace(one, name=f"observation.{text}") for one in contract.inputs),
    )


@cache
def _model() -> onnx.ModelProto:
    return onnx.load_from_string((SEEDS / "c_reader" / "mlp.onnx").read_bytes())


@cache
def _contract() -> Contract:
    """That of the model: four numbers in, two out."""
    contract = Contract.from_text((SEEDS / "contract" / "dqn.json").read_text())
    action = TensorSpec("action", "float32", (2,))
    return replace(contract, action_space=box((2,), "float32", -1.0, 1.0), outputs=(action,), folded=())


def _c_files(text: str) -> dict[str, str]:
    name = f"observation.{text.encode(errors='replace').decode()}"
    model = onnx.ModelProto()
    model.CopyFrom(_model())
    model.graph.input[0].name = name
    for node in model.graph.node:
        node.input[:] = [name if one == "observation" else one for one in node.input]
    program = replace(read_program(model.SerializeToString()), contract=_told_everywhere(_contract(), text))
    source = render(program, target_of("freestanding"))
    return {"policy.c": source.c, "policy.h": source.h, "binding.c": binding_source(program.contract, "module")}


@cache
def _shapes_of_c() -> dict[str, tuple[list[str], int]]:
    return {name: shape_of_c(_same_names(text)) for name, text in _c_files("a").items()}


def _same_names(source: str) -> str:
    """What depends on the input's name by right: that name, and the number of the pair."""
    return re.sub(r"0x[0-9a-f]{15}\b|\bobservation(_\w{1,40})?\b", "SAME", source)


def c_sources(content: bytes) -> None:
    """Source and header of a policy, and the source of its extension module."""
    text = foreign(content)
    files = _c_files(text)
    for name, source in files.items():
        got, expected = shape_of_c(_same_names(source)), _shapes_of_c()[name]
        if got != expected:
            pairs = zip(got[0], expected[0], strict=False)
            where = next((at for at, (one, other) in enumerate(pairs) if one != other), -1)
            raise WrongTextError(f"{name} has other tokens, from {got[0][where - 3 : where + 9]}, {got[1]} comments")
    if _chosen(content):
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            for name, source in files.items():
                (Path(folder) / name).write_text(source, encoding="utf-8")
            _compiler("-fsyntax-only", "-ffreestanding", "-I", folder, files["policy.c"])


def latex(content: bytes) -> None:
    """Cells and notes of a table."""
    text = foreign(content)
    cell = escaped(text)
    own = re.sub(r"\\text(backslash|asciitilde|asciicircum|less|greater|bar)\{\}|\$\\pm\$|\$-\$|\\[&%$#_{}]", "", cell)
    require(not tex_tokens(own), "what LaTeX acts on", cell)
    inside = tex_tokens(cell)
    for row in ([cell, "1"], ["", cell], [f" {cell}", ""]):
        table = tabular(("a", "b"), [row, row], [text, "a note"])
        like = tabular(("a", "b"), [["x", "1"]] * 2, ["a note"])
        seen = Counter(tex_tokens(table))
        seen.subtract(inside * 2)
        seen.subtract(tex_tokens(like))
        added = {token for token, count in seen.items() if count} - {"%", "{", "}"}
        require(not added, "another table", *added, table)
        require(all(line[:1] in ("%", "\\") or "&" in line for line in table.splitlines()), "a line of its own", table)


def csv_text(content: bytes) -> None:
    """Tables for spreadsheets."""
    text = foreign(content)
    parts = [text, text[1:], text[::-1], *text.split("\n", 2)]
    rows: list[list[object]] = [[part, -1.5, None, part] for part in parts]
    written = csv_of((text, "b", "c", "d"), rows)
    written.encode()
    cells = csv_cells(written)
    require(len(cells) == len(rows) + 1, "another number of rows", written)
    for row, part in zip(cells[1:], parts, strict=True):
        require(len(row) == 4, "another number of cells", row)
        require(row[1:3] == ["-1.5", ""], "other numbers", row)
        for cell in (row[0], row[3]):
            require(re.sub("'", "", cell) == re.sub("'", "", plain(part)), "another text", cell, part)


def terminal(content: bytes) -> None:
    """What the commands print, with and without colours, and to terminals that know ASCII alone."""
    text = foreign(content)
    for written in (plain(text), *plain_lines(text).split("\n")):
        require(is_plain(written.replace("\t", " ")), "not plain", written)
    require(len(shown_short(text)) <= 120 and len(shown_short([text] * 100, 50)) <= 50, "a message that is too long")
    for colours in (None, "standard"):
        file = io.StringIO()
        screen = Screen(file=file, force_terminal=colours is not None, color_system=colours, soft_wrap=True, width=100)
        screen.print(text)
        screen.print(marked("note:", "yellow", text))
        screen.print(marked(text, "red", text))
        shown = file.getvalue()
        if colours is not None:
            shown = re.sub(r"\x1b\[(33|31|0)m", "", shown)
        check_shown(shown.replace("\t", " "))
        require("".join(plain_lines(text).split()) in "".join(shown.split()), "text that is lost", shown, text)
    lines, objects = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(lines):
        echo(text)
    with contextlib.redirect_stdout(objects):
        print_json({text: [text, float("nan")]})
    check_shown(lines.getvalue().replace("\t", " "))
    check_shown(objects.getvalue())
    require(json.loads(objects.getvalue()) == {text: [text, None]}, "other JSON", objects.getvalue())
    make_output_safe()
    check_shown(lines.getvalue().encode("ascii", "policypress").decode("ascii").replace("\t", " "))


def sidecars(content: bytes) -> None:
    """Contracts as JSON beside an artifact, and what a training says of itself as YAML."""
    text = foreign(content)
    written = _told_everywhere(_contract(), text)
    data = json.loads(sidecar_of(written, "0" * 64))
    require(data == {**json.loads(json.dumps(written.to_json())), "sha256": "0" * 64}, "another contract", data)
    with contextlib.suppress(ArtifactError):
        require(Contract.from_json(data).to_json() == written.to_json(), "another contract", data)
    spec = TrainingSpec(
        "ppo",
        EnvironmentSpec(text, ((text, [text, 1]),), (WrapperSpec(text, ((text, text),)),)),
        steps=10,
        hyperparameters={"learning_rate": text, text: text, "policy_kwargs": {"net_arch": [2], "a": text}},
    )
    files = {name: read_yaml(data, name) for name, data in zoo_files(spec).items()}
    read = read_zoo_config(files["config.yml"], files["args.yml"], {})
    # An empty name is none.
    require(read.environment_id == (text or None), "another environment", read)
    require(read.training.get("learning_rate") == text, "another hyperparameter", read)
    require(read.policy_kwargs == {"net_arch": [2], "a": text}, "other arguments", read)


def paths(content: bytes) -> None:
    """Names of files that are made of text."""
    text = foreign(content)
    name = c_name(Path("x") / text.replace("/", "_").replace("\0", "_") / "a.c")
    require(is_prefix(name), "no prefix of C", name)
    name = c_name(Path(text.replace("/", "_").replace("\0", "_") or "a"))
    require(is_prefix(name), "no prefix of C", name)
    with contextlib.suppress(PolicypressError):
        slug = Recipe.parse(text).slug
        require(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,199}", slug) is not None, "no name of a file", slug)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        target = Path(folder) / text.replace("/", "_").replace("\0", "_")
        if target.parent == Path(folder) and target.name not in ("", ".", ".."):
            with contextlib.suppress(OutputError):
                write_atomic(target, b"1")
            left = {path.name for path in Path(folder).iterdir()}
            require(left <= {target.name}, "files of another name", *left)


WRITERS: dict[str, Callable[[bytes], None]] = {
    "c_text": c_text,
    "c_sources": c_sources,
    "latex": latex,
    "csv": csv_text,
    "terminal": terminal,
    "sidecars": sidecars,
    "paths": paths,
}
