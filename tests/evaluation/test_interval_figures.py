import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from forecastlab.evaluation import interval_figures
from forecastlab.evaluation.calibration import Calibration
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.pictures import pictures
from forecastlab.evaluation.results import CrossvalRun
from forecastlab.figures import drawing
from forecastlab.figures.drawing import DARK, LIGHT, png
from tests.evaluation.folders import write_run
from tests.evaluation.panels import write_panel


def shares(*values):
    return pd.DataFrame({"share": values, "low": np.array(values) - 0.02, "high": np.array(values) + 0.04})


# of 5, 20, 50, 20 and 5 % there are 10, 20, 45, 20 and 5 %
FOUND = Calibration(np.array([0.05, 0.25, 0.75, 0.95]), shares(0.1, 0.3, 0.75, 0.95), shares(0.1, 0.2, 0.45, 0.2, 0.05))
BOTH = {"net": FOUND, "other": FOUND}
DAYS = pd.date_range("2020-01-01", periods=10)


def forecasts(horizon=3, series=("a", "b")):
    """Every forecast of a truth of 0 .. 9 for each series, 1 too high, with an interval of 2 and one of 4."""
    rows = [
        {"unique_id": name, "target": "y", "cutoff": DAYS[at], "ds": DAYS[at + step], "y": at + step}
        for name in series
        for at in range(len(DAYS) - horizon)
        for step in range(1, horizon + 1)
    ]
    table = pd.DataFrame(rows)
    table["forecast"] = table["y"] + 1.0
    for level, far in ((80, 2), (50, 1)):
        table[f"forecast-lo-{level}"], table[f"forecast-hi-{level}"] = table["forecast"] - far, table["forecast"] + far
    return table


DRAWN = {
    "curves": lambda theme: interval_figures.calibration_curves(BOTH, theme=theme),
    "histograms": lambda theme: interval_figures.quantile_histograms(BOTH, theme=theme),
    "fans": lambda theme: interval_figures.fans(forecasts(), model="net", most=60, theme=theme),
}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_a_narrow_png_with_print_that_a_telephone_shows(name, theme):
    figure = DRAWN[name](theme)
    with Image.open(io.BytesIO(png(figure))) as image:
        assert image.width == round(drawing.WIDTH * drawing.DPI)
    assert min(artist.get_fontsize() for artist in figure.findobj(Text) if artist.get_text()) / 72 * 358 >= 10 * 4.2


def test_the_calibration_shows_each_share_on_its_level_and_how_far_it_is_from_it():
    above, below = (figure := DRAWN["curves"](LIGHT)).axes
    right, net, _ = above.lines
    assert right.get_xydata().tolist() == [[0, 0], [100, 100]]
    np.testing.assert_allclose(net.get_xydata(), [[5, 10], [25, 30], [75, 75], [95, 95]])
    np.testing.assert_allclose(below.lines[1].get_ydata(), [5, 5, 0, 0], atol=1e-12)
    ends = below.collections[0].get_segments()
    np.testing.assert_allclose([end[:, 1] for end in ends], [[3, 9], [3, 9], [-2, 4], [-2, 4]])
    assert legend(figure) == ["as promised", "net", "other"]
    assert above.get_xlim() == above.get_ylim() == (0, 100)


def test_the_bars_of_two_models_do_not_hide_each_other():
    below = DRAWN["curves"](LIGHT).axes[1]
    places = [{end[0, 0] for end in bars.get_segments()} for bars in below.collections]
    assert not places[0] & places[1]


def test_the_area_of_a_bar_of_the_histogram_is_the_share_of_the_truths_that_it_holds():
    figure = DRAWN["histograms"](LIGHT)
    (axes, _) = figure.axes
    assert [bar.get_x() for bar in axes.patches] == pytest.approx([0, 5, 25, 75, 95])
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([2, 1, 0.9, 1, 1])
    assert sum(bar.get_width() * bar.get_height() for bar in axes.patches) == pytest.approx(100)
    assert [one.get_title(loc="left") for one in figure.axes] == ["net: truths ÷ promised", "other: truths ÷ promised"]


def test_fans_are_the_last_forecasts_that_follow_one_another():
    figure = interval_figures.fans(forecasts(), model="net", unit="kWh", most=6)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a: y (kWh)", "b: y (kWh)"]
    observed, forecast = figure.axes[0].lines
    np.testing.assert_array_equal(observed.get_ydata(), [3, 4, 5, 6, 7, 8, 9])
    # from day 3 and from day 6, each beginning at the truth
    np.testing.assert_array_equal(forecast.get_ydata(), [3, 5, 6, 7, np.nan, 6, 8, 9, 10])
    assert legend(figure) == ["observed", "net", "80 % interval", "50 % interval"]
    wide, narrow = (interval.get_paths()[0].vertices[:, 1].max() for interval in figure.axes[0].collections)
    assert (wide, narrow) == (9, 8)  # of the first forecast, which reaches to 7


def test_rows_that_are_counted_have_fans_too():
    table = forecasts(1, ["a"])
    for name in ("ds", "cutoff"):
        table[name] = (table[name] - DAYS[0]).dt.days
    axes = interval_figures.fans(table, model="net", most=60).axes[0]
    assert axes.lines[1].get_xdata().tolist() == list(range(10))
    assert all(place == int(place) for place in axes.get_xticks())


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    return CrossvalRun.load(write_panel(tmp_path_factory.mktemp("panel"))[0])


def test_a_comparison_draws_the_intervals_of_the_models_that_have_any(panel):
    found = {picture.name: picture for picture in pictures(Comparison.of([panel]), "mse_scaled")}
    assert {"calibration", "calibration_histogram", "fan_1"} <= set(found)
    assert "95% intervals of the share" in found["calibration"].caption
    fan = found["fan_1"]
    assert fan.caption == (
        "Fold 2: the last test forecasts of net with their intervals, beside what was observed. 4 of 8 series, from "
        "the lowest error down to the highest."
    )
    titles = [axes.get_title(loc="left") for axes in fan.draw(LIGHT).axes]
    # the scatter of series 0 to 7 grows with their numbers
    assert (titles[0], len(titles)) == ("s0: y", 4)


def test_a_comparison_without_intervals_draws_none(tmp_path):
    comparison = Comparison.of([CrossvalRun.load(write_run(tmp_path))])
    names = [picture.name for picture in pictures(comparison, "mse_scaled")]
    assert not [name for name in names if name.startswith(("calibration", "fan"))]


def test_a_single_origin_in_each_fold_is_drawn_without_bars(tmp_path):
    run = CrossvalRun.load(write_panel(tmp_path, origins=1)[0])
    found = {picture.name: picture for picture in pictures(Comparison.of([run]), "mse_scaled")}
    assert "There is one origin in a fold" in found["calibration"].caption
    for name in ("calibration", "calibration_histogram", "fan_1"):
        found[name].png()
