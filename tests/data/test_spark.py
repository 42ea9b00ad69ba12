"""Lines of text that show how a series goes."""

import numpy as np

from forecastlab.data.spark import spark


def test_the_least_and_the_largest_values_have_the_least_and_the_largest_marks():
    assert spark(np.arange(8.0)) == "▁▂▃▄▅▆▇█"
    assert spark(np.repeat([0.0, 1.0], 400), width=4) == "▁▁██"


def test_what_is_missing_is_blank_and_a_constant_is_level():
    assert spark(np.array([1.0, np.nan, 2.0])) == "▁ █"
    assert spark(np.array([3.0, 3.0])) == "▅▅"
    assert spark(np.array([np.nan, np.nan])) == ""
