"""The figure of what a source holds."""

import numpy as np
import pandas as pd
from matplotlib.dates import date2num

from forecastlab.figures.source import Line, source_figure


def test_values_gaps_and_rows_of_folds_are_where_they_belong():
    times = pd.date_range("2024-01-01", periods=10)
    values = np.arange(10.0)
    values[4:6] = np.nan
    day = [times[number] for number in range(10)]
    folds = {
        "1": [(day[0], day[3]), None, (day[4], day[5])],
        "2": [(day[0], day[5]), (day[6], day[7]), (day[8], day[9])],
    }
    figure = source_figure([Line("y", times, values)], folds)
    above, below = figure.axes
    np.testing.assert_equal(above.lines[0].get_ydata(), values)
    gap = above.patches[0].get_extents().transformed(above.transData.inverted())
    np.testing.assert_allclose([gap.x0, gap.x1], [date2num(day[3]), date2num(day[6])], rtol=1e-12)
    spans = [(line.get_ydata()[0], *line.get_xdata()) for line in below.lines]
    assert spans == [
        (0, day[0], day[3]),
        (0, day[4], day[5]),
        (1, day[0], day[5]),
        (1, day[6], day[7]),
        (1, day[8], day[9]),
    ]
