"""What is computed of a large panel part by part is what is computed of it at once."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from forecastlab.data.scaling import fit_together
from forecastlab.data.table_datamodule import TableDataModule

LEARNED = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


def module(**arguments):
    """Forty series of unlike lengths and levels, with holes."""
    random = np.random.default_rng(0)
    frames = []
    for number in range(40):
        rows = int(random.choice([90, 90, 120]))
        days = pd.date_range("2020-01-01", periods=rows) + pd.Timedelta(days=int(random.integers(0, 20)))
        level = random.uniform(1, 1e4)
        columns = {name: level + random.normal(size=rows).cumsum() for name in ("y", "x")}
        frames.append(pd.DataFrame({"id": f"series {number}", "ds": days, **columns}))
    frame = pd.concat(frames, ignore_index=True)
    frame.loc[random.random(len(frame)) < 0.1, "y"] = np.nan
    settings = {"features": ["y", "x"], "lookback": 5, "horizon": 2, "missing": "mask", "fold": 4, "splits": 5}
    return TableDataModule(frame, series_column="id", **{**settings, **arguments})


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("forecastlab.data.panel.ROWS_AT_ONCE", 300)


@pytest.mark.parametrize("fold_by", ["calendar", "series"])
def test_the_record_of_a_training_and_what_it_has_seen_do_not_depend_on_parts(fold_by, monkeypatch):
    whole = module(fold_by=fold_by)
    record = whole.trained_on
    seen = whole.seen([record], "test", 3)
    monkeypatch.setattr("forecastlab.data.panel.ROWS_AT_ONCE", 300)
    parted = module(fold_by=fold_by)
    assert len(list(parted.panel.parts())) > 10
    assert parted.trained_on == record
    assert parted.seen([record], "test", 3) == seen
    assert seen.fitted > 0


def test_parts_hold_every_series_once_and_the_rows_that_it_has(small_parts):
    panel = module().panel
    numbers, rows = [], []
    for part_numbers, part in panel.parts():
        numbers += list(part_numbers)
        rows.append(part.rows.target)
        assert part.rows.base[0] + part.rows.first[0] == 0
        assert len(part.rows.target) == int(part.rows.base[-1] + part.rows.stop[-1]) + part.rows.horizon
    assert numbers == list(range(len(panel.names)))
    assert torch.cat(rows).equal(panel.rows.target)


@pytest.mark.parametrize("scaler", LEARNED)
def test_one_scaling_of_rows_in_pieces_is_scikit_learns_of_all_rows(scaler):
    random = np.random.default_rng(0)
    columns = random.gamma(2.0, size=(1000, 3)) * [1, 1e-3, 10] + [0, 5, 1e6]
    columns[random.random(columns.shape) < 0.2] = np.nan
    columns[:400, 1] = np.nan  # a piece without any value
    constant = np.full((1000, 1), 0.1)
    columns = np.concatenate([columns, constant], axis=1)

    def pieces(name):
        return (piece[:, : 0 if name == "known" else None] for piece in np.array_split(columns, 7))

    scaling = fit_together(scaler, pieces, np.empty((1, 0)))
    expected = LEARNED[scaler]().fit(columns)
    center = {"standard": "mean_", "minmax": "data_min_", "robust": "center_"}[scaler]
    scale = 1 / expected.scale_ if scaler == "minmax" else expected.scale_
    np.testing.assert_allclose(scaling.target_center[0].numpy(), getattr(expected, center), rtol=1e-13)
    np.testing.assert_allclose(scaling.feature_scale[0].numpy(), scale, rtol=1e-12)
    assert scaling.known_center.shape == (1, 0)


@pytest.mark.parametrize("scaler", LEARNED)
def test_a_scaling_of_each_series_is_scikit_learns_of_its_rows(scaler):
    data = module(scaler=scaler, scale_by="series", missing="ffill", features=["x"], targets=["x"])
    stop = data.ranges.fit.stop
    for number in (0, 7, 39):
        first = int(data.rows.first[number])
        own = data.tables[number].values[["x"]].to_numpy()[: stop - first]
        expected = LEARNED[scaler]().fit(own)
        scale = 1 / expected.scale_ if scaler == "minmax" else expected.scale_
        np.testing.assert_allclose(data.scaling.target_scale[number].numpy(), scale, rtol=1e-13)
