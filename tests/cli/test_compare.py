import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from forecastlab.cli.compare import compare
from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.compare import find_crossval
from tests.evaluation.folders import LSTM, write_run

FIGURES = [
    "error_by_month",
    "error_per_fold",
    "forecast_fold_1",
    "forecast_fold_2",
    "loss_fold_1",
    "loss_fold_2",
    "split",
]


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """The folder of all runs, below the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "lightning_logs"


@pytest.fixture
def undrawn(monkeypatch):
    """Figures that are made, but not drawn, which takes most of the time."""
    monkeypatch.setattr("forecastlab.evaluation.page.png", lambda figure, colours: b"")


def test_everything_is_written_and_the_table_printed(logs, capsys):
    write_run(logs)
    write_run(logs, "gru", networks={0: LSTM[0]})
    compare(["lstm", "gru", "--output", "out"])
    printed = capsys.readouterr().out
    assert "Test MSE divided by the training variance" in printed
    assert "gru          0.2500*  0.5000*  0.3750*" in printed
    assert "gru has the lower error than lstm, by 0.3750" in printed
    assert printed.endswith(f"report: {os.path.join('out', 'report.html')}\n")
    out = logs.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "comparison.csv",
        "comparison.md",
        "comparison.tex",
        "comparison.txt",
        "figures",
        "report.html",
    ]
    assert (out / "comparison.txt").read_text() in printed
    assert sorted(path.stem for path in (out / "figures").iterdir()) == FIGURES
    for path in (out / "figures").iterdir():
        with Image.open(path) as image:
            image.verify()


def test_the_metric_can_be_the_absolute_error(logs, undrawn, capsys):
    write_run(logs)
    compare(["lstm", "--metric", "mae"])
    assert "Test mean absolute error (°C)" in capsys.readouterr().out
    assert (logs / "comparison" / "comparison.csv").read_text().startswith("model,fold_1,fold_2,mean,")


def test_figures_of_an_earlier_comparison_do_not_stay(logs, undrawn):
    write_run(logs)
    stale = logs / "comparison" / "figures" / "forecast_fold_9.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    own = stale.with_name("my_notes.png")
    own.write_bytes(b"")
    compare(["lstm"])
    assert not stale.exists()
    assert own.exists()


def test_nothing_is_written_when_the_runs_cannot_be_compared(logs):
    write_run(logs)
    write_run(logs, "other", first_day="2021-01-01")
    with pytest.raises(DataError, match="in common"):
        compare(["lstm", "other"])
    assert not (logs / "comparison").exists()


def test_an_experiment_is_its_newest_crossval_run(logs):
    for version in (0, 2, 10):
        write_run(logs, version=version)
    (logs / "lstm" / "version_11").mkdir()  # of fit
    assert find_crossval("lstm", logs).name == "version_10"


def test_a_run_can_be_given_by_its_folder_or_that_of_its_experiment(logs):
    folder = write_run(logs.parent / "elsewhere")
    assert find_crossval(str(folder), logs) == folder
    assert find_crossval(str(folder.parent), logs).resolve() == folder.resolve()


def test_an_unknown_run_is_refused_with_those_there_are(logs):
    write_run(logs)
    with pytest.raises(ConfigError, match="called 'gru'; experiments with crossval runs in lightning_logs: lstm"):
        find_crossval("gru", logs.relative_to(logs.parent))
    with pytest.raises(ConfigError, match="called 'gru'; there is none in empty"):
        find_crossval("gru", Path("empty"))


def test_an_experiment_without_crossval_is_refused(logs):
    (logs / "lstm" / "version_0").mkdir(parents=True)
    with pytest.raises(DataError, match="nor an experiment that has one"):
        find_crossval("lstm", logs)


def test_another_folder_is_refused(logs):
    logs.mkdir()
    with pytest.raises(DataError, match="is not a finished crossval run"):
        find_crossval(str(logs), logs)


@pytest.mark.parametrize("args", [[], ["lstm", "--metric", "rmse"], ["lstm", "--ou", "x"]])
def test_a_wrong_command_line_ends_in_status_2_in_a_few_lines(logs, capsys, args):
    with pytest.raises(SystemExit) as caught:
        compare(args)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) <= 10


def test_rows_that_are_counted_are_cross_validated_and_compared(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = 10 + np.sin(np.arange(90) / 3)
    pd.DataFrame({"y": values}).to_csv("counted.csv", index=False)
    settings = ("--data=TableDataModule", "--data.path=counted.csv", "--data.lookback=4", "--data.splits=2")
    short = ("--trainer.max_epochs=1", "--baselines=persistence", "--experiment=counted")
    assert cli("crossval", *settings, "--model.backbone.hidden_size=4", *short).status == 0
    predictions = pd.read_csv("lightning_logs/counted/version_0/predictions.csv")
    own = predictions[predictions["model"] == "persistence"] if "model" in predictions else predictions
    assert set(own["ds"]) == set(range(30, 90))  # of two folds of 30 rows each
    np.testing.assert_allclose(own["y"], values[own["ds"]], rtol=1e-6)
    assert cli("compare", "counted", "--output", "compared").status == 0
    assert (tmp_path / "compared").is_dir()
