"""What it takes to read a person's file and to cut it into windows, beside what pandas takes to read it alone."""

import warnings

import numpy as np
import pandas as pd

from forecastlab import TableDataModule
from forecastlab.errors import ReadingNote


def written(folder, series, rows, **style):
    """A file of several series of hours, one below the other, with five columns."""
    random = np.random.default_rng(0)
    times = pd.date_range("2020-01-01", periods=rows, freq="h").astype(str)
    columns = {name: random.normal(100, 10, series * rows).round(3) for name in ("y", "x")}
    frame = pd.DataFrame({"id": np.repeat([f"s{n}" for n in range(series)], rows), "ds": np.tile(times, series)})
    path = folder / f"{series}.csv"
    frame.assign(**columns, price=9.5).to_csv(path, index=False, **style)
    return str(path)


def read(path):
    """Reads and lays out a file, and cuts it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadingNote)
        module = TableDataModule(
            path, series_column="id", features=["y", "x"], known=["price"], lookback=8, test_size=4
        )
        assert module.samples("fit")


def test_reading_against_pandas(compare, tmp_path):
    table = "reading, laying out and cutting a file, against reading it with pandas"
    for name, series, rows in (("one series", 1, 1_000_000), ("30,000 series", 30_000, 40)):
        path = written(tmp_path, series, rows)
        compare(
            table, name, f"{series * rows:,} rows", lambda path=path: read(path), lambda path=path: pd.read_csv(path)
        )


DIALECTS = {
    "decimal comma": lambda frame: frame.to_csv(index=False, sep=";", decimal=","),
    "thousands, 1,234.50": lambda frame: frame.assign(y=frame["y"].map("{:,.2f}".format)).to_csv(index=False),
    "1/31/2020 01:00 PM": lambda frame: frame.assign(
        ds=pd.to_datetime(frame["ds"]).dt.strftime("%m/%d/%Y %I:%M %p")
    ).to_csv(index=False),
}


def test_dialects_against_the_plain_one(compare, tmp_path):
    path = written(tmp_path, 1, 250_000)
    frame = pd.read_csv(path)
    frame["y"] *= 50
    frame.to_csv(path, index=False)
    for name, text in DIALECTS.items():
        other = tmp_path / "other.csv"
        other.write_text(text(frame))
        compare(
            "reading a file of another dialect, against the plain one",
            name,
            "250,000 rows",
            lambda other=str(other): read(other),
            lambda: read(path),
        )
