import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.pictures import pictures
from forecastlab.evaluation.report import differences, key_differences, report
from forecastlab.evaluation.results import CrossvalRun
from forecastlab.figures.drawing import LIGHT
from forecastlab.runs.files import write_output
from tests.evaluation.browser import browser, look_at
from tests.evaluation.folders import CONFIG, LSTM, PERSISTENCE, edit, rows, write_run
from tests.evaluation.panels import write_panel

EVIL = "<script>ran = true</script>"
RIDGE = {1: [1, 0, 1, 0], 2: [1, 1, -1, 1]}


def compare(*folders):
    return Comparison.of([CrossvalRun.load(folder) for folder in folders])


@pytest.fixture
def undrawn(monkeypatch):
    """Figures that are made, but not drawn, which takes most of the time."""
    monkeypatch.setattr("forecastlab.evaluation.page.png", lambda figure, colours: b"")


def report_of(folders, path):
    comparison = compare(*folders)
    metric = "mse_scaled"
    write_output(report(comparison, metric, differences(comparison, metric), pictures(comparison, metric)), path)
    return path.read_text()


def test_the_report_holds_the_numbers_the_warning_and_the_configs(tmp_path, undrawn):
    peeked = write_run(tmp_path, "peeked", validation="test", networks={0: LSTM[0]})
    page = report_of([write_run(tmp_path), peeked], tmp_path / "report.html")
    assert "Lowest mean error: peeked (optimistic), 0.3750." in page
    assert "Persistence: 1.5000." in page
    assert "Target T_PK (°C), folds 1, 2, 8 scored values from 2020-01-01 to 2020-01-08." in page
    assert "† best test epoch, optimistic: peeked kept the epoch with the lowest error on the test rows" in page
    assert "Config of lstm/version_0" in page
    assert "Config of peeked/version_0" in page
    assert "class_path: forecastlab.backbones.lstm.LSTM" in page
    assert "has the lower error than" in page


def test_the_report_without_optimism_does_not_warn(tmp_path, undrawn):
    page = report_of([write_run(tmp_path)], tmp_path / "report.html")
    assert "optimistic" not in page
    assert 'class="warning"' not in page


def test_the_report_warns_of_what_is_missing(tmp_path, undrawn):
    folder = write_run(tmp_path)
    (folder / "fold_2" / "seed_9").mkdir()
    page = report_of([folder], tmp_path / "report.html")
    assert re.search(r'class="warning".*unfinished, and left out: fold 2 seed 9', page, re.DOTALL)


def test_every_figure_has_its_place(tmp_path):
    names = [picture.name for picture in pictures(compare(write_run(tmp_path)), "mse_scaled")]
    assert names == [
        "error_per_fold",
        "error_by_month",
        "forecast_fold_1",
        "forecast_fold_2",
        "loss_fold_1",
        "loss_fold_2",
        "split",
    ]


def test_a_longer_horizon_has_its_figure(tmp_path):
    folder = write_run(tmp_path, networks={0: LSTM[0]}, baselines={})
    parts = [rows("lstm", fold, 0, LSTM[0][fold], "2020-01-01") for fold in (1, 2)]
    first = pd.concat(parts)
    second = first.assign(cutoff=(pd.to_datetime(first["cutoff"]) - pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d"))
    pd.concat([first, second]).to_csv(folder / "predictions.csv", index=False)
    comparison = compare(folder)
    drawn = {picture.name: picture for picture in pictures(comparison, "mse_scaled")}
    assert "error_by_step" in drawn
    assert drawn["forecast_fold_1"].caption.startswith("Fold 1, one step ahead: lstm, the best network there")
    drawn["forecast_fold_1"].png()


def test_split_diagrams_appear_once_per_different_split(tmp_path):
    twins = [write_run(tmp_path, name) for name in ("a", "b")]
    peeked = write_run(tmp_path, "peeked", validation="test")
    names = [picture.name for picture in pictures(compare(*twins, peeked), "mse_scaled")]
    assert [name for name in names if name.startswith("split")] == ["split", "split_2"]


def test_of_several_series_the_forecasts_say_whose_they_are(tmp_path):
    drawn = {picture.name: picture for picture in pictures(compare(write_panel(tmp_path)[0]), "mse_scaled")}
    assert drawn["forecast_fold_2"].caption.startswith("Fold 2, s0, one step ahead: net, the best network there")


def test_rows_that_are_counted_have_no_months(tmp_path):
    folder = write_run(tmp_path)

    def count(table):
        for name in ("ds", "cutoff"):
            table[name] = (pd.to_datetime(table[name]) - pd.Timestamp("2019-12-31")).dt.days
        return table

    edit(folder / "predictions.csv", count)
    drawn = {picture.name: picture for picture in pictures(compare(folder), "mse_scaled")}
    assert "error_by_month" not in drawn
    above = drawn["forecast_fold_2"].draw(LIGHT).axes[0]
    assert above.lines[0].get_xdata().tolist() == [5, 6, 7, 8]
    assert set(above.get_xticks()) <= set(range(12))


def test_runs_without_curves_have_no_loss_figures(tmp_path):
    names = [picture.name for picture in pictures(compare(write_run(tmp_path, curves=False)), "mae")]
    assert not [name for name in names if name.startswith("loss")]


def test_the_best_model_is_compared_with_all_others_and_the_best_network_with_persistence(tmp_path):
    comparison = compare(write_run(tmp_path, baselines={"persistence": PERSISTENCE, "ridge": RIDGE}))
    found = differences(comparison, "mse_scaled")
    pairs = [(one.first, one.second) for one in found]
    assert pairs == [("lstm", "ridge"), ("persistence", "ridge"), ("lstm", "persistence")]
    key = [(one.first, one.second) for one in key_differences(comparison, "mse_scaled", found)]
    assert key == [("lstm", "ridge"), ("lstm", "persistence")]


def test_a_lone_model_has_a_report(tmp_path, undrawn):
    page = report_of([write_run(tmp_path, baselines={})], tmp_path / "report.html")
    assert "There is only one model, and nothing to compare it with." in page


def test_a_report_without_networks_is_made(tmp_path, undrawn):
    folder = write_run(tmp_path, networks={}, baselines={"persistence": PERSISTENCE, "ridge": RIDGE})
    page = report_of([folder], tmp_path / "report.html")
    assert "<h1>Baselines</h1>" in page
    assert "Lowest mean error: ridge" in page
    assert "Fold 1: ridge, the best model there, beside what was observed and persistence." in page


def test_many_models_leave_figures_with_few_lines(tmp_path):
    baselines = {f"baseline {number}": {1: [number + 1.0] * 4, 2: [number + 1.0] * 4} for number in range(12)}
    folder = write_run(tmp_path, baselines={"persistence": PERSISTENCE, **baselines})
    drawn = {picture.name: picture for picture in pictures(compare(folder), "mae")}
    assert "The 6 of 14 models that matter most." in drawn["error_by_month"].caption
    drawn["error_per_fold"].png()  # all 14 can be drawn


def test_names_from_files_are_escaped(tmp_path, undrawn):
    changes = {"note": f"</pre>{EVIL}"}
    page = report_of([write_run(tmp_path, EVIL, changes=changes)], tmp_path / "report.html")
    assert "<script" not in page
    assert "&lt;script&gt;ran = true&lt;/script&gt; and baselines" in page


@pytest.fixture(scope="module")
def long_runs(tmp_path_factory):
    """Two runs of two folds and two seeds with names that do not fit a narrow screen."""
    root = tmp_path_factory.mktemp("long")
    random = np.random.default_rng(0)

    def errors(scale):
        return {fold: random.normal(0, scale, 120).tolist() for fold in (1, 2)}

    persistence = errors(2)
    variance = dict.fromkeys((1, 2), 9.0)
    data = {"class_path": CONFIG["data"]["class_path"], "init_args": {"rows": 360, "splits": 2, "path": "x" * 300}}
    names = ("a-very-long-name-of-an-experiment-that-goes-on-and-on", "w" * 60)
    folders = []
    for name in names:
        networks = {seed: errors(1.5) for seed in (0, 1)}
        baselines = {"persistence": persistence, "ridge": persistence}
        folder = write_run(
            root, name, networks=networks, baselines=baselines, variance=variance, changes={"data": data}
        )

        def apart(table):
            day = (table["fold"].astype(int) - 1) * 120
            for column in ("ds", "cutoff"):
                table[column] = (pd.to_datetime(table[column]) + pd.to_timedelta(day, unit="D")).dt.strftime("%Y-%m-%d")
            return table

        edit(folder / "predictions.csv", apart)
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def long_report(long_runs, tmp_path_factory):
    """The report of these runs, with its figures."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    report_of(long_runs, path)
    return path


def test_all_images_are_inside_the_report_for_light_and_dark(long_report):
    images = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", long_report.read_text())
    assert len(images) == 2 * 7
    for data in images:
        Image.open(io.BytesIO(base64.b64decode(data))).verify()


def test_a_browser_shows_the_report_on_a_narrow_screen_without_any_network(long_report, tmp_path):
    found, asked = look_at(long_report, 390, tmp_path)
    assert asked == []
    assert found["width"] == 390
    assert found["scroll"] == 390
    assert found["sticking_out"] == []
    assert len(found["images"]) == 7
    assert all(width > 500 for width in found["images"])
    assert "Who is best" in found["text"]


def test_a_browser_runs_no_script_of_a_name(tmp_path, undrawn):
    page = tmp_path / "report.html"
    report_of([write_run(tmp_path, EVIL)], page)
    found, asked = look_at(page, 390, tmp_path)
    assert found["title"] == f"{EVIL} and baselines"
    assert not found["ran"]
    assert asked == []


def test_the_browser_test_would_notice(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><script>ran = true</script><img src="http://127.0.0.1:9/picture.png">'
        '<div style="width: 500px">wide</div>'
    )
    found, asked = look_at(page, 390, tmp_path)
    assert set(asked) == {"http://127.0.0.1:9/picture.png"}
    assert found["scroll"] > 390
    assert found["sticking_out"]
    assert found["images"] == [0]
    assert found["ran"]


def test_a_missing_browser_skips_unless_it_is_required(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("FORECASTLAB_REQUIRE_BROWSER", "0")
    with pytest.raises(pytest.skip.Exception, match="needs a browser"):
        browser()
    monkeypatch.setenv("FORECASTLAB_REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="needs a browser"):
        browser()


def test_a_wide_screen_is_filled_and_a_panel_is_looked_through_series_by_series(tmp_path, undrawn):
    folder, _ = write_panel(tmp_path)
    report_of([folder], tmp_path / "report.html")
    script = (
        "const right = part => part.getBoundingClientRect().right;"
        "return [...page.querySelectorAll('section')].map(one => [one.querySelector('h2').textContent,"
        "Math.max(...[...one.querySelectorAll('.words, .table, .pictures')].map(right))])"
    )
    found, asked = look_at(tmp_path / "report.html", 1280, tmp_path, script)
    reach = dict(found["answer"])
    assert all(reach[title] > 1150 for title in ("Who is best", "Is the difference more than chance?", "Forecasts"))
    assert (found["scroll"], found["sticking_out"], asked) == (1280, [], [])
    assert "Series by series" in reach
    assert "8 of 8" in found["text"]
