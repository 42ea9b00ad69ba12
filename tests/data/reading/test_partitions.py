"""Folders whose names hold values of the rows below them."""

import pandas as pd
import pyarrow.parquet
import pytest

from forecastlab.data.reading.source import read_source
from forecastlab.data.recipe import Recipe
from forecastlab.data.tables import read_tables
from forecastlab.errors import DataError


def days(rows, **columns):
    return pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=rows), "y": [float(row) for row in range(rows)], **columns}
    )


def test_a_folder_that_pyarrow_has_partitioned_is_read_as_pyarrow_reads_it(tmp_path):
    frame = pd.concat([days(4, store=name, year=year) for name in ("a b", "ä/c", "007") for year in (2023, 2024)])
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    pyarrow.parquet.write_to_dataset(table, tmp_path, partition_cols=["store", "year"])
    (tmp_path / "_SUCCESS").write_text("")
    found, notes = read_source(tmp_path, texts=["store"])
    expected = pyarrow.parquet.read_table(tmp_path).to_pandas()
    assert found.columns.tolist() == ["store", "year", "ds", "y"]
    assert notes == ["6 files are one panel: store, year from the names of their folders"]
    assert found["year"].dtype == "int64"
    keys = ["store", "year", "ds"]
    pairs = [
        part.astype({"store": str, "year": int}).sort_values(keys, ignore_index=True)[[*keys, "y"]]
        for part in (found, expected)
    ]
    pd.testing.assert_frame_equal(*pairs, check_dtype=False)


def test_a_series_that_is_spread_over_folders_is_one_series(tmp_path):
    whole = days(6)
    for month, rows in (("01", slice(0, 3)), ("02", slice(3, 6))):
        for store in ("north", "south"):
            path = tmp_path / f"month={month}" / f"store={store}" / "part-0.parquet"
            path.parent.mkdir(parents=True)
            whole[rows].to_parquet(path)
    frame, _ = read_source(tmp_path, texts=["store"])
    recipe = Recipe(time="ds", targets=("y",), features=("y",), series="store")
    tables = read_tables(frame, recipe)
    assert {table.name: table.values["y"].tolist() for table in tables} == {"north": [*range(6)], "south": [*range(6)]}


def test_names_of_series_that_look_like_numbers_stay_texts_and_other_numbers_do_not(tmp_path):
    for store in ("007", "12"):
        path = tmp_path / f"store={store}" / "price=1.50" / "rows.parquet"
        path.parent.mkdir(parents=True)
        days(1).to_parquet(path)
    frame, _ = read_source(tmp_path, texts=["store"])
    assert frame["store"].tolist() == ["007", "12"]
    assert frame["price"].tolist() == [1.5, 1.5]
    assert read_source(tmp_path)[0]["store"].tolist() == [7, 12]


def test_text_files_are_partitioned_too_and_a_default_partition_has_no_value(tmp_path):
    for folder in ("region=x", "region=__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rows.csv").write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    frame, _ = read_source(tmp_path)
    assert frame["region"].isna().tolist() == [True, True, False, False]
    assert frame["region"].tolist()[2:] == ["x", "x"]


def test_folders_that_tell_different_columns_are_refused(tmp_path):
    for folder in ("store=1", "store=2/year=2024"):
        (tmp_path / folder).mkdir(parents=True)
        days(2).to_parquet(tmp_path / folder / "rows.parquet")
    with pytest.raises(DataError, match="the names of their folders tell different columns: store, and store, year"):
        read_source(tmp_path)


def test_a_column_of_the_files_that_a_folder_tells_too_is_refused(tmp_path):
    (tmp_path / "store=1").mkdir()
    days(2, store=2).to_parquet(tmp_path / "store=1" / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet has a column store, and its folder store=\.\.\. another one"):
        read_source(tmp_path)
