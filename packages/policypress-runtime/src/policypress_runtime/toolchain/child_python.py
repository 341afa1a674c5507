"""How a Python of our own is started: nothing that lies in the current folder is imported there.

``python -c`` and ``python -m`` put the current folder first on the import path, so that a ``json.py`` beside a
downloaded agent would run. Children are started with ``-P``, which leaves it out, and are given the import path of
this process. Where that has the current folder as ``""`` (an interactive session, a notebook), it comes last there:
what lies in it can add modules and hide none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

# The package's own folder: whoever started this process found it, perhaps through the current folder.
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Nothing but what is built in is imported before the path is set.
_SET_PATH = "import sys; sys.path[:] = sys.argv[2:2 + int(sys.argv[1])]; del sys.argv[1:2 + int(sys.argv[1])]\n"
INHERITED: dict[str, str] = {}
"""Variables that this process sets for those that it starts, and not for itself."""
_PATH_VARIABLE, _SAFE_VARIABLE = "PYTHONPATH", "PYTHONSAFEPATH"


def python_command(program: str, arguments: Sequence[str] = ()) -> list[str]:
    """The command that runs ``program`` (source text) in a Python with the import path of this one.

    ``sys.argv[1:]`` are ``arguments`` there. To be run with :func:`python_environment`.
    """
    path = import_path()
    return [sys.executable, "-P", "-c", _SET_PATH + program, str(len(path)), *path, *arguments]


def bare_python_command(program: str) -> list[str]:
    """The command that runs ``program`` in a Python with the import path that it starts with."""
    return [sys.executable, "-P", "-c", program]


def python_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of such a process: this one's, with ``changes``, and without the ways to the current folder.

    An empty or relative entry of ``PYTHONPATH`` is one: ``PYTHONPATH=$PYTHONPATH:/folder`` makes it by accident.
    """
    environment = {**os.environ, **INHERITED, **(changes or {}), _SAFE_VARIABLE: "1"}
    named = environment.pop(_PATH_VARIABLE, "").split(os.pathsep)
    kept = [entry for entry in named if os.path.isabs(entry)]
    if kept:
        environment[_PATH_VARIABLE] = os.pathsep.join(kept)
    return environment


def import_path() -> list[str]:
    """The import path of this process for another: absolute, the current folder last where it stands as ``""``."""
    current = _current_folder()
    named = [entry if os.path.isabs(entry) else os.path.join(current, entry) for entry in sys.path if entry]
    last = [current] if "" in sys.path else []
    return [entry for entry in dict.fromkeys([*named, *last, _ROOT]) if os.path.isabs(entry)]


def leave_current_folder() -> None:
    """Take the current folder from the front of the import path, where ``python -m`` has put it.

    A module that the user names is still found there: :func:`policypress.environments.trust.import_named`.
    """
    if sys.flags.safe_path or not sys.path:
        return
    if sys.path[0] in ("", _current_folder()):
        del sys.path[0]


def _current_folder() -> str:
    """Its path; empty where it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""
