"""The header of a study file: the same as the whole file says, and one typed error for anything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from policypress.study.spec import read_spec
from policypress.study.spec_header import SpecHeader, read_header
from policypress_runtime.errors import StudyInputError

STUDIES = sorted(Path(__file__).resolve().parents[2].glob("papers/*/studies/*.yml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_it_says_what_the_whole_file_says(path: Path) -> None:
    whole = read_spec(path)
    header = read_header(path)
    assert header == SpecHeader(whole.name, whole.report, path, header.data)
    assert header.data["agents"]


def test_changes_from_the_command_line_change_it() -> None:
    path = next(path for path in STUDIES if path.stem == "lu2024-small")
    changes = ("environments=v5",)
    assert read_header(path, changes).name == read_spec(path, changes).name == "lu2024-small-v5"


@pytest.mark.parametrize(
    "content",
    [b"", b"- a\n", b"name: 3\n", b"name: ../elsewhere\n", b"name: ''\n", b"a: [\n", b"\xff\xfe", b"name: .hidden\n"],
)
def test_what_is_no_study_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.yml"
    path.write_bytes(content)
    with pytest.raises(StudyInputError, match="study file"):
        read_header(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyInputError, match="cannot be read"):
        read_header(tmp_path / "none.yml")


def test_it_needs_neither_torch_nor_pydantic() -> None:
    code = "import sys, policypress.study.spec_header\nprint(*{'torch', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
