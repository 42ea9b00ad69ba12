"""A benchmark of development tasks with a small network: trained, scored, resumed, logged."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecastlab.benchmarks import log as scorings
from forecastlab.benchmarks.benchmark import benchmark
from forecastlab.benchmarks.forecasting import Forecasts
from forecastlab.benchmarks.recipes import recipe_of
from forecastlab.benchmarks.scores import Scores
from forecastlab.benchmarks.suites import SUITES, load
from forecastlab.benchmarks.summary import COLUMNS
from forecastlab.benchmarks.windows import TestWindows
from forecastlab.cli import main
from forecastlab.errors import ConfigError
from forecastlab.experiment.proposal import proposed
from forecastlab.network import factory
from forecastlab.network.network import Network

pytestmark = pytest.mark.real
BIRTHS = "us_births/D/short"


@pytest.fixture(autouse=True)
def _allow_recipes_of_tests(monkeypatch):
    monkeypatch.setattr(factory, "_ALLOWED", ["tests"])
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")


def run(root, files, suite="gift-offline", recipe="tests.suites.recipes.tiny", tasks=(BIRTHS,), **more):
    settings = {"trainer.default_root_dir": str(root), **more.pop("settings", {})}
    told = []
    done = benchmark(suite, recipe, settings, tasks=tasks, data=files, log=root / "log.csv", report=told.append, **more)
    return done, told


@pytest.fixture(scope="module")
def finished(tmp_path_factory, published_files):
    """The root of a benchmark of one task and two seeds, and what it came to; to be looked at only."""
    root = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "_ALLOWED", ["tests"])
        done, _ = run(root, published_files, seeds=(0, 1), jobs=2)
    assert not done.failed
    return root, done


def seeds_of(done):
    return {path.name: path for path in (done.folder / "us_births_D_short").glob("seed_*")}


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}


def test_results_are_summaries_of_ours_and_of_the_baseline(finished):
    _, done = finished
    results = pd.read_csv(done.folder / "results.csv")
    assert tuple(results.columns) == COLUMNS
    assert results["model_name"].tolist() == ["forecastlab tests.suites.recipes.tiny", "seasonal_naive"]
    assert (results["test_error"] == results["MASE"]).all()
    assert results["MASE"].tolist()[1] == pytest.approx(1.86484, abs=1e-5)
    ours = results.iloc[0]
    assert (ours["task_name"], ours["horizon"], ours["num_windows"], ours["num_forecasts"]) == (BIRTHS, 30, 20, 20)
    assert (ours["seeds"], ours["backbone"], ours["fallen_back"]) == ("0 1", "LSTM", 0)
    assert min(ours["training_time_s"], ours["inference_time_s"], ours["cpu_s"]) > 0


def test_figures_are_those_of_the_mean_forecast_of_the_best_checkpoints(finished, published_files):
    _, done = finished
    task = SUITES["gift-offline"].tasks[BIRTHS]
    series = load(task, published_files)
    networks = [Network.load(path / "checkpoints" / "best.ckpt") for path in seeds_of(done).values()]
    scores, windows = Scores(task, series), TestWindows.of(task, series)
    scores.add(windows, Forecasts(networks, task, series).of(windows))
    assert scores.figures() == pytest.approx({name: done.results[name].iloc[0] for name in task.figures})


def test_only_rows_before_the_first_window_are_given_to_the_training(finished, published_files):
    _, done = finished
    values = load(SUITES["gift-offline"].tasks[BIRTHS], published_files).values[0]
    rows = pd.read_csv(done.folder / "us_births_D_short" / "rows.csv")
    assert rows["y"].to_numpy() == pytest.approx(values[: -20 * 30])
    assert rows["ds"].iloc[0] == "1969-01-01"


def test_seeds_give_networks_of_their_own_that_train_on_all_these_rows(finished):
    _, done = finished
    seeds = seeds_of(done)
    assert set(seeds) == {"seed_0", "seed_1"}
    weights = [Network.load(path / "checkpoints" / "best.ckpt").state_dict() for path in seeds.values()]
    assert any(not np.array_equal(weights[0][name].numpy(), weights[1][name].numpy()) for name in weights[0])
    for name, path in seeds.items():
        config = (path / "config.yaml").read_text()
        assert "fold: all" in config
        assert f"seed_everything: {name[-1]}" in config


def test_a_repeated_call_does_nothing_again_and_one_of_other_seeds_trains_only_those(finished, published_files):
    root, done = finished
    before = written(done.folder)
    again, _ = run(root, published_files, seeds=(0, 1))
    assert again.folder == done.folder
    assert written(done.folder) == before
    pd.testing.assert_frame_equal(again.results, done.results)
    other, _ = run(root, published_files, seeds=(1,))
    assert other.folder == done.folder
    after = written(done.folder)
    assert {path.name for path in after if after[path] != before[path]} == {"scored.json"}
    assert other.results["MASE"].iloc[0] != done.results["MASE"].iloc[0]


def test_a_call_that_was_interrupted_goes_on_and_comes_to_the_same(tmp_path, published_files):
    done, _ = run(tmp_path, published_files, settings={"trainer.max_epochs": 3})
    folder = done.folder / "us_births_D_short"
    before = json.loads((folder / "seed_0" / "trained.json").read_text())
    for path in (folder / "scored.json", folder / "seed_0" / "trained.json"):
        path.unlink()
    again, _ = run(tmp_path, published_files, settings={"trainer.max_epochs": 3})
    assert again.folder == done.folder
    after = json.loads((folder / "seed_0" / "trained.json").read_text())
    assert (before["resumed"], after["resumed"]) == (False, True)
    assert after["epochs"] == before["epochs"]
    assert again.results["MASE"].tolist() == done.results["MASE"].tolist()


def test_scorings_of_other_tasks_are_logged_once_and_a_second_one_says_so(tmp_path, published_files, monkeypatch):
    tasks = SUITES["gift-offline"].tasks
    monkeypatch.setitem(tasks, BIRTHS, replace(tasks[BIRTHS], development=False))
    done, told = run(tmp_path, published_files)
    run(tmp_path, published_files)
    (line,) = scorings.read(tmp_path / "log.csv").to_dict("records")
    assert (line["suite"], line["task"], line["seeds"], line["backbone"]) == ("gift-offline", BIRTHS, "0", "LSTM")
    assert float(line["MASE"]) == pytest.approx(done.results["MASE"].iloc[0])
    assert float(line["cpu_s"]) > 0
    assert told == []
    _, told = run(tmp_path, published_files, new=True)
    assert len(scorings.read(tmp_path / "log.csv")) == 2
    assert ["scoring 2 by version" in text for text in told] == [True]


def test_development_tasks_are_not_logged(finished):
    root, _ = finished
    assert not (root / "log.csv").exists()


def test_variables_of_one_system_are_all_forecast_and_a_task_that_fails_leaves_the_others(tmp_path, published_files):
    done, _ = run(
        tmp_path, published_files, "ltsf", "tests.suites.recipes.refusing", ("illness/24", "illness/36"), jobs=2
    )
    assert done.failed == {"illness/24, seed 0": "failed: these series are too short"}
    ours = done.results.iloc[0]
    assert (ours["task_name"], ours["num_forecasts"]) == ("illness/36", 158 * 7)
    assert ours["MSE"] == ours["test_error"] > 0
    assert "27 of 28 tasks are not scored" in str(done)
    page = (done.folder / "report.html").read_text()
    assert "illness/36" in page
    assert "SegRNN" in page


def test_a_recipe_is_auto_or_a_function_of_an_allowed_package():
    assert recipe_of("auto") is proposed
    for name, expected in {
        "best": "auto or package.module.function",
        "os.path.join": "--allow_import os",
        "tests.suites.recipes.none": "cannot be imported",
        "tests.suites.recipes.not_a_function": "expected a function",
    }.items():
        with pytest.raises(ConfigError, match=expected):
            recipe_of(name)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["gift"], "invalid choice: 'gift'"),
        (["m4", "--tasks", "daily"], "m4 has no task 'daily'; it has hourly, weekly"),
        (["m4", "--seeds", "0,0"], "expected different numbers"),
        (["m4", "--jobs", "0"], "--jobs must be positive"),
        (["m4", "--epochs", "3"], "benchmark has no option --epochs"),
        (["m4", "--data.fold", "1"], "data.fold is the benchmark's to set"),
        (["m4", "--recipe", "best"], "expected a recipe, auto or"),
        (["m4", "--data.path", "nowhere"], "there is no folder"),
        (["m4", "--trainer.max_epochs"], "expected a value"),
    ],
)
def test_what_cannot_be_meant_ends_in_status_2_before_anything_is_trained(
    words, expected, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *words]) == 2
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_tables_and_takes_values_of_the_config(tmp_path, published_files, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--recipe", "tests.suites.recipes.tiny", "--tasks", BIRTHS, "--data.path", str(published_files)]
    assert main(["benchmark", "gift-offline", *words, "--model.backbone", "GRU", "--model.backbone.hidden_size=3"]) == 0
    printed = capsys.readouterr().out
    assert "forecastlab tests.suites.recipes.tiny (GRU)" in printed
    assert "xLSTM-Mixer" in printed
    assert "geometric mean of the errors relative to the seasonal naive" in printed
    folder = tmp_path / "lightning_logs" / "benchmark-gift-offline" / "version_0"
    assert "hidden_size: 3" in (folder / "us_births_D_short" / "seed_0" / "config.yaml").read_text()
    assert (folder / "report.html").is_file()
