"""Folds that count each series' rows back from its own end, checked by hand and against pandas."""

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab import Forecaster, TableDataModule
from forecastlab.backbones.gru import GRU
from forecastlab.baselines import Persistence, Ridge
from forecastlab.cli.data import describe
from forecastlab.data import trained_on
from forecastlab.errors import ConfigError
from forecastlab.evaluation.scores import evaluate
from forecastlab.losses.quantile import Quantile
from tests.series import Series, counting, noise, panel, trainer


def by_series(**spans):
    """A panel whose folds count from each series' own end: two splits of two rows."""
    return {"recipe": {"series": "id"}, "splits": 2, "test_size": 2, "fold_by": "series", "raw": panel(**spans)}


def targets(data, name):
    """By series the values of column y that a range has as targets."""
    found: dict[str, set[float]] = {}
    windows = data._cut(name).scored()
    for sample in range(len(windows)):
        batch = windows[[sample]]
        known = batch.target[batch.weight > 0].tolist()
        found.setdefault(data.panel.names[int(batch.series)], set()).update(known)
    return {series: sorted(values) for series, values in found.items()}


def test_two_series_by_hand():
    # a has rows 0..9 (y = 100 ... 109), b rows 2..6 (y = 1102 ... 1106): the tests are the last two rows of each
    data = Series(**by_series(a=(0, 10), b=(2, 7)), fold=2, lookback=2)
    assert targets(data, "test") == {"a": [108, 109], "b": [1105, 1106]}
    assert targets(data, "fit") == {"a": [102, 103, 104, 105, 106, 107], "b": [1104]}
    earlier = Series(**by_series(a=(0, 10), b=(2, 7)), fold=1, lookback=2)
    assert targets(earlier, "test") == {"a": [106, 107], "b": [1104]}  # b's 1103 has one row before it
    assert targets(earlier, "fit") == {"a": [102, 103, 104, 105]}
    calendar = Series(**{**by_series(a=(0, 10), b=(2, 7)), "fold_by": "calendar"}, fold=2, lookback=2)
    assert targets(calendar, "test") == {"a": [108, 109]}


def test_one_series_has_the_folds_of_the_calendar():
    for fold in (1, 2, 3):
        one, other = (Series(counting(24), fold=fold, fold_by=by, validation="tail") for by in ("calendar", "series"))
        assert one.ranges == other.ranges == other.of_series(0)
        assert one.trained_on.keys == other.trained_on.keys


def test_fold_all_trains_on_every_row_of_each_series():
    data = Series(**by_series(a=(0, 10), b=(2, 7)), fold="all", lookback=2, validation="tail", val_size=2)
    assert targets(data, "validation") == {"a": [108, 109], "b": [1105, 1106]}
    assert targets(data, "fit") == {"a": [102, 103, 104, 105, 106, 107], "b": [1104]}
    assert targets(data.refit(), "fit") == {"a": [*range(102, 110)], "b": [1104, 1105, 1106]}
    assert len(data.trained_on.known()) == 3  # the first rows have no key: that of a row is of the eight up to it


@pytest.mark.parametrize("lookback", [3, "full"])
@pytest.mark.parametrize("horizon", [1, 2])
def test_the_rows_of_a_panel_of_unlike_series(lookback, horizon):
    spans = {"early": (0, 20), "late": (15, 40), "whole": (0, 40), "short": (30, 34)}
    given = by_series(**spans)
    data = Series(**given, fold=2, lookback=lookback, horizon=horizon, validation="tail", val_size=4)
    needed = 1 if lookback == "full" else lookback
    expected = {}
    for name, rows in given["raw"].groupby("id")["y"]:
        first, last = max(len(rows) - 3, needed - 1), len(rows) - 1 - horizon  # the first and the last origin
        if first <= last:
            expected[name] = rows.tolist()[first + 1 :]
    assert targets(data, "test") == expected
    assert data.scored(2) == [len(expected.get(name, [])) for name in spans]
    for name, found in targets(data, "fit").items():
        rows = given["raw"].groupby("id")["y"].get_group(name).tolist()
        assert max(found) == rows[-2 - 4 - 1]


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")  # of values that are far from the others
def test_the_scaler_and_the_units_see_no_test_row_of_any_series():
    raw = panel(a=(0, 30), b=(10, 22), c=(4, 30))
    given = {**by_series(a=(0, 30)), "raw": raw, "fold": 2, "validation": "tail", "val_size": 3}
    data = Series(**given)
    trained = pd.concat([rows.iloc[:-2] for _, rows in raw.groupby("id")])
    fitted = pd.concat([rows.iloc[:-5] for _, rows in raw.groupby("id")])
    assert data.scaling.target_center.item() == pytest.approx(fitted["y"].mean(), rel=1e-12)
    assert data.scaling.target_scale.item() == pytest.approx(fitted["y"].std(ddof=0), rel=1e-12)
    expected = trained.groupby("id")["y"].var(ddof=0)
    assert data.reference.variance[:, 0].tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    changed = raw.copy()
    ends = changed.groupby("id").cumcount(ascending=False) < 2
    changed.loc[ends.to_numpy(), ["x", "y"]] = 1e6
    other = Series(**{**given, "raw": changed})
    whole = [*range(len(data._cut("fit")))]
    assert all(map(np.array_equal, data._cut("fit")[whole], other._cut("fit")[whole]))
    assert all(map(np.array_equal, data.scaling.state_dict().values(), other.scaling.state_dict().values()))


def write(path, **lengths):
    """A file of series of noise that begin on one day and have unlike lengths."""
    parts = [noise(rows, seed).assign(series=name) for seed, (name, rows) in enumerate(lengths.items())]
    pd.concat(parts).rename_axis("ds").reset_index().to_csv(path, index=False)
    return path


def table(path, **settings):
    return TableDataModule(
        str(path), series_column="series", lookback=4, splits=3, test_size=6, fold_by="series", **settings
    )


def test_every_series_is_tested_and_training_rows_are_recognised(tmp_path):
    path = write(tmp_path / "panel.csv", a=60, b=40, c=50)
    data = table(path, fold=3)
    model = Forecaster(GRU, schema=data.schema)
    run = trainer(max_epochs=1)
    run.fit(model, datamodule=data)
    run.test(model, datamodule=data)
    assert model.seen.rows == 18
    assert model.seen.counted == model.seen.differing == 0
    assert float(run.callback_metrics["test/series_scored"]) == 3
    earlier = table(path, fold=2).seen(model.trained_on, "test")
    assert (earlier.rows, earlier.counted) == (18, 18)
    with pytest.raises(ConfigError, match="all 18 test rows of fold 2"):
        earlier.require_none()
    tail = data.seen(model.trained_on, "validation")
    assert (tail.fitted, tail.stopped) == (0, tail.rows)
    restored = type(model.trained_on[0]).from_dict(model.trained_on[0].as_dict())
    assert restored == model.trained_on[0]


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")  # of values that are far from the others
def test_the_test_rows_of_a_series_change_nothing_of_a_training(tmp_path):
    path = write(tmp_path / "panel.csv", a=60, b=40, c=50)
    raw = pd.read_csv(path)
    ends = (raw.groupby("series").cumcount(ascending=False) < 6).to_numpy()
    raw.loc[ends, ["x", "y"]] = -1e3
    raw.to_csv(tmp_path / "changed.csv", index=False)
    weights = []
    for file in (path, tmp_path / "changed.csv"):
        lightning.seed_everything(0, verbose=False)
        data = table(file, fold=3, scale_by="series")
        model = Forecaster(GRU, schema=data.schema, loss=Quantile, intervals=[0.9])
        trainer(max_epochs=2).fit(model, datamodule=data)
        weights.append(model.state_dict())
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_part_of_the_keys_is_enough_to_know_the_rows_of_each_series(monkeypatch):
    monkeypatch.setattr(trained_on, "MAX_KEYS", 150)
    random = np.random.default_rng(0)
    parts = []
    for number, rows in enumerate((200, 160, 120)):
        times = pd.date_range("2020-01-01", periods=rows)
        values = random.normal(size=(2, rows))
        parts.append(pd.DataFrame({"id": f"s{number}", "x": values[0], "y": values[1]}, index=times))
    given = {"recipe": {"series": "id"}, "splits": 3, "test_size": 20, "fold_by": "series", "raw": pd.concat(parts)}
    last, first = (Series(**given, fold=fold, validation="tail", val_size=20) for fold in (3, 1))
    record = last.trained_on
    assert len(record.known()) == 150
    assert last.seen([record], "test").counted == 0
    assert first.seen([record], "test").counted == 60  # rows of which only a part has its key in the record
    validated = last.seen([record], "validation")
    assert validated.fitted == 0
    assert 45 <= validated.stopped <= 60  # but for those at the ends of the tails


def test_rows_of_a_sparse_series_that_do_not_change_are_recognised_too():
    random = np.random.default_rng(0)
    parts = []
    for name, rows in (("a", 200), ("b", 150)):
        y = np.where(random.random(rows) < 0.3, random.integers(1, 9, rows), 0).astype(float)
        parts.append(pd.DataFrame({"id": name, "x": y, "y": y}, index=pd.date_range("2020-01-01", periods=rows)))
    given = {"recipe": {"series": "id"}, "splits": 3, "test_size": 20, "fold_by": "series", "raw": pd.concat(parts)}
    last, first = (Series(**given, fold=fold, validation="tail", val_size=20) for fold in (3, 1))
    assert first.seen([last.trained_on], "test").counted == 40
    assert last.seen([last.trained_on], "test").counted == 0


@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_a_series_ends_with_its_last_observed_target_whatever_is_known_beyond(tmp_path, missing):
    random = np.random.default_rng(0)
    parts = []
    for name, rows, observed in (("a", 50, 45), ("b", 40, 37), ("c", 45, 45)):
        times = pd.date_range("2020-01-01", periods=rows)
        y = pd.Series(random.normal(size=rows))
        y[[20, observed - 2]] = np.nan
        y[observed:] = np.nan
        parts.append(pd.DataFrame({"series": name, "ds": times, "y": y, "promo": random.integers(0, 2, rows)}))
    raw = pd.concat(parts)
    raw.to_csv(tmp_path / "panel.csv", index=False)
    data = table(tmp_path / "panel.csv", fold=3, targets=["y"], known=["promo"], missing=missing, horizon=2)
    found = evaluate(Persistence(), data).predictions
    for name, rows in raw.groupby("series"):
        last = rows["y"].last_valid_index()
        expected = rows.loc[last - 5 : last].dropna()["ds"]
        assert sorted(set(found.loc[found["unique_id"] == name, "ds"])) == expected.tolist()


def test_baselines_score_the_same_rows(tmp_path):
    data = table(write(tmp_path / "panel.csv", a=60, b=40, c=50), fold=3)
    raw = pd.read_csv(tmp_path / "panel.csv")
    expected = [rows["y"].diff().iloc[-6:].abs().mean() for _, rows in raw.groupby("series")]
    scored = evaluate(Persistence(), data)
    assert scored.metrics["test/mae"] == pytest.approx(np.mean(expected), rel=1e-12)
    assert evaluate(Ridge(), data).metrics["test/mae"] < scored.metrics["test/mae"]


def test_data_says_how_many_series_each_fold_scores(tmp_path):
    lines = describe(table(write(tmp_path / "panel.csv", a=60, b=40, c=9), fold=3)).splitlines()
    assert any("scores 3 of 3 series, 17 rows" in line for line in lines)
    assert any("every series ends with the last row" in line for line in lines)


def test_times_are_no_boundaries_of_such_folds(tmp_path):
    path = write(tmp_path / "panel.csv", a=60, b=40)
    with pytest.raises(ConfigError, match="cutoffs are times, but fold_by: series"):
        TableDataModule(str(path), series_column="series", cutoffs=["2020-02-01"], fold_by="series")
    with pytest.raises(ConfigError, match="fold_by must be one of calendar, series"):
        TableDataModule(str(path), series_column="series", fold_by="end")
