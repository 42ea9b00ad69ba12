import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

from forecastlab.data.folds import Fold
from forecastlab.evaluation import figures
from forecastlab.figures import drawing, searches
from forecastlab.figures.drawing import DARK, LIGHT, date_axis, panels_of, png, styles

DAYS = pd.date_range("2020-01-01", periods=60)
MODELS = ["lstm", "gru", "persistence"]


def curve(values, validation=None, step=1):
    epochs = np.arange(len(values), dtype=float)
    loss = np.full(len(values), np.nan)
    loss[::step] = (values if validation is None else validation)[::step]
    return pd.DataFrame({"epoch": epochs, "train/loss": values, "val/loss": loss})


CURVES = {
    "lstm": [curve(np.linspace(1, 0.4, 20), np.abs(np.arange(20) - 12) / 20 + 0.5)],
    "gru": [curve(np.full(10, 0.5)), curve(np.full(12, 0.7), step=5)],
}


def errors():
    index = pd.MultiIndex.from_arrays([DAYS, np.tile([1, 2], 30)], names=["ds", "step"])
    return pd.DataFrame({"lstm": np.where(DAYS.month == 1, 1.0, 3.0), "gru": np.tile([2.0, 6.0], 30)}, index=index)


def text_of(figure):
    return [artist.get_text() for artist in figure.findobj(Text) if artist.get_text()]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


ROWS = pd.DataFrame({"ds": DAYS, "y": np.arange(60.0), "lstm": np.arange(60.0) + 1, "persistence": np.arange(60.0) - 1})
FOLDS = [Fold(range(1, 40), range(40, 50), range(50, 75), 50), Fold(range(1, 60), range(60, 75), range(75, 100), 75)]
TRIALS = pd.DataFrame(
    {
        "trial": range(6),
        "state": ["complete", "pruned", "complete", "fail", "complete", "running"],
        "val/loss": [0.5, 0.9, 0.6, np.nan, 0.4, np.nan],
    }
)
RATES = pd.DataFrame(
    {"learning_rate": [1e-4, 1e-3, 1e-2, 1e-1], "loss": [1, 0.5, 0.2, 90], "smoothed": [1, 0.6, 0.3, 50]}
)
DRAWN = {
    "losses": lambda theme: figures.loss_curves(CURVES, theme=theme),
    "forecasts": lambda theme: figures.forecasts(ROWS, ["lstm", "persistence"], target="T_PK", unit="°C", theme=theme),
    "months": lambda theme: figures.error_by_month(errors(), label="test MAE (°C)", theme=theme),
    "steps": lambda theme: figures.error_by_step(errors(), label="test MAE (°C)", theme=theme),
    "folds": lambda theme: figures.error_per_fold(
        pd.DataFrame({fold: [0.1, 0.2, 0.3] for fold in range(1, 6)}, MODELS),
        label="test MSE ÷ training variance",
        reference="persistence",
        theme=theme,
    ),
    "split": lambda theme: figures.split_diagram(FOLDS, theme=theme),
    "study": lambda theme: searches.study_history(TRIALS, label="validation loss", theme=theme),
    "importance": lambda theme: searches.importances(pd.Series({"optimizer.lr": 0.7, "lookback": 0.3}), theme=theme),
    "rates": lambda theme: searches.learning_rates(RATES, suggested=1e-3, given=1e-2, theme=theme),
}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_a_narrow_png_on_the_themes_paper(name, theme):
    with Image.open(io.BytesIO(png(DRAWN[name](theme)))) as image:
        assert image.format == "PNG"
        assert image.width == round(drawing.WIDTH * drawing.DPI)
        paper = tuple(int(theme.paper[at : at + 2], 16) for at in (1, 3, 5))
        corner = image.convert("RGB").getpixel((2, 2))
        assert max(abs(one - other) for one, other in zip(corner, paper, strict=True)) <= 3


@pytest.mark.parametrize("name", DRAWN)
def test_all_print_is_large_enough_for_a_telephone(name):
    # a figure of 4.2 inches is shown 358 pixels wide on a screen of 390
    figure = DRAWN[name](LIGHT)
    sizes = [artist.get_fontsize() for artist in figure.findobj(Text) if artist.get_text()]
    assert min(sizes) / 72 * 358 / drawing.WIDTH >= 10


def test_a_figure_is_the_same_each_time():
    assert png(DRAWN["months"](LIGHT)) == png(DRAWN["months"](LIGHT))


def test_figures_leave_pyplot_alone():
    code = (
        "import sys, pandas as pd\n"
        "from forecastlab.evaluation import figures\n"
        "from forecastlab.figures import drawing\n"
        "table = pd.DataFrame({1: [0.5]}, ['a'])\n"
        "drawing.png(figures.error_per_fold(table, label='x'))\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_loss_curves_show_training_and_validation_with_the_best_epoch():
    figure = figures.loss_curves(CURVES, log=False)
    above, below = figure.axes
    assert legend(figure) == ["lstm", "gru"]
    assert above.get_title(loc="left") == "training loss (scaled units)"
    assert below.get_title(loc="left") == "validation loss (scaled units)"
    assert below.get_xlabel() == "epoch"
    np.testing.assert_allclose(above.lines[0].get_ydata(), np.linspace(1, 0.4, 20))
    assert (below.lines[1].get_xdata()[0], below.lines[1].get_ydata()[0]) == (12, 0.5)
    # the mean of the seeds, and of the second alone where the first has stopped
    np.testing.assert_allclose(above.lines[1].get_ydata(), [0.6] * 10 + [0.7] * 2)


def test_losses_that_were_not_logged_leave_no_gap():
    below = figures.loss_curves({"gru": [curve(np.full(12, 0.7), step=5)]}).axes[1]
    assert below.lines[0].get_xdata().tolist() == [0, 5, 10]


@pytest.mark.parametrize(("low", "scale"), [(0.5, "linear"), (0.001, "log"), (-0.5, "linear")])
def test_the_loss_axis_is_logarithmic_where_losses_fall_far(low, scale):
    figure = figures.loss_curves({"lstm": [curve(np.linspace(1, low, 20))]})
    assert [axes.get_yscale() for axes in figure.axes] == [scale] * 2


def test_the_loss_axis_can_be_chosen():
    assert figures.loss_curves(CURVES, log=True).axes[0].get_yscale() == "log"
    assert "training loss (scaled units), log scale" in text_of(figures.loss_curves(CURVES, log=True))


def test_curves_without_any_validation_loss_are_drawn():
    table = curve(np.linspace(1, 0.5, 5)).drop(columns="val/loss")
    png(figures.loss_curves({"lstm": [table]}))


def test_forecasts_show_the_truth_the_forecast_and_its_error_in_the_targets_unit():
    figure = DRAWN["forecasts"](LIGHT)
    above, below = figure.axes
    assert legend(figure) == ["observed", "lstm", "persistence"]
    assert above.get_title(loc="left") == "T_PK (°C)"
    assert below.get_title(loc="left") == "forecast minus observed (°C)"
    np.testing.assert_array_equal(above.lines[0].get_ydata(), np.arange(60))
    np.testing.assert_array_equal(below.lines[1].get_ydata(), np.ones(60))
    assert to_hex(above.lines[2].get_color()) == LIGHT.muted


def test_errors_are_averaged_by_month():
    axes = figures.error_by_month(errors(), label="test MAE (°C)").axes[0]
    assert axes.get_title(loc="left") == "test MAE (°C)"
    assert axes.get_xlabel() == "month of the forecast value"
    # January has 31 days: 16 of step 1 and 15 of step 2
    np.testing.assert_allclose(axes.lines[0].get_ydata()[:2], [1, 3])
    assert axes.lines[1].get_ydata()[0] == pytest.approx((16 * 2 + 15 * 6) / 31)
    assert np.isnan(axes.lines[0].get_ydata()[2:]).all()


def test_lines_that_lie_far_from_0_are_not_pressed_together():
    index = errors().index
    near = pd.DataFrame({"a": 0.9, "b": 1.0}, index=index)
    assert figures.error_by_step(near, label="x").axes[0].get_ylim()[0] > 0.8
    far = pd.DataFrame({"a": 0.2, "b": 1.0}, index=index)
    assert figures.error_by_step(far, label="x").axes[0].get_ylim()[0] == 0


def test_the_axis_of_months_holds_those_that_were_forecast():
    axes = figures.error_by_month(errors(), label="x").axes[0]
    assert axes.get_xlim() == pytest.approx((0.6, 2.4))  # January and February


@pytest.mark.parametrize("wide", [False, True])
def test_series_are_counted_by_the_size_of_their_error(wide):
    each = pd.DataFrame({"a": [1.0, 2, 2, 3, 40 if wide else 4, np.inf], "b": [3.0] * 6})
    axes = figures.error_over_series(each, label="test MAE (°C)").axes[0]
    assert axes.get_xscale() == ("log" if wide else "linear")
    assert max(axes.patches[1].get_xy()[:, 1]) == 6  # all series of b have one error
    assert [line.get_xdata()[0] for line in axes.lines] == [2, 3]  # the medians of what is finite


def test_a_histogram_of_equal_errors_is_drawn():
    assert figures.error_over_series(pd.DataFrame({"a": [2.0, 2.0]}), label="MAE").axes[0].get_xlim()[0] <= 2


def test_errors_are_averaged_by_step():
    axes = figures.error_by_step(errors(), label="test MAE (°C)").axes[0]
    assert axes.lines[1].get_xdata().tolist() == [1, 2]
    assert axes.lines[1].get_ydata().tolist() == [2, 6]


def test_bars_show_every_model_in_every_fold():
    values = pd.DataFrame({1: [0.1, 0.3], 2: [0.2, 0.4], 3: [0.3, 0.1], 4: [0.4, 0.2]}, ["lstm", "persistence"])
    figure = figures.error_per_fold(values, label="test MSE ÷ training variance", reference="persistence")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["fold 1", "fold 2", "fold 3", "fold 4"]
    for axes, fold in zip(figure.axes, values, strict=True):
        assert [bar.get_width() for bar in axes.patches] == values[fold].tolist()
        assert axes.lines[0].get_xdata()[0] == values.loc["persistence", fold]
    assert "test MSE ÷ training variance\ndashed: persistence" in text_of(figure)


def test_a_model_that_is_ten_times_worse_does_not_hide_how_the_others_differ():
    values = pd.DataFrame({1: [0.07, 0.08, 1.8], 2: [0.09, 0.06, 2.1]}, ["lstm", "gru", "persistence"])
    figure = figures.error_per_fold(values, label="test MSE", reference="persistence")
    for axes, fold in zip(figure.axes, values, strict=True):
        assert axes.get_xscale() == "log"
        assert axes.collections[0].get_offsets()[:, 0].tolist() == values[fold].tolist()
    assert "test MSE, log scale\ndashed: persistence" in text_of(figure)
    table = errors()
    table.iloc[:, 0] = 50 * table.iloc[:, 1]
    axes = figures.error_by_step(table, label="test MAE (°C)").axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_title(loc="left").endswith(", log scale")
    assert figures.error_by_step(errors(), label="test MAE").axes[0].get_yscale() == "linear"


def test_the_split_diagram_shows_each_range():
    axes = figures.split_diagram(FOLDS).axes[0]
    bars = [(round(bar.get_x()), round(bar.get_x() + bar.get_width())) for bar in axes.patches]
    assert bars == [(1, 40), (40, 50), (50, 75), (1, 60), (60, 75), (75, 100)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fold 1", "fold 2"]
    assert axes.get_xlabel() == "row of the target"


def test_the_split_diagram_says_that_the_test_rows_validate():
    figure = figures.split_diagram([Fold(range(1, 50), range(50, 75), range(50, 75), 50)])
    assert legend(figure) == ["fit", "validation = test"]
    assert len(figure.axes[0].patches) == 2


def test_a_model_looks_the_same_in_all_figures():
    order = ["a", "b", "c"]
    assert styles(["c"], order, LIGHT) == [styles(order, order, LIGHT)[2]]


def test_twenty_models_look_different():
    names = [str(number) for number in range(18)]
    assert len({str(style) for style in styles(names, names, LIGHT)}) == 18


@pytest.mark.parametrize("name", ["$x_{", "_hidden", "\\frac{", "a" * 100, "tab\tand\x1b[0m", "長短期記憶"])
def test_a_strange_name_is_drawn_as_it_is(name):
    table = pd.DataFrame({"lstm": [1.0, 2.0], name: [1.0, 2.0]}, index=errors().index[:2])
    figure = figures.error_by_month(table, label="test MAE (°C)")
    png(figure)
    assert len(legend(figure)) == 2
    png(figures.error_per_fold(pd.DataFrame({1: [0.5]}, [name]), label="x", reference=name))


def test_the_history_of_a_study_tells_finished_from_pruned_trials_and_shows_the_best_so_far():
    figure = searches.study_history(TRIALS, label="validation loss")
    lines = dict(zip(legend(figure), figure.axes[0].lines, strict=True))
    assert lines["pruned"].get_xydata().tolist() == [[1, 0.9]]
    assert lines["finished"].get_xydata().tolist() == [[0, 0.5], [2, 0.6], [4, 0.4]]
    assert lines["best so far"].get_ydata().tolist() == [0.5, 0.5, 0.4]


def test_importances_are_bars_from_the_greatest_down():
    (axes,) = DRAWN["importance"](LIGHT).axes
    assert [bar.get_width() for bar in axes.patches] == [0.7, 0.3]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["optimizer.lr", "lookback"]
    low, high = axes.get_ylim()
    assert low > high


def test_the_learning_rates_are_marked_and_a_loss_that_diverges_does_not_hide_the_rest():
    (axes,) = DRAWN["rates"](LIGHT).axes
    assert axes.get_xscale() == "log"
    assert [line.get_xdata()[0] for line in axes.lines[2:]] == [1e-3, 1e-2]
    assert axes.get_ylim()[1] < 2


@pytest.mark.parametrize(("unit", "most"), [("min", 200), ("h", 80), ("D", 120), ("MS", 60), ("YS", 40)])
def test_any_range_of_times_has_ticks(unit, most):
    for steps in range(1, most):
        _, (axes,) = panels_of(1, 2.0, LIGHT)
        axes.plot(pd.date_range("1949-01-01", periods=steps + 1, freq=unit), np.zeros(steps + 1))
        date_axis(axes.xaxis)
        assert 2 <= len(axes.get_xticks()) <= 8, (unit, steps)
