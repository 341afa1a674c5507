"""``policypress`` with one command line after the other, in this process: JSON in, a line of JSON for each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys

from policypress.cli.app import main

# Lines are read on one line, however wide they are.
os.environ["COLUMNS"] = "200"


def run(lines: list[list[str]]) -> None:
    for words in lines:
        sys.argv = ["policypress", *words]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
                code = 0
            except SystemExit as stopped:
                code = stopped.code if isinstance(stopped.code, int) else 0
        print(json.dumps([code, out.getvalue(), err.getvalue()]), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
