"""The file of sample paths that `forecastlab predict --paths` writes."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from forecastlab.errors import ConfigError
from forecastlab.runs.files import whole

Format = Literal["csv", "parquet"]


class Drawn(Protocol):
    """Paths of one network, or of several."""

    method: str
    """How they are drawn, in words."""

    def tables(self) -> Iterator[pd.DataFrame]:
        """The paths, some rows at a time."""


def write_paths(paths: Drawn, folder: Path, kind: Format) -> Path:
    """Writes paths as a whole file, some series at a time, so that they need not all be in memory.

    Args:
        paths: what is drawn.
        folder: where `paths.csv` or `paths.parquet` goes.
        kind: the format.

    Raises:
        ConfigError: if it cannot be written, or if pyarrow, which Parquet needs, is not installed.
        DataError: if a forecast is not a number.
    """
    path = folder / f"paths.{kind}"
    try:
        with whole(path) as file:
            (_write_csv if kind == "csv" else _write_parquet)(paths, file)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def _write_csv(paths: Drawn, file: Any) -> None:
    for number, table in enumerate(paths.tables()):
        file.write(table.to_csv(index=False, header=number == 0).encode())


def _write_parquet(paths: Drawn, file: Any) -> None:
    try:
        pyarrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    except ImportError:
        raise ConfigError(
            "--paths_format parquet needs pyarrow: pip install 'forecastlab[parquet]', or write csv"
        ) from None
    writer = None
    for table in paths.tables():
        rows = pyarrow.Table.from_pandas(table, preserve_index=False)
        if writer is None:
            described = rows.schema.with_metadata({**(rows.schema.metadata or {}), "paths": paths.method})
            writer = parquet.ParquetWriter(file, described)
        writer.write_table(rows.cast(writer.schema))
    if writer is not None:
        writer.close()
