"""``policypress doctor``: what this machine can measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policypress.cli import console
from policypress.cli.console import print_json
from policypress.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from policypress.measurement.diagnosis import Diagnosis, Finding


def doctor(as_json: JsonOption = False) -> None:
    """Show what this machine can measure, its compilers, runtimes and energy meters, and what to install for more.

    Examples:
      policypress doctor
      policypress doctor --json
    """
    from policypress.measurement.diagnosis import diagnose

    found = diagnose()
    if as_json:
        print_json({"schema": 1, **found.to_json()})
        return
    _show(found)


def _show(found: Diagnosis) -> None:
    from rich.text import Text

    machine = found.machine
    memory = f"{machine['memory_bytes'] / 1e9:.1f} GB"
    virtual = ", virtual machine" if machine["virtual_machine"] else ""
    console.out.print(Text(f"{machine['cpu']}, {machine['cores_logical']} cores, {memory}{virtual}", style="bold"))
    console.out.print(Text(f"{machine['system']}, {machine['python']}"))
    console.out.print(_table(found))
    advice = found.advice()
    if advice:
        console.out.print(Text("for more", style="bold"))
    for line in advice:
        console.out.print(Text(f"  {line}"))


def _table(found: Diagnosis) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    groups = {
        "what can be measured": found.quantities,
        "energy meters": found.meters,
        "compilers": found.compilers,
        "runtimes": found.runtimes,
        "graphics processors": found.graphics,
        "optional packages": found.extras,
    }
    for heading, findings in groups.items():
        table.add_row("")
        table.add_row(Text(heading, style="bold"))
        for finding in findings:
            table.add_row(*_cells(finding))
    return table


def _cells(finding: Finding) -> tuple[Text, Text, Text]:
    from rich.text import Text

    mark = Text("yes", style="green") if finding.available else Text("no", style="yellow")
    return Text(f"  {finding.name}"), mark, Text(f"{finding.purpose}: {finding.detail}")
