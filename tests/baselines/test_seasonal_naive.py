import numpy as np
import pytest

from forecastlab.baselines import Persistence, SeasonalNaive
from forecastlab.errors import ConfigError
from tests.series import Series, counting, noise


def forecast(baseline, data, origins):
    baseline.fit(data)
    return baseline.forecast(data, origins)[..., 0]


def test_steps_are_those_of_the_last_season_that_is_known():
    # From row 5 with seasons of 3: the steps 6, 7, 8 are as 3, 4, 5, and 9, 10 as 3, 4 again.
    data = Series(counting(20), horizon=5)
    np.testing.assert_array_equal(
        forecast(SeasonalNaive(3), data, range(5, 7)), [[103, 104, 105, 103, 104], [104, 105, 106, 104, 105]]
    )


def test_a_season_longer_than_the_horizon_is_taken_from_its_begin():
    data = Series(counting(20), horizon=2, fold=2)
    np.testing.assert_array_equal(forecast(SeasonalNaive(7), data, range(9, 10)), [[103, 104]])


def test_a_season_of_one_row_is_persistence():
    data = Series(noise(40), horizon=3)
    np.testing.assert_array_equal(
        forecast(SeasonalNaive(1), data, range(0, 40)), forecast(Persistence(), data, range(0, 40))
    )


def test_a_periodic_series_is_forecast_without_error():
    raw = counting(48)
    raw["y"] = np.tile([3.0, 1, 4, 1, 5, 9], 8)
    found = forecast(SeasonalNaive(6), Series(raw, horizon=8), range(5, 40))
    np.testing.assert_array_equal(found, [raw["y"].to_numpy()[row + 1 : row + 9] for row in range(5, 40)])


def test_a_season_that_is_not_in_the_training_rows_is_refused():
    with pytest.raises(ConfigError, match="needs a season of 6 rows, but fold 1 trains on 5 rows only"):
        SeasonalNaive(6).fit(Series(counting(20)))
    SeasonalNaive(5).fit(Series(counting(20)))


@pytest.mark.parametrize("length", [0, -1])
def test_a_season_of_no_rows_is_refused(length):
    with pytest.raises(ConfigError, match=f"season_length must be a positive number of rows, got {length}"):
        SeasonalNaive(length)


def test_the_season_is_the_datas_own_unless_one_is_given():
    data = Series(noise(60), horizon=9, season_length=4, fold=2)
    own = SeasonalNaive()
    found = forecast(own, data, range(20, 50))
    assert own.name == "seasonal naive (4)"
    y = noise(60)["y"].to_numpy()
    expected = [[y[t + h - 4 * -(-h // 4)] for h in range(1, 10)] for t in range(20, 50)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert SeasonalNaive(7).name == "seasonal naive (7)"
    np.testing.assert_array_equal(forecast(SeasonalNaive(4), data, range(20, 50)), found)
