import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.batch import Prediction
from forecastlab.data.predictions import predictions_table
from forecastlab.errors import ConfigError
from forecastlab.training.forecast_panels import forecast_figure
from tests.frames import module as own_data
from tests.frames import wide
from tests.series import Series, counting


def table(data, levels=(), intervals=(), origins=1):
    """Forecasts 1, 2, ... from the last origins of every series, with quantiles so far below and above."""
    series, horizon = len(data.tables), data.horizon
    forecast = torch.arange(1.0, horizon + 1).expand(series, origins, horizon)[..., None]
    quantiles = (
        torch.stack([forecast + distance for distance in intervals], -1) if intervals else forecast[..., None][..., :0]
    )
    last = (data.rows.stop - 1)[:, None] - (horizon if origins > 1 else 0)
    ends = last + torch.arange(1 - origins, 1)
    found = Prediction(torch.arange(series), ends, forecast, forecast, torch.zeros_like(forecast), quantiles)
    return predictions_table(data.panel.names, data.panel.labels, data.targets, levels, found)


def ahead(data, levels=(), intervals=(), origins=1, **given):
    return forecast_figure(data.panel, table(data, levels, intervals, origins), **given)


def days(line):
    return [(pd.Timestamp(day) - pd.Timestamp("2020-01-01")).days for day in line.get_xdata()]


def named(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def titles(figure):
    return [axes.get_title("left") for axes in figure.axes]


def test_the_forecast_and_its_intervals_begin_at_the_last_value():
    figure = ahead(Series(counting(40), horizon=3), (0.05, 0.25, 0.5, 0.75, 0.95), (-20, -9, 0, 9, 20))
    (axes,) = figure.axes
    observed, forecast = axes.lines
    assert days(observed) == list(range(10, 40))
    assert observed.get_ydata().tolist() == list(range(110, 140))
    assert days(forecast) == [39, 40, 41, 42]
    assert list(forecast.get_ydata()) == [139, 1, 2, 3]
    corners = [set(interval.get_paths()[0].vertices[:, 1].tolist()) for interval in axes.collections]
    assert corners == [{139.0, -19.0, -18.0, -17.0, 21.0, 22.0, 23.0}, {139.0, -8.0, -7.0, -6.0, 10.0, 11.0, 12.0}]
    assert named(figure) == ["observed", "forecast", "90 % interval", "50 % interval"]
    assert titles(figure) == ["y"]


def test_a_long_horizon_is_drawn_with_four_times_as_much_of_the_past():
    figure = ahead(Series(counting(100), horizon=12))
    observed, forecast = figure.axes[0].lines
    assert days(observed) == list(range(52, 100))
    assert days(forecast) == list(range(99, 112))
    assert not figure.axes[0].collections, "there is no interval to draw"


def test_of_forecasts_that_overlap_those_are_drawn_that_follow_one_another():
    figure = ahead(Series(counting(100), horizon=3), origins=8)  # from rows 89 to 96
    observed, forecast = figure.axes[0].lines
    assert days(observed) == list(range(61, 100)), "the truth goes on under the forecasts"
    assert days(forecast) == [90, 91, 92, 93, 93, 93, 94, 95, 96, 96, 96, 97, 98, 99]
    np.testing.assert_array_equal(forecast.get_ydata(), [190, 1, 2, 3, np.nan, 193, 1, 2, 3, np.nan, 196, 1, 2, 3])


def test_of_very_many_forecasts_the_last_ones_are_drawn_and_a_line_says_so():
    figure = ahead(Series(counting(1500)), origins=1000)
    _, forecast = figure.axes[0].lines
    assert len(forecast.get_ydata()) == 401
    assert days(forecast)[-1] == 1499
    assert figure.get_supxlabel() == "the last 400 values of the forecasts; 600 before them are not drawn"


def test_quantiles_without_a_counterpart_are_no_interval():
    figure = ahead(Series(counting(40)), (0.1, 0.5), (-3, 0))
    assert not figure.axes[0].collections


def test_what_was_missing_is_a_hole_in_what_is_observed():
    raw = counting(40)
    raw.iloc[[33, 34], 1] = np.nan
    observed, _ = ahead(Series(raw)).axes[0].lines
    assert np.flatnonzero(np.isnan(observed.get_ydata().astype(float))).tolist() == [23, 24]


@pytest.fixture
def shops(tmp_path):
    frame = pd.concat([wide(30).assign(unique_id=f"$shop_{number}$") for number in range(8)])
    return own_data(tmp_path, frame, series_column="unique_id")


def test_each_of_the_first_six_series_has_a_panel_that_names_it_and_a_line_says_so(shops, tmp_path):
    figure = ahead(shops, choice="--series NAME ... chooses others")
    assert titles(figure) == [rf"\$shop_{number}\$: y" for number in range(6)]
    assert figure.get_supxlabel() == "6 of 8 series; --series NAME ... chooses others"
    assert figure.axes[-1].get_xlabel() == "ds"
    figure.savefig(tmp_path / "figure.png")


def test_the_first_forecasts_of_a_panel_are_told_as_few_of_many(shops):
    few = table(shops).head(2)
    assert forecast_figure(shops.panel, few, among=8).get_supxlabel() == "2 of 8 series; series=[...] chooses others"
    assert forecast_figure(shops.panel, few).get_supxlabel() == ""


def test_more_than_six_chosen_series_are_small_multiples(shops):
    chosen = [f"$shop_{number}$" for number in (7, 6, 5, 4, 3, 2, 1)]
    figure = ahead(shops, series=chosen)
    assert titles(figure) == [rf"\{name[:-1]}\$: y" for name in chosen]
    figure.draw_without_rendering()
    places = [axes.get_position() for axes in figure.axes]
    rows = [[place.y0 for place in places[first : first + 3]] for first in (0, 3, 6)]
    assert all(np.ptp(row) < 0.05 for row in rows)
    assert rows[0][0] > rows[1][0] > rows[2][0]
    assert figure.get_supxlabel() == ""


def test_a_misspelt_series_gets_a_suggestion(shops):
    with pytest.raises(ConfigError, match=r"series '\$shop_9' has no forecast; did you mean \$shop_\d\$\?; there are "):
        ahead(shops, series=["$shop_9"])
