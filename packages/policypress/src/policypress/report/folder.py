"""Contents of the output folder: artifacts, ``results.json``, ``report.html``, figures, a model card."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from policypress.engine.store.reader import StoreReader
from policypress.measurement.certificate.words import assumed, certain
from policypress.report.card import write_card
from policypress.report.figures import NAMES, figures
from policypress.report.page import render
from policypress.report.recipe_results import RecipeResult
from policypress.report.results import Results
from policypress_runtime import contract_schema
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.contract import Contract, Quantity
from policypress_runtime.errors import StoreError

RESULTS_NAME = "results.json"
DEPLOYED = ("policy.onnx", "policy.onnx.json", "policy.c", "policy.h")
"""What is deployed: the winner under names that do not change, as ONNX and, where it has such a form, as C."""
REPORT_NAME = "report.html"
FIGURES = "figures"


@dataclass(frozen=True)
class Deployment:
    """What a winner is deployed as, beside its ONNX file.

    Args:
        files: ``policy.c`` and ``policy.h``; empty where there is no C form.
    """

    files: Mapping[str, bytes]

    def lines(self, folder: str = "") -> tuple[str, ...]:
        """What one types to deploy it; ``folder`` is where the files are, if not where one is.

        >>> Deployment({}).lines("out")[0]
        'policy = policypress_runtime.load_artifact("out/policy.onnx")'
        """
        place = f"{folder}/" if folder else ""
        python = f"policy = policypress_runtime.load_artifact({json.dumps(f'{place}policy.onnx', ensure_ascii=False)})"
        onnx, source = shlex.quote(f"{place}policy.onnx"), shlex.quote(f"{place}policy.c")
        here = (f"cc -O2 -c {source}",) if self.files else ()
        return (python, *here, f"policypress export {onnx} -o policy_m4.c --target cortex-m4")


def write_folder(results: Results, store: StoreReader, deployment: Deployment | None = None) -> Path:
    """Write everything that is made for people into the store's folder; each file appears whole or not at all.

    The store's own artifacts stay as they are: those that are presented are copies, whose sidecars also hold the
    return that was measured. ``results.json`` comes last but for the page, so that what it names is there.

    Args:
        results: to present.
        store: that has them.
        deployment: of the winner, if there is one.

    Returns:
        Path of ``report.html``.

    Raises:
        OutputError: a file cannot be written.
        StoreError: an artifact is not what the store says.
    """
    folder = store.folder
    for row in results.rows:
        if row.artifact is not None and row.file is not None:
            _present(row, row.file, results, store)
    _deploy(results, store.folder, deployment)
    drawn = figures(results)
    for figure in drawn:
        write_atomic(folder / FIGURES / f"{figure.name}.svg", figure.svg().encode())
        write_atomic(folder / FIGURES / f"{figure.name}.png", figure.png())
    _remove_old(folder / FIGURES, {figure.name for figure in drawn})
    write_atomic(folder / RESULTS_NAME, results.to_text().encode())
    typed = () if deployment is None else deployment.lines()
    write_card(results, folder, typed)
    write_atomic(folder / REPORT_NAME, render(results, drawn, typed).encode())
    return folder / REPORT_NAME


def _present(row: RecipeResult, name: str, results: Results, store: StoreReader) -> None:
    """Copy the row's artifact to ``name``, with a sidecar that knows the return and what is certain of it."""
    if row.artifact is None:
        return
    source = store.folder / row.artifact.path
    try:
        model = source.read_bytes()
        sidecar = contract_schema.fields(json.loads(source.with_name(source.name + ".json").read_bytes()), source.name)
    except (OSError, ValueError) as error:
        raise StoreError(
            "An artifact of the store cannot be read.",
            got=str(error),
            expected=f"the files of {row.name}",
            hint="Run the same command again: what is missing is built again.",
        ) from error
    digest = hashlib.sha256(model).hexdigest()
    if digest != row.artifact.sha256:
        raise StoreError(
            "An artifact of the store has changed since it was proven.",
            got=f"{source} with sha256 {digest}",
            expected=row.artifact.sha256,
            hint="Run the same command again: it is built again.",
        )
    if sidecar.get("sha256", digest) != digest:
        raise StoreError(
            "An artifact of the store and its sidecar do not belong together.",
            got=f"sha256 {digest}, and {sidecar['sha256']} in the sidecar",
            expected=f"the files of {row.name}",
            hint="Run the same command again: they are built again.",
        )
    contract = Contract.from_json(sidecar)
    mean, won = results.deployed_mean(row), None if results.search is None else results.search.won
    if isinstance(mean, Quantity) and row.status == "done":
        contract = contract.with_return(mean)
    if won is not None and won.recipe == row.name:
        said = certain(won.certificate), assumed(won.certificate)
        contract = replace(contract, assumptions=tuple(dict.fromkeys((*contract.assumptions, *said))))
    text = json.dumps({**contract.to_json(), "sha256": digest}, indent=2, sort_keys=True) + "\n"
    _write_if_new(store.folder / (name + ".json"), text.encode())
    _write_if_new(store.folder / name, model)


def _deploy(results: Results, folder: Path, deployment: Deployment | None) -> None:
    """Write the winner under the names of :data:`DEPLOYED`; what an earlier run left there goes where there is none."""
    winner = results.winner
    files: dict[str, bytes] = {}
    if deployment is not None and winner is not None and winner.file is not None:
        copies = {DEPLOYED[0]: folder / winner.file, DEPLOYED[1]: folder / f"{winner.file}.json"}
        files = {**{name: path.read_bytes() for name, path in copies.items()}, **deployment.files}
    for name in DEPLOYED:
        if name in files:
            _write_if_new(folder / name, files[name])
        else:
            (folder / name).unlink(missing_ok=True)


def _write_if_new(path: Path, content: bytes) -> None:
    """Write the file unless it holds ``content`` already, so that its time says when it changed."""
    try:
        known = path.read_bytes() == content
    except OSError:
        known = False
    if not known:
        write_atomic(path, content)


def _remove_old(folder: Path, names: set[str]) -> None:
    """Remove figures of an earlier run that this one has no data for."""
    for name in set(NAMES) - names:
        for ending in (".svg", ".png"):
            (folder / (name + ending)).unlink(missing_ok=True)
