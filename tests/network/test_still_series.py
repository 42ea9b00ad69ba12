"""A series that stands still has a tiny unit: its errors in it say nothing about windows in which it moves."""

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.network.intervals import SplitConformal
from forecastlab.training.forecaster import Forecaster
from tests.network.calibrated import SMALL, conformal_quantile
from tests.series import trainer

HORIZON, LOOKBACK, VALIDATION = 6, 21, 24
STILL, MOVED = 3.0, 40.0
WINDOWS = {"lookback": LOOKBACK, "horizon": HORIZON, "val_size": VALIDATION, "season_length": 7, "batch_size": 64}


def frame():
    """Two series that move, and one that stands still until the last six of 90 days."""
    random = np.random.default_rng(0)
    days = pd.date_range("2023-01-01", periods=90)
    still = np.where(np.arange(90) < 84, STILL, MOVED) + np.where(np.arange(90) < 84, 0, random.normal(size=90))
    values = {"a": random.normal(20, 2, 90), "b": random.normal(60, 5, 90), "still": still}
    return pd.concat(
        [pd.DataFrame({"unique_id": name, "ds": days, "y": own}) for name, own in values.items()], ignore_index=True
    )


def data():
    return TableDataModule(frame(), series_column="unique_id", fold="all", **WINDOWS)


def in_windows(window_norm="robust", anchor="last", loss_units="window", **settings):
    return {"window_norm": window_norm, "anchor": anchor, "loss_units": loss_units, **settings}


@pytest.mark.parametrize(
    ("settings", "some"),
    [
        *((in_windows(kind), True) for kind in ("standard", "mean", "robust", "seasonal")),
        (in_windows("none", "none", smoothing="shared"), True),
        (in_windows("level"), False),  # one more than the mean of the counts
        (in_windows("robust", loss_units="scaled"), False),
    ],
    ids=["standard", "mean", "robust", "seasonal", "smoothing", "level", "scaled"],
)
def test_windows_that_stand_still_have_the_least_unit(settings, some):
    module = data()
    model = Forecaster(SMALL, intervals=[0.8], schema=module.schema, **settings)
    trainer(max_epochs=1).fit(model, module)
    y = frame()["y"].to_numpy().reshape(3, -1)
    for batch in module.val_dataloader():
        least = model.in_least_unit(model.scaled(batch))
        still = [
            np.ptp(y[number, row - LOOKBACK + 1 : row + 1]) == 0
            for number, row in zip(batch.series.tolist(), batch.index[:, 0].tolist(), strict=True)
        ]
        assert 0 < sum(still) < len(still)
        assert least.flatten().tolist() == [some and each for each in still]


def test_a_series_that_moves_after_standing_still_has_intervals_of_its_new_size():
    module = data()
    model = Forecaster(SMALL, intervals=[0.8], schema=module.schema, **in_windows())
    trainer(max_epochs=1).fit(model, module)
    assert model.intervals.own[:2].isfinite().all()
    assert model.intervals.own[2].isnan().all(), "all its windows in the validation range stand still"
    table = model.forecast(frame()).set_index("unique_id").loc["still"]
    half = (table["forecast-hi-80"] - table["forecast-lo-80"]).to_numpy() / 2
    window = frame()["y"].to_numpy()[-LOOKBACK:]
    unit = np.abs(window - np.sort(window)[(LOOKBACK - 1) // 2]).mean()
    np.testing.assert_allclose(half, unit * model.intervals.margin[0, :, 0], rtol=1e-4)
    assert half.max() < 10 * MOVED
    tiny = 0.02 * STILL  # what its errors were divided by
    assert unit > 100 * tiny
    errors = np.array([MOVED - STILL] * 6 + [0.0] * 13) / tiny  # of the last step at 19 origins
    assert unit * conformal_quantile(errors, 0.8) > 100 * MOVED, "the interval if they counted"


@pytest.mark.parametrize(("size", "counted"), [(3.0, True), (5.0, False)])
def test_errors_in_the_least_unit_count_for_their_series_if_they_are_a_few_such_units(size, counted):
    """A price that hardly changes is always in the least unit, and so are its later windows."""
    random = np.random.default_rng(1)
    errors = random.exponential(size=(150, 1, 1, 1))
    series = np.repeat([0, 1, 2], 50)
    least = (series == 1) & (np.arange(150) % 2 == 0)
    errors[least] *= size / errors[least].mean()
    intervals = SplitConformal([0.8], (), horizon=1, targets=1, series=3)
    weight = np.ones((150, 1, 1))
    intervals.fit(*(torch.tensor(part) for part in (errors, weight, series, least[:, None])))
    expected = [
        conformal_quantile(errors[(series == number) & (counted | ~least)].flatten(), 0.8) for number in range(3)
    ]
    found = intervals.margins(torch.tensor([0, 1, 2, -1])).flatten().tolist()
    assert found == pytest.approx([*expected, conformal_quantile(errors.flatten(), 0.8)])
