"""Every command is there, is what help lists, and is imported only when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from policypress.cli.commands import NAMES, command


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_its_name_and_says_what_it_does(name: str) -> None:
    made = command(name)
    assert made.name == name
    assert made.get_short_help_str()


def test_what_asks_for_no_command_loads_none() -> None:
    code = (
        "import sys\nsys.argv = ['policypress', '--version']\nfrom policypress.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*{'torch', 'gymnasium', 'onnxruntime'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == ""


def test_a_misspelt_command_is_told_its_neighbour() -> None:
    run = subprocess.run([sys.executable, "-m", "policypress", "stud"], capture_output=True, text=True)
    assert run.returncode == 2
    assert "study" in run.stderr
