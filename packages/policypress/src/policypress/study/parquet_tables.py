"""A study's store as Parquet files: its tables, and one with a row of plain values for each cell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, fields
from itertools import islice
from pathlib import Path
from typing import Any

from policypress.engine.store.reader import StoreReader
from policypress.study.flat_results import FlatResult, flat_results
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.errors import MissingDependencyError

RESULTS = "results"
_ROWS = 50_000
_SAMPLES_JSON, _SAMPLES = "samples_json", "samples"


def write_tables(store: StoreReader, folder: Path) -> tuple[Path, ...]:
    """Write ``TABLE.parquet`` for each table of the store, with its columns, and ``results.parquet``.

    Types are those of the columns; raw samples of measurements are lists of numbers in a column ``samples``. The
    columns of ``results.parquet`` are the fields of :class:`~policypress.study.flat_results.FlatResult`.

    Args:
        store: open to read; a driver may be at work.
        folder: that the files go to. Each is whole, or not there.

    Returns:
        The files.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        OutputError: a file cannot be written.
    """
    arrow = _arrow()
    written = []
    for table, columns in store.tables().items():
        types = {
            _SAMPLES if name == _SAMPLES_JSON else name: _type(arrow, name, kind) for name, kind in columns.items()
        }
        rows = (_values(tuple(columns), row) for row in store.rows_of(table))
        written.append(_write(arrow, folder / f"{table}.parquet", types, rows))
    types = {field.name: _annotated(arrow, str(field.type)) for field in fields(FlatResult)}
    flat = (astuple(result) for result in flat_results(store))
    written.append(_write(arrow, folder / f"{RESULTS}.parquet", types, flat))
    return tuple(written)


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            "Writing Parquet files needs pyarrow.", expected="the extra", hint='pip install "policypress[parquet]"'
        ) from error
    return pyarrow


def _type(arrow: Any, name: str, kind: str) -> Any:
    """Arrow's type of a column of SQLite's ``kind``."""
    if name == _SAMPLES_JSON:
        return arrow.list_(arrow.float64())
    return {"INTEGER": arrow.int64(), "REAL": arrow.float64()}.get(kind, arrow.string())


def _annotated(arrow: Any, annotation: str) -> Any:
    """Arrow's type of a field that is annotated so."""
    return {"int": arrow.int64(), "float": arrow.float64()}.get(annotation.partition(" ")[0], arrow.string())


def _values(names: tuple[str, ...], row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(json.loads(value) if name == _SAMPLES_JSON else value for name, value in zip(names, row, strict=True))


def _write(arrow: Any, path: Path, types: Mapping[str, Any], rows: Iterable[tuple[Any, ...]]) -> Path:
    """Write ``rows`` in groups, so that a large store needs no memory for all of them as Python's objects."""
    schema = arrow.schema(list(types.items()))
    content = arrow.BufferOutputStream()
    with arrow.parquet.ParquetWriter(content, schema, compression="zstd") as writer:
        for group in _groups(rows):
            columns = [
                arrow.array(values, kind) for values, kind in zip(zip(*group, strict=True), types.values(), strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
    write_atomic(path, content.getvalue().to_pybytes())
    return path


def _groups(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(rows)
    while group := list(islice(iterator, _ROWS)):
        yield group
