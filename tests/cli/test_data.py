import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import TimeSeriesSplit

from forecastlab.data.sample import sample_ozone
from tests.cli.commands import CONFIG
from tests.series import panel

SAMPLE = "--data.source=sample"


@pytest.mark.real
def test_the_real_file_is_described_as_it_is(cli, real_ozone):
    answer = cli("data", f"--data.path={real_ozone}", "--data.lookback=full", "--data.validation=test")
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[1].startswith("rows        1500 (1998-01-01 .. 2002-02-21")
    assert "columns     72: 72 features, target T_PK" in lines
    assert "gaps        4, 13 steps missing" in lines
    assert any(line.startswith("missing     2537 values in 296 rows") for line in lines)
    assert any(line.endswith("T_PK: none") for line in lines)
    assert "  1           1..250, 250..500, 250..500" in answer.out
    assert "  5           1..1250, 1250..1500, 1250..1500" in answer.out


@pytest.mark.real
def test_all_rows_of_the_real_file_are_described_when_asked_for(cli, real_ozone):
    answer = cli("data", f"--data.path={real_ozone}", "--data.rows=null")
    assert "rows        2534 (1998-01-01 .. 2004-12-31" in answer.out


def test_the_sample_is_described_as_it_is(cli):
    answer = cli("data", SAMPLE, "--data.lookback=full")
    assert (answer.status, answer.err) == (0, "")
    raw = sample_ozone(1500).drop(columns="class")
    missing = raw.isna()
    assert f"missing     {missing.to_numpy().sum()} values in {missing.any(axis=1).sum()} rows" in answer.out
    days = np.diff(raw.index) // np.timedelta64(1, "D")
    assert f"gaps        {(days > 1).sum()}, {(days - 1).sum()} steps missing" in answer.out
    for at in np.flatnonzero(days > 1):
        assert f"between {raw.index[at]:%Y-%m-%d} and {raw.index[at + 1]:%Y-%m-%d}" in answer.out
    for number, (train, test) in enumerate(TimeSeriesSplit(5).split(raw), start=1):
        line = next(line for line in answer.out.splitlines() if line.startswith(f"  {number} "))
        assert f"..{len(train)}, {test[0]}..{test[-1] + 1}  (test from {raw.index[test[0]]:%Y-%m-%d})" in line


def test_missing_days_become_rows_when_asked_for(cli):
    answer = cli("data", SAMPLE, "--data.reindex=true")
    assert "rows        1513 " in answer.out
    days = np.diff(sample_ozone(1500).index) // np.timedelta64(1, "D")
    gaps = f"gaps        {(days > 1).sum()}, 13 steps without any value"
    assert gaps in answer.out.splitlines()
    assert "T_PK: 13" in answer.out


def test_a_file_of_one_series_is_described_as_it_is(cli, tmp_path):
    hours = pd.date_range("2024-01-01", periods=60, freq="h")
    frame = pd.DataFrame({"time": hours, "load": np.arange(60.0), "wind": 1.0, "price": 2.0, "height": 7.0})
    frame.loc[[10, 11, 30], "wind"] = np.nan
    frame.loc[30, "load"] = np.nan
    frame.loc[55:, ["load", "wind"]] = np.nan
    frame.drop([20, 40, 41]).to_csv(tmp_path / "own.csv", index=False)
    given = {"targets": "[rest]", "features": "[rest,wind]", "time_column": "time", "missing": "ffill"}
    given |= {"static": "[height]", "derive": "{rest: {load: 1, wind: -2}}", "calendar": "[hour]", "holidays": "DE"}
    given |= {"cutoffs": "['2024-01-02 06:00', '2024-01-03']", "lookback": 2, "val_size": 5}
    options = [f"--data.{name}={value}" for name, value in given.items()]
    answer = cli("data", "--data=TableDataModule", f"--data.path={tmp_path / 'own.csv'}", *options)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "time        time, written as ISO",
        "series      series",
        "rows        55 (2024-01-01 .. 2024-01-03 06:00, frequency h)",
        "gaps        4, 6 steps without any value",
        "              between 2024-01-01 09:00 and 2024-01-01 12:00",
        "              between 2024-01-01 19:00 and 2024-01-01 21:00",
        "              between 2024-01-02 05:00 and 2024-01-02 07:00",
        "              between 2024-01-02 15:00 and 2024-01-02 18:00",
        "line        rest  ▁▁▁▁▂ ▂▃▃▃▄▄▄▄▅ ▅▅▅▆▆▆▆▆▆  ▇▇▇▇▇▇███████",
        "columns     3: 2 features, target rest",
        "derived     rest = load - 2 wind",
        "calendar    hour_sin, hour_cos, holiday",
        "static      height: constant within each series",
        "target      rest: minimum -2, mean 25.2041, maximum 52; 6 of 55 missing",  # (0 + ... + 54 - 152) / 49 - 2
        "feature     wind: minimum 1, mean 1, maximum 1; 6 of 55 missing",
        "missing     12 values in 6 rows, filled forward; rest: 6",
        "              wind: 6",
        "season      none found; season_length: 1",
        "folds       target rows, half-open: fit, validation (tail), test",
        "  1           2..25, 25..30, 30..48  (test from 2024-01-02 06:00)",
        "  2           2..43, 43..48, 48..55  (test from 2024-01-03)",
    ]


def test_what_is_known_in_advance_is_described_with_the_steps_that_the_file_holds(cli, tmp_path):
    days = pd.date_range("2024-01-01", periods=40)
    frame = pd.DataFrame({"ds": days, "y": np.arange(40.0), "price": 2.0})
    frame.loc[37:, "y"] = np.nan
    frame.to_csv(tmp_path / "own.csv", index=False)
    path = f"--data.path={tmp_path / 'own.csv'}"
    answer = cli("data", "--data=TableDataModule", path, "--data.known=[price]", "--data.lookback=2")
    assert "known       price: the data hold values for 3 steps behind the last target" in answer.out.splitlines()
    assert "rows        37 (2024-01-01 .. 2024-02-06, frequency D)" in answer.out.splitlines()


def test_a_file_of_several_series_is_described_as_it_is(cli, tmp_path):
    raw = panel(a=(0, 40), b=(6, 33)).reset_index(names="ds").drop(index=[20, 50])
    raw.to_csv(tmp_path / "own.csv", index=False)
    given = {"series_column": "id", "features": "[x]", "missing": "ffill", "lookback": 2, "splits": 3}
    options = [f"--data.{name}={value}" for name, value in given.items()]
    answer = cli("data", "--data=TableDataModule", f"--data.path={tmp_path / 'own.csv'}", *options)
    assert answer.out.splitlines() == [
        "time        ds, written as ISO",
        "panel       2 series by id, 27 to 40 rows, median 33; 67 rows on 40 steps of the calendar (2020-01-01 .. "
        "2020-02-09, frequency D)",
        "series      a",
        "rows        40 (2020-01-01 .. 2020-02-09, frequency D)",
        "gaps        1, 1 step without any value",
        "              between 2020-01-20 and 2020-01-22",
        "line        y  ▁▁▁▁▁▂▂▂▂▂▃▃▃▃▃▄▄▄▄▄ ▅▅▅▅▆▆▆▆▆▇▇▇▇▇█████",
        "series      b",
        "rows        27 (2020-01-07 .. 2020-02-02, frequency D)",
        "gaps        1, 1 step without any value",
        "              between 2020-01-16 and 2020-01-18",
        "line        y  ▁▁▁▁▂▂▂▃▃▃ ▄▄▅▅▅▅▆▆▆▇▇▇████",
        "columns     2: 1 feature, target y",
        "target      y: minimum 100, mean 519.338, maximum 1132; 2 of 67 missing",
        "feature     x: minimum 0, mean 419.338, maximum 1032; 2 of 67 missing",
        "missing     4 values in 2 rows, filled forward; y: 2",
        "              x: 2",
        "season      none found; season_length: 1",
        "folds       target rows, half-open: fit, validation (tail), test",
        "  1           2..8, 8..10, 10..20  (test from 2020-01-11)",
        "              scores 2 of 2 series, 19 rows",
        "  2           2..16, 16..20, 20..30  (test from 2020-01-21)",
        "              scores 2 of 2 series, 19 rows",
        "  3           2..24, 24..30, 30..40  (test from 2020-01-31)",
        "              scores 2 of 2 series, 13 rows",
    ]


def test_of_many_series_gaps_and_columns_the_first_are_named(cli, tmp_path):
    raw = panel(**{f"s{number}": (0, 60) for number in range(13)}).reset_index(names="ds")
    raw = raw[raw["x"] % 4 != 3]
    raw = raw.assign(**{f"c{number}": raw["x"].where(raw["x"] % 8 != 1 + number % 2) for number in range(14)})
    raw.to_csv(tmp_path / "own.csv", index=False)
    features = "[" + ",".join(f"c{number}" for number in range(14)) + "]"
    given = {"series_column": "id", "features": features, "missing": "ffill", "lookback": 2, "splits": 3}
    options = [f"--data.{name}={value}" for name, value in given.items()]
    out = cli("data", "--data=TableDataModule", f"--data.path={tmp_path / 'own.csv'}", *options).out.splitlines()
    assert "series      s9" in out
    assert "series      s10" not in out
    assert "series      ... and 3 more" in out
    assert "feature     ... and 5 more" in out
    assert out.count("              ... and 4 more") == 10
    assert sum(line.endswith(" and 4 more") and "c0: " in line for line in out) == 1


def test_a_fold_that_cannot_be_used_says_why_and_the_others_are_shown(cli):
    answer = cli("data", "--data=TableDataModule", "--data.dataset=airline", "--data.targets=[passengers]")
    assert answer.status == 0
    *_, folds, first, _, _, _, last = answer.out.splitlines()
    assert folds == "folds       target rows, half-open: fit, validation (tail), test"
    assert first.startswith("  1           none: fold 1 trains on rows 0 .. 23, but the first row that can be a target")
    assert last == "  5           30..102, 102..120, 120..144  (test from 1959-01-01)"


def test_the_data_part_of_a_config_is_read_and_options_win(cli, tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG.replace("lookback: 4", "rows: 60, lookback: 4"))
    assert "rows        60 " in cli("data", "--config", tmp_path / "tiny.yaml").out
    assert "rows        70 " in cli("data", "-c", tmp_path / "tiny.yaml", "--data.rows=70").out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data.source=sampel"], "data.source: expected 'uci', 'sample', got sampel"),
        ([SAMPLE, "--data.fold_size=3"], "OzoneDataModule has no argument 'fold_size'"),
        ([SAMPLE, "--data.splits=1"], "splits must be"),
        ([SAMPLE, "--data.rows=3"], "rows"),
        (["--data=Ozone"], "unknown ForecastDataModule 'Ozone'; did you mean OzoneDataModule?"),
        (["--date.rows=3"], "unknown option --date.rows"),
        (["--data=TableDataModule", "--data.path=/nowhere.csv"], "there is no file /nowhere.csv"),
        (["--data=TableDataModule"], "name the data: either path, a file, folder or frame, or dataset"),
        (["--config=/nowhere.yaml"], "cannot read the config /nowhere.yaml: No such file or directory"),
        (["--data.path=/nowhere/eighthr.data"], "/nowhere/eighthr.data: there is no such file"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_wrong_options_are_refused(cli, options, expected):
    answer = cli("data", *options)
    assert (answer.status, answer.out) == (2, "")
    assert expected in answer.err
    assert len(answer.err.splitlines()) <= 10


def test_targets_gaps_and_folds_are_drawn(cli, tmp_path):
    raw = panel(a=(0, 40), b=(6, 33)).reset_index(names="ds").drop(index=[20, 50])
    raw.to_csv(tmp_path / "own.csv", index=False)
    given = {"series_column": "id", "features": "[x]", "missing": "ffill", "lookback": 2, "splits": 3}
    options = [f"--data.{name}={value}" for name, value in given.items()]
    drawn = tmp_path / "own.png"
    answer = cli("data", "--data=TableDataModule", f"--data.path={tmp_path / 'own.csv'}", *options, "--figure", drawn)
    assert (answer.status, answer.out.splitlines()[-1]) == (0, f"figure      {drawn}")
    assert drawn.read_bytes().startswith(b"\x89PNG")
