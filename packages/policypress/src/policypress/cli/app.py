"""The command line: ``policypress COMMAND``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from policypress import __version__
from policypress.cli.characters import make_output_safe
from policypress.cli.commands import Commands
from policypress_runtime.errors import PolicypressError

DEBUG_VARIABLE = "POLICYPRESS_DEBUG"
INTERRUPTED = 130

app = typer.Typer(
    name="policypress",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"policypress {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Makes trained reinforcement-learning policies small, fast and frugal without losing return, and proves it."""


def main() -> None:
    """Run the command line; every error is one message and an exit code, never a traceback.

    Exit codes: 0 done, 1 a failure of the work, 2 unusable input, 130 interrupted.
    """
    make_output_safe()
    try:
        app()
    except PolicypressError as error:
        _fail(_advised(str(error)), error.exit_code)
    except KeyboardInterrupt:
        from policypress.cli.console import INTERRUPTED_MESSAGE

        _fail(INTERRUPTED_MESSAGE, INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output left; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        # Not before it is needed: gymnasium, which raised it then, takes half a second to import.
        from policypress.environments.wrappers.faults import failure_within

        blamed = failure_within(error)
        if blamed is not None:
            _fail(_advised(str(blamed)), blamed.exit_code)
        hint = f"run again with {DEBUG_VARIABLE}=1 and report what it shows"
        _fail(f"internal error: {type(error).__name__}: {error}\n  what to do: {hint}", 1)


def _advised(message: str) -> str:
    from policypress.cli.where_stated import where_stated

    return message + where_stated(sys.argv[1:], message)


def _fail(message: str, code: int) -> None:
    # Not before it is needed: completion, and all that goes well and says little, do without rich.
    from policypress.cli.console import err, marked

    err.print(marked("error:", "red", message))
    sys.exit(code)
