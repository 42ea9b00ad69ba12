import numpy as np
import pytest

from forecastlab.baselines.direct import Samples, fit_direct, forecast_direct, training_samples
from forecastlab.baselines.lags import Inputs, Lags, Steps
from forecastlab.data.calendar import calendar_covariates
from forecastlab.errors import ConfigError, DataError
from tests.series import Series, counting


class Mean:
    """Predicts the mean of what it was fitted on."""

    def __init__(self, target):
        self.mean = target.mean()

    def predict(self, inputs):
        return np.full(len(inputs), self.mean)


def test_inputs_are_the_last_rows_and_the_calendar_of_each_step():
    data = Series(counting(10), features=["x"], targets=["y"], horizon=2)
    found = Lags(3).inputs(data, range(4, 6))
    np.testing.assert_array_equal(
        found.past, [[4, 104, 3, 103, 2, 102], [5, 105, 4, 104, 3, 103]]
    )  # the target is an input although it is not a feature
    cycle = calendar_covariates(data.times, ["day_of_year"]).to_numpy()
    np.testing.assert_allclose(found.ahead, [cycle[5:7], cycle[6:8]])
    np.testing.assert_allclose(found.of_step(1)[0], [4, 104, 3, 103, 2, 102, *cycle[6]])


def test_a_target_among_the_features_is_taken_once():
    data = Series(counting(10), features=["y", "x"], targets=["y"])
    np.testing.assert_array_equal(Lags(1).inputs(data, range(4, 5)).past, [[104, 4]])


def test_cycles_of_the_data_are_taken_once_and_come_first():
    data = Series(counting(10), calendar=["day_of_week", "day_of_year"])
    found = Lags(1, ("hour", "day_of_year")).inputs(data, range(4, 5))
    cycles = calendar_covariates(data.times, ["day_of_week", "day_of_year", "hour"]).to_numpy()
    np.testing.assert_allclose(found.ahead[0][:, :6], cycles[5:6], atol=1e-7)
    assert found.past.shape == (1, 2)


def test_hours_and_weekdays_have_a_column_for_each():
    data = Series(counting(100, "h", "2024-01-01 05:00"), calendar=["day_of_week"], frequency="h", horizon=2)
    found = Lags(1, ("hour",)).inputs(data, range(30, 60))
    for step in (1, 2):
        times = data.times[np.arange(30, 60) + step]
        ones = found.ahead[step - 1][:, 4:]  # behind the sines and cosines
        np.testing.assert_array_equal(ones[:, :24], times.hour.to_numpy()[:, None] == np.arange(24))
        np.testing.assert_array_equal(ones[:, 24:], times.day_of_week.to_numpy()[:, None] == np.arange(7))


def test_the_last_season_that_is_known_is_an_input_unless_it_is_among_the_lags():
    data = Series(counting(40), horizon=4)
    found = Lags(2, (), (3, 7)).inputs(data, range(10, 12))
    # steps 1 .. 4 of row 10 are rows 11 .. 14: a season of 3 before is row 8, 9 (a lag), 10 (a lag) and again 8
    expected = [[108, 104], [105], [106], [108, 107]]
    assert [part[0].tolist() for part in found.ahead] == expected
    assert Lags(2, (), (3, 7)).first_origin == 6


@pytest.mark.parametrize("validation", ["tail", "test"])
@pytest.mark.parametrize("lookback", [1, 3, "full"])
def test_training_samples_are_those_whose_targets_all_train(validation, lookback):
    # Ten rows, first of three folds: rows 0 .. 3 train; the last fifth of four rows is row 3.
    data = Series(counting(10), horizon=2, validation=validation, lookback=lookback if validation == "test" else 1)
    found = training_samples(data, 0)
    assert found.origins == range(0, 2)
    np.testing.assert_array_equal(found.target[..., 0], [[101, 102], [102, 103]])
    np.testing.assert_array_equal(found.tail, [[False, False], [False, True]])
    assert found.scored.all()


def test_missing_targets_and_targets_behind_gaps_are_not_scored():
    raw = counting(12)
    raw.loc[raw.index[2], "y"] = np.nan
    raw = raw.drop(raw.index[4])  # rows 0 .. 3, then 4 a day late
    data = Series(raw, splits=2, fold=2, test_size=3, score_gaps=False, lookback=1, horizon=2)
    found = training_samples(data, 0)
    assert found.origins == range(0, 6)
    np.testing.assert_array_equal(
        found.scored[..., 0],
        [[True, False], [False, True], [True, False], [False, False], [True, True], [True, True]],
    )
    every = training_samples(Series(raw, splits=2, fold=2, test_size=3, lookback=1, horizon=2), 0)
    assert every.scored.sum() == 10


def test_too_few_training_rows_are_refused():
    with pytest.raises(ConfigError, match="leave no forecast origin from row 3 on with horizon=1"):
        training_samples(Series(counting(10)), 3)


def test_every_step_and_target_has_a_regressor_of_its_own():
    samples = Samples(
        range(4),
        target=np.arange(16.0).reshape(4, 2, 2),
        scored=np.ones((4, 2, 2), dtype=bool),
        tail=np.array([[False, False], [False, False], [False, True], [True, True]]),
    )
    samples.scored[1, 0, 1] = False
    data = Series(counting(10), targets=["y", "x"], horizon=2)
    inputs, seen = Inputs(np.arange(4.0)[:, None], [np.ones((4, 0))] * 2), []

    def regress(rows, target, tail):
        seen.append((rows[:, 0].tolist(), target.tolist(), tail.tolist()))
        return Mean(target)

    fitted = fit_direct(data, inputs, samples, regress)
    assert seen[0] == ([0, 1, 2, 3], [0, 4, 8, 12], [False, False, False, True])
    assert seen[1] == ([0, 2, 3], [1, 9, 13], [False, False, True])
    assert seen[2] == ([0, 1, 2, 3], [2, 6, 10, 14], [False, False, True, True])
    forecast = forecast_direct(Inputs(np.zeros((3, 1)), [np.ones((3, 0))] * 2), fitted)
    np.testing.assert_allclose(forecast, np.broadcast_to([[6, 23 / 3], [8, 9]], (3, 2, 2)))


@pytest.mark.parametrize(("missing", "part"), [(slice(1, 4), "before"), (slice(4, 5), "in")])
def test_a_part_of_the_training_rows_without_targets_is_an_error(missing, part):
    raw = counting(20)
    raw.iloc[missing, 1] = np.nan
    data = Series(raw)  # rows 0 .. 4 train, of which row 4 is the tail
    samples = training_samples(data, 0)
    inputs = Lags().inputs(data, samples.origins)
    with pytest.raises(DataError, match=f"no observed target y to fit step 1 on {part} the last 20% of its training"):
        fit_direct(data, inputs, samples, lambda rows, target, tail: Mean(target))


@pytest.mark.parametrize(
    ("lags", "text"),
    [
        ({"rows": 0}, "positive number of rows, got 0"),
        ({"seasons": [7, 0]}, "seasons must be positive numbers of rows, got 0"),
        ({"calendar": ["week"]}, "day_of_year, got"),
    ],
)
def test_impossible_lags_are_refused(lags, text):
    with pytest.raises(ConfigError, match=text):
        Lags(**lags)


def test_the_inputs_of_a_step_are_made_when_they_are_asked_for():
    asked = []
    steps = Steps(3, lambda step: asked.append(step) or np.full((1, 1), step))
    assert (len(steps), asked) == (3, [])
    assert (steps[-1].item(), [part.item() for part in steps[:2]], asked) == (2, [0, 1], [2, 0, 1])
    with pytest.raises(IndexError):
        steps[3]
