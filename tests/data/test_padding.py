"""Windows that reach behind the first row of their series."""

import numpy as np
import pytest
import torch

from forecastlab.errors import ConfigError
from tests.data.test_panel import batches, module
from tests.series import panel

FOLDS = {"features": ["y"], "validation": "tail", "val_size": 1, "test_size": 2, "splits": 2, "fold": 2}


def padded(**arguments):
    """Series of 40 and of 6 rows, windows of 8 rows of which 2 are enough."""
    raw = panel(a=(0, 40), short=(34, 40))
    return module(raw, lookback=8, min_history=2, fold_by="series", **{**FOLDS, **arguments})


def test_rows_before_the_first_repeat_it_and_are_told_apart():
    (batch,) = batches(padded(fold="all"), "predict")
    assert padded().schema["features"] == ["y", "padded"]
    assert batch.series.tolist() == [0, 1]
    assert batch.history[0, :, 0].tolist() == list(range(132, 140))
    assert batch.history[1, :, 0].tolist() == [1134] * 3 + list(range(1135, 1140))
    assert batch.history[:, :, 1].tolist() == [[0] * 8, [1, 1] + [0] * 6]


def test_every_origin_with_enough_rows_trains():
    data = padded()
    origins = {0: [], 1: []}
    for batch in batches(data, "fit"):
        for number, row in zip(batch.series.tolist(), batch.index[:, 0].tolist(), strict=True):
            origins[number].append(row)
    assert sorted(origins[0]) == list(range(1, 36))  # targets 2 .. 36; 37 validates, 38 and 39 are the test
    assert sorted(origins[1]) == [35]


def test_without_it_a_series_that_is_shorter_than_the_window_is_left_out():
    data = module(panel(a=(0, 40), short=(34, 40)), lookback=8, fold="all", validation="tail")
    (batch,) = batches(data, "predict")
    assert batch.series.tolist() == [0]
    few = module(panel(a=(0, 40), short=(39, 40)), lookback=8, min_history=2, fold="all", validation="tail")
    assert few.without_forecast() == [
        "not forecast: series short has 1 rows, fewer than the min_history of 2: the network forecasts from so many"
    ]


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
def test_no_scaler_changes_what_tells_padding(scaler):
    scaling = padded(scaler=scaler).scaling
    assert (scaling.feature_center[0, 1], scaling.feature_scale[0, 1]) == (0, 1)


def test_padding_reads_no_row_of_the_series_before():
    data = padded(fold="all")
    (before,) = batches(data, "predict")
    start = int(data.rows.base[1] + data.rows.first[1])
    data.rows.features[:start] = np.nan
    (after,) = batches(data, "predict")
    assert torch.equal(before.history[1], after.history[1])


def test_a_column_of_that_name_is_refused():
    with pytest.raises(ConfigError, match="padded"):
        module(panel(a=(0, 40)).rename(columns={"x": "padded"}), features=["padded", "y"], lookback=8, min_history=2)
