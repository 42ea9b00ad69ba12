import numpy as np

from forecastlab.baselines import Persistence
from tests.series import Series, counting


def test_every_step_is_as_the_origin():
    data = Series(counting(10), targets=["y", "x"], horizon=2)
    baseline = Persistence()
    baseline.fit(data)
    np.testing.assert_array_equal(baseline.forecast(data, range(4, 6)), [[[104, 4], [104, 4]], [[105, 5], [105, 5]]])


def test_a_missing_value_at_the_origin_is_the_one_before():
    raw = counting(10)
    raw.loc[raw.index[4], "y"] = np.nan
    data = Series(raw)
    baseline = Persistence()
    baseline.fit(data)
    np.testing.assert_array_equal(baseline.forecast(data, range(3, 6))[:, 0, 0], [103, 103, 105])
