"""Random tables in random dialects read back as the same tables."""

import bz2
import csv
import gzip
import io
import lzma
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import zstandard
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from forecastlab.data.reading.source import read_source


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table", content)
    return buffer.getvalue()


PACKS = [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress, zipped]
WORDS = st.sampled_from(["Zürich", "New York", "a;b", "x, y", 'the "best"', "tab\there", "007", "NA", "1,5", "Ort"])
AMOUNTS = st.one_of(st.none(), st.floats(-1e7, 1e7).map(lambda value: round(value, 2)))
DIALECTS = st.fixed_dictionaries(
    {
        "sep": st.sampled_from([",", ";", "\t", "|", " "]),
        "decimal": st.sampled_from([".", ","]),
        "thousands": st.sampled_from(["", ".", ",", " ", "\u00a0", "'"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
        "pack": st.sampled_from(PACKS),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        "header": st.booleans(),
        "end": st.sampled_from(["\n", "\r\n"]),
        "comments": st.integers(0, 3),
    }
)


def amount(value, decimal, thousands):
    """A number as the dialect writes it."""
    if value is None:
        return ""
    whole, _, fraction = f"{value:,.2f}".partition(".")
    return f"{whole.replace(',', thousands)}{decimal}{fraction}"


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(WORDS, AMOUNTS, st.integers(-(10**6), 10**6)), min_size=2, max_size=12),
    dialect=DIALECTS,
)
@example(
    rows=[("Ort", 1234.5, 1000), ("Ort", 0.25, 7)],
    dialect={
        **{"sep": ";", "decimal": ",", "thousands": ".", "encoding": "cp1252", "pack": gzip.compress},
        **{"quoting": csv.QUOTE_MINIMAL, "header": True, "end": "\r\n", "comments": 1},
    },
)
def test_a_table_in_any_dialect_is_the_same_table(rows, dialect):
    sep, decimal, thousands = dialect["sep"], dialect["decimal"], dialect["thousands"]
    assume(decimal != thousands)
    assume(any(value is not None for _, value, _ in rows))
    assume(sep != " " or dialect["quoting"] == csv.QUOTE_ALL)  # an empty cell needs quotes among blanks
    times = pd.date_range("2024-01-29", periods=len(rows)).strftime("%Y-%m-%d")
    text = io.StringIO()
    text.write(f"# Größen, so; wie|sie\tsind{dialect['end']}" * dialect["comments"])
    writer = csv.writer(text, delimiter=sep, quoting=dialect["quoting"], lineterminator=dialect["end"])
    if dialect["header"]:
        writer.writerow(["ds", "Ort", "Größe in m, kg", "count"])
    writer.writerows(
        [time, word, amount(value, decimal, thousands), count]
        for time, (word, value, count) in zip(times, rows, strict=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        path.write_bytes(dialect["pack"](text.getvalue().encode(dialect["encoding"])))
        frame, _ = read_source(path, texts=["Ort", "1"])
    names = ["ds", "Ort", "Größe in m, kg", "count"] if dialect["header"] else ["0", "1", "2", "3"]
    assert frame.columns.tolist() == names
    assert frame[names[0]].tolist() == times.tolist()
    assert frame[names[1]].tolist() == [word for word, _, _ in rows]
    np.testing.assert_allclose(
        frame[names[2]].to_numpy(np.float64), [np.nan if value is None else value for _, value, _ in rows], rtol=1e-15
    )
    assert frame[names[3]].tolist() == [count for _, _, count in rows]
