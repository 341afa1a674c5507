"""Contents of the output folder: an artifact per recipe, ``results.json``, ``report.html`` and figures."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from policypress.engine.store.reader import StoreReader
from policypress.measurement.certificate.words import assumed, certain
from policypress.report.figures import NAMES, figures
from policypress.report.page import render
from policypress.report.recipe_results import RecipeResult
from policypress.report.results import Results
from policypress_runtime import contract_schema
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.contract import Contract, Quantity
from policypress_runtime.errors import StoreError

RESULTS_NAME = "results.json"
REPORT_NAME = "report.html"
FIGURES = "figures"


def write_folder(results: Results, store: StoreReader) -> Path:
    """Write everything that is made for people into the store's folder; each file appears whole or not at all.

    The store's own artifacts stay as they are: those that are presented are copies, whose sidecars also hold the
    return that was measured. ``results.json`` comes last but for the page, so that what it names is there.

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
    drawn = figures(results)
    for figure in drawn:
        write_atomic(folder / FIGURES / f"{figure.name}.svg", figure.svg().encode())
        write_atomic(folder / FIGURES / f"{figure.name}.png", figure.png())
    _remove_old(folder / FIGURES, {figure.name for figure in drawn})
    write_atomic(folder / RESULTS_NAME, results.to_text().encode())
    write_atomic(folder / REPORT_NAME, render(results, drawn).encode())
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
