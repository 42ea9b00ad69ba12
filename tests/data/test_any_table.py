"""Random series in random files read back as the same series: dialect, form of times, order and shape together."""

import bz2
import gzip
import lzma
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forecastlab.data.reading.dialect import Dialect
from forecastlab.data.reading.long import long_of
from forecastlab.data.reading.source import read_source
from forecastlab.data.recipe import Recipe
from forecastlab.data.tables import tables_of

FORMS = {
    "iso": lambda times: times.strftime("%Y-%m-%d %H:%M"),
    "day first": lambda times: times.strftime("%d/%m/%Y %H:%M"),
    "month first": lambda times: times.strftime("%m/%d/%Y %I:%M %p"),
    "points": lambda times: times.strftime("%d.%m.%Y %H:%M"),
    "epoch": lambda times: (
        (times.asi8 // 10**9).astype(str) if times.unit == "ns" else times.as_unit("s").asi8.astype(str)
    ),
}
PACKS = [bytes, gzip.compress, bz2.compress, lzma.compress]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(45, 70),
    series=st.integers(1, 3),
    frequency=st.sampled_from(["h", "D", "15min", "W-SUN", "MS"]),
    form=st.sampled_from(list(FORMS)),
    shape=st.sampled_from(["long", "wide"]),
    order=st.sampled_from(["kept", "reversed", "mixed"]),
    sep=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    pack=st.sampled_from(PACKS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    holes=st.integers(0, 3),
)
@example(1, 50, 2, "D", "points", "wide", "reversed", ";", ",", gzip.compress, "utf-16", 2)
def test_series_in_any_file_are_the_same_series(
    seed, rows, series, frequency, form, shape, order, sep, decimal, pack, encoding, holes
):
    random = np.random.default_rng(seed)
    times = pd.date_range("2021-01-13" if frequency != "MS" else "2018-01-01", periods=rows, freq=frequency)
    values = random.normal(100, 20, (series, rows)).round(2)
    for number in range(series):  # not at an end: where a series begins and ends is not what this is about
        values[number, random.choice(np.arange(1, rows - 1), holes, replace=False)] = np.nan
    read_as = times.tz_localize("UTC") if form == "epoch" else times
    wide = shape == "wide" and frequency in ("D", "W-SUN", "MS") and form != "epoch"
    names = [f"Ort {number}" for number in range(series)]
    if wide:
        labels = times.strftime("%Y-%m-%d")
        frame = pd.DataFrame(values, columns=labels)
        frame.insert(0, "id", names)
    else:
        frame = pd.DataFrame(
            {"id": np.repeat(names, rows), "ds": np.tile(FORMS[form](times), series), "y": values.ravel()}
        )
    places = {"kept": np.arange(len(frame)), "reversed": np.arange(len(frame))[::-1]}
    frame = frame.iloc[places.get(order, random.permutation(len(frame)))]
    text = frame.to_csv(None, sep=sep, decimal=decimal, index=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        path.write_bytes(pack(text.encode(encoding)))
        raw, _ = read_source(path, Dialect(), ["id"])
    recipe = Recipe(time="", series="id", targets=("y",), features=("y",), missing="mask")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tables_of(long_of(raw, recipe))
    tables = {table.name: table for table in found.tables}
    assert set(tables) == set(names)
    for name, expected in zip(names, values, strict=True):
        table = tables[name]
        assert table.times.tolist() == read_as.tolist()
        got = table.values["y"].where(table.observed["y"]).to_numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-12)
