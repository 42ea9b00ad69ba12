"""A column of weights: which rows count, and how much, before any network sees them."""

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.data.survey import survey
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import DataError
from tests.frames import panel, wide

NAN = np.nan

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")  # what is read is not looked at here


def module(frame, **arguments):
    settings = {"lookback": 2, "splits": 3, "fold": 3, "batch_size": 64, "weight_column": "w", **arguments}
    made = TableDataModule(frame, **settings)
    made.setup("fit")
    return made


def batch(loader):
    """The one batch of a loader."""
    (only,) = loader
    return only


def weight_by_row(data, stage="train"):
    """The weight of each target, by its row."""
    of = batch(getattr(data, f"{stage}_dataloader")())
    rows = (of.index[:, :, None] + torch.arange(1, data.horizon + 1)).flatten().tolist()
    return dict(zip(rows, of.weight[..., 0].flatten().tolist(), strict=True))


def test_a_target_counts_by_its_rows_weight_in_units_of_the_mean_of_the_training_targets():
    frame = wide(8)
    frame["w"] = [9, 9, 1, 2, 6, 4, 4, 8]
    data = module(frame, test_size=1, val_size=1, fold="all", splits=2)
    # targets 2 .. 6 train and 7 validates; the mean weight of 1, 2, 6, 4 and 4 is 3.4
    assert weight_by_row(data) == pytest.approx({2: 1 / 3.4, 3: 2 / 3.4, 4: 6 / 3.4, 5: 4 / 3.4, 6: 4 / 3.4})
    assert weight_by_row(data, "val") == pytest.approx({7: 8 / 3.4})


def test_rows_of_weight_0_are_in_no_batch_and_not_in_the_mean():
    frame = wide(20)
    frame["w"] = np.where(np.arange(20) % 2, 0.0, 3.0)
    data = module(frame)
    assert set(weight_by_row(data)) == {row for row in range(2, 16) if row % 2 == 0 and row < data.ranges.fit.stop}
    assert set(weight_by_row(data).values()) == {1.0}


def test_tests_and_forecasts_do_not_know_weights():
    frame = panel(30).assign(w=lambda rows: rows["area"])
    data = module(frame, series_column="unique_id")
    plain = module(frame, series_column="unique_id", weight_column=None)
    for stage in ("test", "predict"):
        data.setup(stage)
        plain.setup(stage)
        ours, theirs = (batch(getattr(one, f"{stage}_dataloader")()) for one in (data, plain))
        assert all(torch.equal(our, their) for our, their in zip(ours, theirs, strict=True))
    assert data.schema == plain.schema
    assert set(batch(data.train_dataloader()).weight.unique().tolist()) == {0.5, 1.0, 1.5}


@pytest.mark.parametrize("same", [1.0, 0.1, 7e-30, 3e30])
def test_equal_weights_are_no_weights_to_the_last_bit(same):
    frame = wide(40).assign(w=same)
    ours, theirs = module(frame, horizon=3), module(frame, horizon=3, weight_column=None)
    for stage in ("train", "val"):
        one, other = (batch(getattr(data, f"{stage}_dataloader")()) for data in (ours, theirs))
        assert all(torch.equal(our, their) for our, their in zip(one, other, strict=True))


def test_a_sequence_has_a_weight_at_every_origin():
    frame = wide(12).assign(w=np.arange(12.0))
    data = module(frame, lookback="full", test_size=2, val_size=2, splits=2, fold=2)
    rows = np.arange(1, 8)
    expected = rows / rows.mean()
    np.testing.assert_allclose(batch(data.train_dataloader()).weight.flatten(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, 1, -2, 1], "row 3 .*a negative weight, -2, in w .10 such rows"),
        ([1, NAN, 1, 1], "has no weight in w"),
        ([0, 0, 0, 0], "every weight in w is 0"),
        ([1, np.inf, 1, 1], "inf"),
    ],
)
def test_weights_that_say_nothing_are_refused(weights, said):
    frame = wide(40)
    frame["w"] = [*weights] * 10
    with pytest.raises(DataError, match=said):
        module(frame)


def test_a_row_without_a_target_needs_no_weight():
    frame = wide(40).assign(w=2.0)
    frame.loc[[3, 39], "y"] = NAN
    frame.loc[[3, 39], "w"] = NAN
    data = module(frame, known=["price"], missing="ffill")
    assert set(weight_by_row(data).values()) == {1.0}


def test_steps_without_a_row_have_no_weight_to_find():
    frame = wide(40).assign(w=2.0).drop(index=[5, 6, 30])
    assert set(weight_by_row(module(frame, missing="ffill")).values()) == {1.0}


def test_a_column_that_is_not_there_is_named_with_the_way_out():
    with pytest.raises(DataError, match=r"unknown column w.*weight_column null"):
        module(wide(40))


def test_a_frame_with_a_column_for_each_time_has_a_weight_per_series():
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=20)]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(2, 20)), columns=days)
    frame.insert(0, "store", ["a", "b"])
    frame["w"] = [1, 3]
    data = module(frame, series_column="store")
    of = batch(data.train_dataloader())
    assert of.weight.flatten().tolist() == [{0: 0.5, 1: 1.5}[number] for number in of.series.tolist()]


@pytest.mark.parametrize("how", ["sum", "mean", {"y": "sum"}])
def test_rows_that_are_taken_together_have_the_mean_of_their_weights(how):
    hours = pd.date_range("2024-01-01", periods=24 * 20, freq="h")
    frame = pd.DataFrame({"ds": hours, "y": np.random.default_rng(0).normal(size=len(hours))})
    frame["w"] = np.where(hours.day % 2, 1.0, 2.0) + np.where(hours.hour < 12, 0.5, -0.5)
    data = module(frame, resample={"rule": "D", "how": how})
    assert data.tables[0].values["w"].tolist() == [1.0 if day % 2 else 2.0 for day in range(1, 21)]


def test_series_that_are_taken_together_have_the_mean_of_their_weights():
    frame = panel(20).assign(w=lambda rows: rows["area"])
    late = frame[~((frame["unique_id"] == "c") & (frame["ds"] < "2020-01-05"))]
    data = module(late, series_column="unique_id", aggregate={"by": [], "how": "sum"})
    assert data.table.values["w"].tolist() == [1.5] * 4 + [2.0] * 16


def test_rows_of_one_time_that_are_added_up_have_the_weight_of_the_first():
    frame = pd.concat([wide(40).assign(w=2.0), wide(40).assign(w=4.0)])
    for duplicates, weight in (("sum", 2.0), ("mean", 3.0), ("last", 4.0)):
        assert set(module(frame, duplicates=duplicates).table.values["w"]) == {weight}


def test_other_weights_are_other_data():
    one, other = (module(wide(40).assign(w=np.arange(1.0, 41) ** power)) for power in (1, 2))
    assert one.fingerprint != other.fingerprint


def test_a_survey_takes_the_weights_for_no_covariate():
    frame = panel(40).drop(columns=["x", "price", "area"]).assign(w=lambda rows: (rows["unique_id"] == "a") + 1)
    seen = survey(frame, {"weight_column": "w"})
    assert "static" not in seen.settings
    assert seen.covariates == []
    assert seen.settings["targets"] == ["y"]
    assert "w" in survey(frame, {"target": "y"}).settings["static"]
