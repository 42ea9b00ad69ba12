"""Shim."""

from dataclasses import dataclass

import pandas as pd

from forecastlab.data.files import read_frame


@dataclass(frozen=True)
class Dialect:
    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    header: bool | None = None
    comment: str | None = None
    na_values: tuple = ()
    sheet_name: str | int = 0


def read_source(source, dialect=Dialect(), texts=()):
    if not isinstance(source, pd.DataFrame):
        return read_frame(source, texts[0] if texts else None), []
    return source, []
