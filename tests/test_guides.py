"""The tutorials and docs/how-to.md, followed from the first line to the last: each command, file and program in order.

Commands of every document are also looked at without running them: what they name exists.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import command_line
from policypress.cli.commands import NAMES, command

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [*sorted((ROOT / "docs" / "tutorials").glob("*.md")), ROOT / "docs" / "how-to.md", ROOT / "docs" / "index.md"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(bash|python|yaml|c)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"^--[a-z][a-z-]*")
CONTROL = "control.c"


def commands_in(shell: str) -> Iterator[list[str]]:
    """The commands of a block, lines that go on joined, comments left out."""
    for line in shell.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def follow(page: Path, folder: Path) -> int:
    """Do what ``page`` says, in ``folder``; the number of commands that were run."""
    (folder / "examples").symlink_to(ROOT / "examples")
    count = 0
    for kind, text in BLOCK.findall(page.read_text()):
        first = text.partition("\n")[0]
        if kind == "bash":
            for words in commands_in(text):
                run_command(words, folder)
                count += 1
        elif first.startswith("# ") and first.endswith((".yml", ".py")):
            (folder / first[2:]).write_text(text)
        elif kind == "python":
            done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, (text, done.stderr)
        elif kind == "c":
            (folder / CONTROL).write_text(text)
            run_command(["cc", "-std=c99", "-Wall", "-Werror", "-c", CONTROL, "-o", "control.o"], folder)
    return count


def run_command(words: list[str], folder: Path) -> None:
    """One command; of a compiler that is not here and of ``make`` only that it can be said."""
    if words[0] == "policypress":
        done = command_line.run(*words[1:], cwd=folder)
    elif words[0] == "make":
        done = subprocess.run(["make", "-n", "-C", ROOT, *words[1:]], capture_output=True, text=True, timeout=60)
    elif words[0].startswith("./") or shutil.which(words[0]):
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    else:
        assert words[0] in ("cc", "arm-none-eabi-gcc")
        return
    assert done.returncode == 0, (words, done.stdout, done.stderr)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", GUIDES, ids=[page.stem for page in GUIDES])
def test_a_reader_who_follows_a_page_gets_to_its_end(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A slow or busy machine may take longer than the page says, and the last steps need a winner.
    monkeypatch.setattr(command_line, "LONGEST_S", 900)
    assert follow(page, tmp_path) > 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(page.relative_to(ROOT)) for page in DOCUMENTS])
def test_the_options_of_a_document_exist(document: Path) -> None:
    """Of each ``policypress`` command in a block: the command, and every option that it is given."""
    made = {name: command(name) for name in NAMES}
    for text in re.findall(r"^```(?:bash|console)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
        for line in text.replace("\\\n", " ").splitlines():
            if not re.match(r"(\$ )?policypress [a-z]", line):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            found = made[words[1]]
            found = getattr(found, "commands", {}).get("".join(words[2:3]), found)
            known = {option for one in found.params for option in (*one.opts, *one.secondary_opts)}
            stated = {word for word in words if OPTION.match(word)}
            assert stated <= known | {"--help"}, line


def test_no_line_that_is_typed_in_readme_is_wider_than_a_terminal() -> None:
    blocks = re.findall(r"^```(?:bash|python|c)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [line for text in blocks for line in text.splitlines() if len(line) > 80] == []


def test_every_example_of_a_guide_is_there() -> None:
    named = {name for page in GUIDES for name in re.findall(r"examples/[\w./-]+", page.read_text())}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
