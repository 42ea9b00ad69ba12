"""Cross-validation as a function: what it returns, beside what the command writes and prints."""

import pandas as pd
import pytest
import yaml

import forecastlab
from forecastlab.cli import main
from forecastlab.errors import ConfigError, DataError
from forecastlab.runs.run import CHECKPOINTS
from tests.cli.commands import CONFIG

SMALL = {"data.splits": 3, "data.rows": 200, "trainer.max_epochs": 1, "trainer.enable_progress_bar": False}


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch):
    """Takes back what a command sets for its whole process."""
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "0")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp("python")
    named = {"experiment": "tiny", "trainer.default_root_dir": str(root)}
    return forecastlab.Config.of(yaml.safe_load(CONFIG)).with_values({**SMALL, **named})


@pytest.fixture(scope="module")
def finished(config):
    """A cross-validation of two folds; to be looked at only."""
    said = []
    baselines = ["persistence", "seasonal_naive(season_length=1000)"]
    return forecastlab.crossval(config, folds=[1, 2], baselines=baselines, report=said.append), said


def test_a_call_returns_the_results_of_its_folds(finished):
    done, said = finished
    assert done.failed == {}
    assert done.run.results.groupby("model")["fold"].apply(list).to_dict() == {"persistence": [1, 2], "tiny": [1, 2]}
    assert done.folder.name == "version_0"
    for number, line in enumerate(said, 1):
        assert line.startswith(f"fold {number}: no seasonal_naive(season_length=1000): ")
    assert len(said) == 2


def test_the_table_is_that_of_the_results(finished):
    done, _ = finished
    rows = pd.read_csv(done.folder / "results.csv").set_index(["model", "fold"])
    header, *lines = done.table().to_csv().splitlines()
    assert header.startswith("model,fold_1,fold_2,mean")
    for line in lines:
        name, first, second, *_ = line.split(",")
        assert float(first) == pytest.approx(rows.loc[(name, 1), "test/mse_scaled"])
        assert float(second) == pytest.approx(rows.loc[(name, 2), "test/mse_scaled"])


def test_the_command_goes_on_with_the_run_of_a_call(config, finished, tmp_path, capsys):
    done, _ = finished
    path = tmp_path / "tiny.yaml"
    path.write_text(config.to_yaml())
    trained = {path: path.stat().st_mtime_ns for path in done.folder.rglob(f"{CHECKPOINTS}/*")}
    assert main(["crossval", "--config", str(path), "--folds=1,2", "--baselines=persistence"]) == 0
    printed = capsys.readouterr().out
    assert ": done" not in printed  # no process was begun
    assert forecastlab.crossval(config, folds=[1, 2], baselines=["persistence"]).table().to_text() in printed
    assert {path: path.stat().st_mtime_ns for path in done.folder.rglob(f"{CHECKPOINTS}/*")} == trained
    assert [run.name for run in done.folder.parent.iterdir()] == ["version_0"]


def test_a_fold_that_fails_is_named_and_without_any_there_is_no_table(config, tmp_path):
    root = {"trainer.default_root_dir": str(tmp_path), "model.weights_from": None, "model.optimizer.lr": 1e30}
    done = forecastlab.crossval(config.with_values(root), folds=[1])
    assert done.run is None
    (said,) = done.failed.values()
    assert list(done.failed) == ["fold 1, seed 0"]
    with pytest.raises(DataError, match=r"no fold of .* is finished: ") as raised:
        done.table()
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"folds": [4]}, "folds: expected numbers from 1 to 3, got 4"),
        ({"jobs": 0}, "jobs must be positive, got 0"),
        ({"baselines": ["rigde"]}, "unknown baseline 'rigde'"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_before_anything_is_written(config, tmp_path, arguments, said):
    with pytest.raises(ConfigError, match=said):
        forecastlab.crossval(config.with_values({"trainer.default_root_dir": str(tmp_path)}), **arguments)
    assert not list(tmp_path.iterdir())


def test_calls_are_compared_as_the_command_compares_their_folders(finished, tmp_path, capsys):
    done, _ = finished
    compared = forecastlab.compare([done])
    assert compared.table().to_csv() == forecastlab.compare([str(done.folder)]).table().to_csv()
    assert not list(tmp_path.iterdir())
    assert main(["compare", str(done.folder), "--output", str(tmp_path / "command")]) == 0
    printed = capsys.readouterr().out
    assert all(sentence in printed for sentence in [compared.table().to_text(), *compared.sentences()])
    page = compared.write(tmp_path / "call")
    for path in ("comparison.csv", "report.html"):
        assert (tmp_path / "call" / path).read_text() == (tmp_path / "command" / path).read_text()
    assert page == tmp_path / "call" / "report.html"
