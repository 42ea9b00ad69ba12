"""Rows in files are the rows in memory: `storage: mapped` changes where they are, and no number."""

import multiprocessing
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from forecastlab.data import mapped
from forecastlab.data.loading import Loader
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.data.windows import FLAT
from forecastlab.errors import ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
SETTINGS = {
    "series_column": "store",
    "targets": ["sales"],
    "features": ["sales", "visits"],
    "known": ["price"],
    "static": ["area"],
    "weight_column": "weight",
    "calendar": ["day_of_week"],
    "missing": "mask",
    "lookback": 7,
    "horizon": 3,
    "splits": 3,
    "fold": 2,
}


def rows(series: int = 9, seed: int = 0) -> pd.DataFrame:
    """Stores of unlike lengths and levels, with values and rows that are missing; prices go on behind the sales."""
    random = np.random.default_rng(seed)
    frames = []
    for number in range(series):
        count = int(random.integers(60, 90))
        days = pd.date_range("2020-01-01", periods=count) + pd.Timedelta(days=int(random.integers(0, 15)))
        frame = pd.DataFrame({"store": f"store {number % 4}{number}", "ds": days, "area": float(number)})
        frame["sales"] = 10.0**number + random.normal(size=count).cumsum()
        frame["visits"] = random.integers(0, 100, count)
        frame["price"] = random.choice([1.99, 2.49], count)
        frame["weight"] = random.uniform(0, 2, count)
        frame.loc[random.random(count) < 0.1, "sales"] = np.nan
        frame.loc[count - 3 :, "sales"] = np.nan
        frames.append(frame[random.random(count) < 0.97])
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of its own; small parts, so that a panel has several."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mapped, "_ROWS_AT_ONCE", 200)
    return tmp_path / "cache" / "forecastlab" / "panels"


def modules(source: object, **settings: object) -> tuple[TableDataModule, TableDataModule]:
    """A data module with the rows in memory, and one with the rows in files."""
    whole = {**SETTINGS, **settings}
    return TableDataModule(source, **whole), TableDataModule(source, storage="mapped", **whole)


def assert_same(one: TableDataModule, other: TableDataModule) -> None:
    """All that a training, a test and a forecast read of two data modules."""
    assert other.panel.names == one.panel.names
    assert other.times.equals(one.times)
    assert other.panel.labels.equals(one.panel.labels)
    assert other.schema == one.schema
    assert other.fingerprint == one.fingerprint
    assert other.trained_on == one.trained_on
    assert other.notes == one.notes
    for name in ("static", "first", "stop", "known_stop"):
        assert getattr(other.rows, name).equal(getattr(one.rows, name)), name
    for stage in ("fit", "validation", "test"):
        ours, theirs = one._windows(stage), other._windows(stage)
        assert len(ours) == len(theirs) > 0
        for mine, its in zip(ours[list(range(len(ours)))], theirs[list(range(len(ours)))], strict=True):
            assert mine.equal(its)
    ours, theirs = one.panel.at_the_end(), other.panel.at_the_end()
    for mine, its in zip(ours[list(range(len(ours)))], theirs[list(range(len(theirs)))], strict=True):
        assert mine.equal(its)
    for mine, its in zip(one.scaling.state_dict().values(), other.scaling.state_dict().values(), strict=True):
        assert mine.equal(its)
    for mine, its in zip(one.reference, other.reference, strict=True):
        assert mine.equal(its)


@pytest.mark.parametrize("missing", ["mask", "ffill", "interpolate"])
def test_rows_in_files_give_the_numbers_of_rows_in_memory(tmp_path, missing):
    frame = rows().sort_values("store", kind="stable")
    first = frame.groupby("store").cumcount() == 0
    frame.loc[first, "sales"] = 5.0  # to fill from
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    assert_same(*modules(tmp_path / "rows.parquet", missing=missing))


def test_rows_may_come_in_any_order_and_be_there_twice(tmp_path):
    frame = rows().sample(frac=1, random_state=0)
    twice = pd.concat([frame, frame[::9]])
    twice.to_parquet(tmp_path / "rows.parquet", row_group_size=50)
    assert_same(*modules(tmp_path / "rows.parquet", duplicates="mean"))


@pytest.mark.parametrize("by", [["store"], ["year", "month"]])
def test_the_folders_of_a_panel_may_be_made_of_anything(tmp_path, by):
    frame = rows().assign(year=lambda rows: rows["ds"].dt.year, month=lambda rows: rows["ds"].dt.month)
    frame.to_parquet(tmp_path / "panel", partition_cols=by)
    assert_same(*modules(str(tmp_path / "panel")))


def test_files_of_a_folder_name_their_series(tmp_path):
    (tmp_path / "panel").mkdir()
    for number, (_, frame) in enumerate(rows().groupby("store", sort=False)):
        frame.drop(columns="store").to_parquet(tmp_path / "panel" / f"file {number}.parquet")
    assert_same(*modules(tmp_path / "panel", series_column="file"))


def test_several_columns_name_a_series_together(tmp_path):
    part = rows()["store"].str[-1].astype(int)
    frame = rows().assign(part=part, store=np.where(part % 2, "north", "south"))
    frame.to_parquet(tmp_path / "panel", partition_cols=["store"])
    memory, other = modules(tmp_path / "panel", series_column=["store", "part"])
    assert_same(memory, other)
    assert "south/0" in other.panel.names


def test_one_series_and_rows_that_are_counted_may_be_in_files(tmp_path):
    frame = rows(1).assign(step=lambda rows: np.arange(len(rows)) + 5)
    frame.to_parquet(tmp_path / "rows.parquet")
    one = {"series_column": None, "time_column": "step", "time_format": "number", "calendar": []}
    assert_same(*modules(tmp_path / "rows.parquet", **one))


def test_start_end_zones_made_columns_and_markers_are_those_of_memory(tmp_path):
    frame = rows()
    frame["ds"] = frame["ds"].dt.tz_localize("Europe/Berlin")
    frame["visits"] = frame["visits"].replace(7, -1)
    frame["weather"] = np.where(frame["visits"] > 50, "sun", "rain")
    frame.loc[frame["store"] == "store 15", "sales"] = np.nan  # a series without any target
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=70)
    settings = {
        "start": "2020-01-10 00:00+01:00",
        "end": "2020-03-05 00:00+01:00",
        "na_values": [-1],
        "derive": {"both": {"sales": 1, "visits": -2}},
        "features": ["both", "weather", "sales", "visits"],
        "categories": {"weather": ["sun", "rain"]},
        "transform": {"sales": "none"},
        "frequency": "D",
    }
    memory, other = modules(tmp_path / "rows.parquet", **settings)
    assert_same(memory, other)
    assert any("store 15" in note for note in other.notes)


def test_the_tables_of_series_in_files_are_those_of_memory(tmp_path):
    rows().to_parquet(tmp_path / "rows.parquet")
    memory, other = modules(tmp_path / "rows.parquet", targets=["sales", "visits"], features=["visits"])
    for ours, theirs in zip(memory.tables, other.tables, strict=True):
        assert (theirs.name, theirs.frequency, theirs.static) == (ours.name, ours.frequency, ours.static)
        for name in ("values", "observed", "ahead"):
            pd.testing.assert_frame_equal(
                getattr(theirs, name), getattr(ours, name), check_freq=False, check_names=False
            )
    for ours, theirs in zip(memory.views(), other.views(), strict=True):
        assert theirs.rows.features.equal(ours.rows.features)
        assert theirs.rows.known.equal(ours.rows.known)
        assert theirs.rows.maps is None


def test_the_facts_of_series_in_files_are_those_of_memory_and_can_do_without_the_values(tmp_path):
    frame = rows()
    frame.to_parquet(tmp_path / "rows.parquet")
    held, laid = modules(tmp_path / "rows.parquet")
    sales, facts = frame["sales"], laid.facts()
    assert facts == held.facts()
    (target,) = (text for label, text in facts if label == "target")
    assert target.startswith(f"sales: minimum {sales.min():g}, mean {sales.mean():g}, maximum {sales.max():g}; ")
    without = laid.facts(values=False)
    assert facts[: len(without)] == without
    assert facts[len(without)][0] == "target"


def test_the_rows_are_laid_out_once_for_the_same_files_and_settings(tmp_path, cache):
    path = tmp_path / "rows.parquet"
    rows().to_parquet(path)
    modules(path)[1].tables  # noqa: B018  # reads them
    (folder,) = (inner for inner in cache.iterdir() if inner.is_dir())
    written = {inner.name: inner.stat().st_mtime_ns for inner in folder.iterdir()}
    modules(path, lookback=9, fold=1, batch_size=3)[1].tables  # noqa: B018
    assert {inner.name: inner.stat().st_mtime_ns for inner in folder.iterdir()} == written
    assert len(list(cache.glob("*/"))) == 1
    modules(path, horizon=2)[1].tables  # noqa: B018
    assert len(list(cache.glob("*/"))) == 2
    frame = rows()
    frame["sales"] += 1
    frame.to_parquet(path)
    assert_same(*modules(path))
    assert len(list(cache.glob("*/"))) == 3


def test_what_a_killed_process_has_left_is_taken_away(tmp_path, cache, monkeypatch):
    rows().to_parquet(tmp_path / "rows.parquet")
    _, other = modules(tmp_path / "rows.parquet")
    with monkeypatch.context() as patched:
        patched.setattr(mapped._Writing, "close", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patched.setattr(mapped.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            other.tables  # noqa: B018
    assert any(cache.glob(".*/laid/features"))
    assert_same(*modules(tmp_path / "rows.parquet"))
    assert not any(inner.is_dir() and inner.name.startswith(".") for inner in cache.iterdir())


def ages(folder, days):
    then = time.time() - days * 24 * 3600
    os.utime(folder, (then, then))


def panels_in(cache):
    return {path.name for path in cache.iterdir() if path.is_dir()}


def test_panels_that_nobody_has_used_for_a_month_are_taken_away_when_another_is_laid_out(tmp_path, cache):
    (tmp_path / "panel").mkdir()
    rows(2).to_parquet(tmp_path / "panel" / "a.parquet")

    def laid(horizon):
        before = panels_in(cache) if cache.exists() else set()
        data = TableDataModule(tmp_path / "panel", storage="mapped", **{**SETTINGS, "horizon": horizon})
        _ = data.panel
        return next(iter(panels_in(cache) - before), None), data

    (old, held), (young, _), (used, _) = laid(1), laid(2), laid(3)
    (cache / ".left").mkdir()  # of a process that was killed
    (cache / ".left" / "part").touch()
    for name, days in ((old, 31), (young, 29), (used, 31), (".left", 31)):
        ages(cache / name, days)
    assert laid(3)[0] is None  # it is there, and counts as used now
    assert panels_in(cache) == {old, young, used, ".left"}
    before = held.panel.rows.target.numpy().copy()
    new, _ = laid(4)
    assert panels_in(cache) == {young, used, new}
    np.testing.assert_array_equal(held.panel.rows.target.numpy(), before)  # whoever has mapped it keeps it
    assert laid(1)[0] == old  # it is laid out again


def test_a_panel_that_another_process_is_opening_is_not_taken_away(tmp_path, cache):
    (tmp_path / "panel").mkdir()
    rows(2).to_parquet(tmp_path / "panel" / "a.parquet")
    _ = TableDataModule(tmp_path / "panel", storage="mapped", **SETTINGS).panel
    (name,) = panels_in(cache)
    ages(cache / name, 31)
    with FileLock(cache / f"{name}.lock"):
        _ = TableDataModule(tmp_path / "panel", storage="mapped", **{**SETTINGS, "horizon": 1}).panel
    assert name in panels_in(cache)


def test_the_values_are_held_in_double_precision_and_not_in_memory(tmp_path):
    frame = rows()
    frame["sales"] += 1e9
    frame.to_parquet(tmp_path / "rows.parquet")
    _, other = modules(tmp_path / "rows.parquet")
    assert other.rows.target.dtype == torch.float64
    assert (other.rows.target[other.rows.observed] % 1 != 0).any()
    folder = other.rows.maps.folder
    assert all((folder / name).exists() for name in FLAT if name not in ("later", "settled"))
    own = Path("/proc/self/maps")
    assert not own.exists() or str(folder) in own.read_text()


@pytest.mark.slow
def test_rows_in_files_go_to_another_process_as_the_name_of_their_folder(tmp_path):
    rows().to_parquet(tmp_path / "rows.parquet")
    _, other = modules(tmp_path / "rows.parquet")
    windows = other._windows("fit")
    sent = pickle.dumps(other.rows)
    assert len(sent) < 8192
    assert pickle.loads(sent).features.equal(other.rows.features)
    spawned = Loader(
        windows,
        sampler=[[0, 1], [2, 3]],
        batch_size=None,
        num_workers=2,
        multiprocessing_context=multiprocessing.get_context("spawn"),
    )
    for ours, theirs in zip((windows[[0, 1]], windows[[2, 3]]), spawned, strict=True):
        assert all(mine.equal(its) for mine, its in zip(ours, theirs, strict=True))


def test_what_is_no_parquet_file_or_needs_all_rows_is_refused_with_what_to_do(tmp_path):
    frame = rows()
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "damaged").write_bytes(b"PAR1 and then nothing of the kind")
    refused = {"rows.csv": "to_parquet", "damaged": "cannot read .*damaged as Parquet", "none": "there is no file"}
    for source, message in (*((tmp_path / name, told) for name, told in refused.items()), (frame, "got DataFrame")):
        with pytest.raises(DataError, match=message):
            modules(source)[1].tables  # noqa: B018
    for settings, message in (
        ({"resample": {"rule": "W-SUN"}}, "resample"),
        ({"aggregate": {"by": []}}, "aggregate"),
        ({"frequency": "rows"}, "storage: memory"),
        ({"storage": "disk"}, "storage must be one of memory, mapped, got 'disk'"),
    ):
        with pytest.raises(ConfigError, match=message):
            TableDataModule(tmp_path / "rows.parquet", **{**SETTINGS, "storage": "mapped", **settings})


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"ds": lambda rows: rows["ds"].astype(str)}, {}, "time_format"),
        ({"visits": lambda rows: rows["visits"].astype(str)}, {}, "column visits holds text"),
        ({"visits": lambda rows: np.where(rows["visits"] > 9, "many", "few")}, {}, r"visits: \[few, many\]"),
        ({"weight": lambda rows: -rows["weight"]}, {}, "series store 00 at 2020-01-1.*has a negative weight"),
        ({"weight": 0.0}, {}, "every weight in weight is 0"),
        ({"sales": np.nan}, {}, "have no value at all"),
        ({}, {"end": "2019-01-01"}, "no row of the data lies within start and end"),
        ({}, {"frequency": "W-SUN"}, "expected times on a calendar"),
        ({"sales": lambda rows: np.where(rows.index == 77, np.inf, rows["sales"])}, {}, "rows.parquet, row 78, column"),
        ({"ds": lambda rows: rows["ds"].where(rows.index != 9, rows["ds"][8])}, {}, "--data.duplicates"),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path, change, settings, message):
    rows().assign(**change).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=message):
        modules(tmp_path / "rows.parquet", **settings)[1].tables  # noqa: B018
