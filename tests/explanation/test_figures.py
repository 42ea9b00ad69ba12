import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.text import Text
from PIL import Image

from forecastlab.explanation import figures
from forecastlab.explanation.attention import Attention
from forecastlab.figures.drawing import DARK, LIGHT, WIDTH, png

TIMES = pd.date_range("2020-01-01", periods=31, freq="D")
ROWS = pd.DataFrame(
    {"cutoff": TIMES[:-1], "ds": TIMES[1:], "y": np.arange(30.0), "forecast": np.arange(30.0) + 1},
)
GATE = np.random.default_rng(0).uniform(size=(30, 5)) * [0.1, 0.9, 0.5, 0.3, 0.7]
CELL = np.random.default_rng(1).normal(size=(30, 5))
FEATURES = pd.DataFrame({"mse": np.arange(20.0), "mse_std": 0.5}, [f"f{number}" for number in range(20)])
GROUPS = pd.DataFrame({"mse": [3.0, -1.0], "mse_std": [0.1, 0.2]}, ["f", "g"])


def attention(heads=1, matrix=False, columns=12):
    weights = np.random.default_rng(2).uniform(size=(30, heads, 40 if matrix else columns))
    if matrix:
        weights *= np.arange(40) <= np.arange(10, 40)[:, None, None]
    weights /= weights.sum(2, keepdims=True)
    names = [f"head {number}" for number in range(1, heads + 1)]
    if matrix:
        steps = pd.date_range(end=TIMES[29], periods=40, freq="D")
        return Attention(weights, names, np.arange(10, 40), steps)
    return Attention(weights, names, np.full(30, columns - 1))


DRAWN = {
    "gates": lambda theme: figures.signals_over_time(
        ROWS, {"forget gate": GATE, "cell": CELL}, target="T_PK", place="branches.0, layer 1", theme=theme
    ),
    "one unit": lambda theme: figures.signals_over_time(
        ROWS[:1], {"forget gate": GATE[:1, :1]}, target="T_PK", place="backbone", theme=theme
    ),
    "windows": lambda theme: figures.attention_map(ROWS["cutoff"], attention(), name="backbone, layer 0", theme=theme),
    "matrix": lambda theme: figures.attention_map(
        ROWS["cutoff"], attention(2, matrix=True), name="backbone, layer 0", theme=theme
    ),
    "many heads": lambda theme: figures.attention_map(ROWS["cutoff"], attention(8), name="decoder", theme=theme),
    "importance": lambda theme: figures.importance(FEATURES, GROUPS, value="mse", label="MSE", theme=theme),
    "without groups": lambda theme: figures.importance(FEATURES, GROUPS[:0], value="mse", label="MSE", theme=theme),
    "lags": lambda theme: figures.by_lag(pd.Series(0.5 ** np.arange(40.0)), label="contribution", theme=theme),
}


def texts(figure):
    return [artist.get_text() for artist in figure.findobj(Text) if artist.get_text()]


def meshes(figure):
    return [mesh for axes in figure.axes for mesh in axes.findobj(QuadMesh) if mesh.get_array().size > 256]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_drawn_narrow_and_without_a_warning(name, theme):
    with Image.open(io.BytesIO(png(DRAWN[name](theme), 40))) as image:
        assert image.width == WIDTH * 40


def test_units_are_sorted_by_their_mean_and_gates_have_one_scale():
    figure = DRAWN["gates"](LIGHT)
    gates, cells = (
        next(mesh for mesh in axes.collections if isinstance(mesh, QuadMesh))
        for axes in figure.axes
        if axes.get_title(loc="left")
        in ("forget gate, 5 units, sorted by their mean", "cell, 5 units, sorted by their mean")
    )
    drawn = np.asarray(gates.get_array()).reshape(5, 30)
    assert (np.diff(drawn.mean(1)) > 0).all()
    np.testing.assert_array_equal(np.sort(drawn[:, 0]), np.sort(GATE[0]))
    assert gates.get_clim() == (0, 1)
    low, high = cells.get_clim()
    assert low == -high


def test_forecasts_stand_above_on_the_same_axis_at_the_time_they_are_for():
    figure = DRAWN["gates"](LIGHT)
    top = figure.axes[0]
    assert top.get_title(loc="left") == "T_PK; below: branches.0, layer 1"
    observed, forecast = top.lines
    assert list(observed.get_ydata()) == list(ROWS["y"])
    assert list(pd.DatetimeIndex(forecast.get_xdata())) == list(ROWS["ds"])
    panels = [axes for axes in figure.axes[1:] if axes.get_shared_x_axes().joined(top, axes)]
    assert len(panels) == 4
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["observed", "forecast", "mean of the units", "10 to 90 % of them"]


def test_the_mean_of_the_units_is_drawn_below_them():
    lines = [axes.lines[0] for axes in DRAWN["gates"](LIGHT).axes if len(axes.lines) == 1]
    np.testing.assert_allclose(lines[0].get_ydata(), GATE.mean(1))
    np.testing.assert_allclose(lines[1].get_ydata(), CELL.mean(1))


@pytest.mark.parametrize(("name", "labels"), [("gates", ["forget gate", "cell"]), ("matrix", ["weight", "weight"])])
def test_each_colour_bar_says_what_its_colours_are(name, labels):
    assert [axes.get_ylabel() for axes in DRAWN[name](LIGHT).axes if axes.get_ylabel()] == labels


def test_steps_of_the_horizon_keep_their_order():
    figure = figures.signals_over_time(ROWS, {"ahead": GATE}, target="y", place="decoder", of_steps=True)
    drawn = np.asarray(
        next(mesh for mesh in figure.axes[1].collections if isinstance(mesh, QuadMesh)).get_array()
    ).reshape(5, 30)
    np.testing.assert_array_equal(drawn, GATE.T)
    assert "ahead, 5 steps of the horizon" in texts(figure)


def test_the_lines_of_the_attention_are_told_apart():
    for name, heads in (("windows", []), ("matrix", ["head 1", "head 2"])):
        named = [text.get_text() for text in DRAWN[name](LIGHT).legends[0].get_texts()]
        assert named == ["mean over origins", "last origin", *heads]


def test_error_bars_say_what_they_are():
    assert "MSE\nlines: standard deviation over the repetitions" in texts(DRAWN["importance"](LIGHT))
    plain = figures.importance(FEATURES[["mse"]], GROUPS[:0], value="mse", label="MSE")
    assert "MSE" in texts(plain)


def test_what_an_origin_cannot_see_is_left_white():
    figure = DRAWN["matrix"](LIGHT)
    drawn = np.ma.filled(meshes(figure)[0].get_array(), np.nan).reshape(30, 40)
    assert np.isnan(drawn[0, 11:]).all()
    assert not np.isnan(drawn[0, :11]).any()


def test_few_heads_are_drawn_one_by_one_and_many_by_their_mean():
    assert len(meshes(DRAWN["matrix"](LIGHT))) == 2
    figure = DRAWN["many heads"](LIGHT)
    assert len(meshes(figure)) == 1
    assert "decoder, mean of 8 heads: weight at each origin" in texts(figure)
    drawn = np.asarray(meshes(figure)[0].get_array()).reshape(30, 12)
    np.testing.assert_allclose(drawn, attention(8).weights.mean(1))


def test_the_past_is_on_the_left():
    for name in ("windows", "lags"):
        last = [axes for axes in DRAWN[name](LIGHT).axes if axes.get_xlabel() == "steps back"][-1]
        assert last.xaxis_inverted()


def test_lags_that_add_nothing_are_left_out():
    (axes,) = DRAWN["lags"](LIGHT).axes
    assert len(axes.lines[0].get_xdata()) == 11  # the first ten have 0.999


def test_the_most_important_features_come_first_with_their_spread():
    above, below = DRAWN["importance"](LIGHT).axes
    assert above.get_title(loc="left") == "features, the 16 largest of 20"
    assert [label.get_text() for label in above.get_yticklabels()][:2] == ["f19", "f18"]
    assert [bar.get_width() for bar in below.patches] == [3.0, -1.0]
    assert len(above.containers) == 2  # bars and error bars
    assert len(DRAWN["without groups"](LIGHT).axes) == 1
