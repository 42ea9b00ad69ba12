"""Rows that trained the weights are not scored, whichever command is told to, in whatever words."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.cli.commands import fit, folder

CONFIG = """
data:
  class_path: TableDataModule
  init_args: {path: noise.csv, lookback: 4, splits: 5, fold: 5, batch_size: 100}
model:
  backbone: {class_path: LSTM, init_args: {hidden_size: 4}}
"""


def noise(rows, seed=0):
    values = np.random.default_rng(seed).normal(size=rows).round(6)
    return pd.DataFrame({"ds": pd.date_range("2023-01-01", periods=rows), "y": values})


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of a run on the last of five folds of 150 rows: it fits rows 0 .. 100 or so, and tests 125 on."""
    from forecastlab.cli import main

    root = tmp_path_factory.mktemp("seen")
    (root / "noise.yaml").write_text(CONFIG)
    noise(150).to_csv(root / "noise.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        patch.chdir(root)
        assert main(fit("noise.yaml", ".", epochs=2)) == 0
    return root


@pytest.fixture
def here(begun, tmp_path, monkeypatch):
    """A copy of that folder, which is the working directory."""
    root = shutil.copytree(begun, tmp_path / "here")
    monkeypatch.chdir(root)
    return root


def checkpoint(root, name="best", experiment="noise", version=0):
    return folder(root, experiment, version) / "checkpoints" / f"{name}.ckpt"


def refused(answer, *words):
    assert (answer.status, answer.out) == (2, "")
    assert len(answer.err.strip().splitlines()) <= 10
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.err


@pytest.mark.parametrize(
    "moved",
    [
        ["--data.fold=2"],
        ["--data.splits=3", "--data.fold=3"],
        ["--data.test_size=60", "--data.splits=2", "--data.fold=2"],
        ["--data.cutoffs=[2023-03-01]", "--data.fold=1"],
        ["--data.end=2023-04-20", "--data.fold=5"],
        ["--data.start=2023-01-20", "--data.fold=2"],
        ["--data.path=renamed.csv", "--data.fold=2"],
        ["--data.path=grown.csv", "--data.fold=4"],
    ],
    ids=" ".join,
)
def test_a_score_on_trained_rows_is_refused_however_the_range_was_moved(here, cli, moved):
    noise(150).assign(unique_id="another name").to_csv("renamed.csv", index=False)
    noise(300).assign(y=[*noise(150)["y"], *noise(150, 1)["y"]]).to_csv("grown.csv", index=False)
    more = ["--data.series_column=unique_id"] if "renamed" in moved[0] else []
    if "grown" in moved[0]:
        moved = [moved[0], "--data.cutoffs=[2023-05-01]", "--data.fold=1"]
    answer = cli("test", "--ckpt_path=best", *moved, *more)
    refused(answer, "are rows that these weights were trained on", "--allow_seen")
    assert not (folder(here, "noise") / "predictions.csv").exists()


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_the_own_test_rows_are_scored_without_a_word(here, cli, checkpoint):
    answer = cli("test", f"--ckpt_path={checkpoint}")
    assert (answer.status, answer.err) == (0, "")
    assert "seen" not in answer.out
    assert "optimistic" not in answer.out


def test_rows_behind_the_training_are_scored_when_the_file_has_grown(here, cli):
    pd.concat([noise(150), noise(200, 1).iloc[150:]]).to_csv("grown.csv", index=False)
    answer = cli("test", "--ckpt_path=best", "--data.path=grown.csv", "--data.cutoffs=[2023-05-31]", "--data.fold=1")
    assert (answer.status, answer.err) == (0, "")
    assert len(pd.read_csv(folder(here, "noise") / "predictions.csv")) == 50


def test_other_data_of_the_same_times_are_scored_and_that_is_said(here, cli):
    noise(150, 1).to_csv("other.csv", index=False)
    answer = cli("test", "--ckpt_path=best", "--data.path=other.csv", "--data.fold=2")
    assert answer.status == 0
    assert "lie within the times that trained the weights, but their values differ" in answer.err
    assert "seen in training" not in answer.out


def test_allowed_scores_are_marked_wherever_they_are_shown(here, cli):
    answer = cli("test", "--ckpt_path=best", "--data.fold=2", "--allow_seen")
    assert answer.status == 0
    assert "seen in training: all 25 test rows of fold 2 (2023-02-20 .. 2023-03-16)" in answer.out
    assert "test/seen" in answer.out
    run = folder(here, "noise")
    assert pd.read_csv(run / "metrics.csv")["test/seen"].max() == 1
    events = EventAccumulator(str(run))
    events.Reload()
    assert [event.value for event in events.Scalars("test/seen")] == [1.0]
    assert "seen in training" in cli("runs").out
    assert cli("test", "--ckpt_path=best").status == 0
    assert "test/seen" not in pd.read_csv(run / "metrics.csv"), "the mark goes with its score"
    assert "seen in training" not in cli("runs").out


def test_the_own_validation_rows_are_validated_and_rows_that_fitted_are_not(here, cli):
    assert cli("validate", "--ckpt_path=best").status == 0
    refused(cli("validate", "--ckpt_path=best", "--data.fold=3"), "validation rows of fold 3")
    answer = cli("validate", "--ckpt_path=best", "--data.fold=3", "--allow_seen")
    assert answer.status == 0
    assert "seen in training" in answer.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data.fold=3"], "rows that fit: 2023-01-01 .. "),
        (["--data.splits=4", "--data.fold=4"], "rows that fit"),
        (["--data.path=grown.csv"], "data: 150 rows, 2023-01-01 .. 2023-05-30 then, 160 rows"),
        (["--data.path=changed.csv"], "whose values or columns were others then"),
        (["--data.validation=test"], "validation: tail then, test now"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_does_not_go_on_with_other_rows_and_stays_as_it_was(here, cli, more, said):
    noise(160).to_csv("grown.csv", index=False)
    noise(150).assign(y=lambda frame: frame["y"] + 1).to_csv("changed.csv", index=False)
    run = folder(here, "noise")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused(cli("fit", "--ckpt_path=last", "--trainer.max_epochs=4", *more), said, "--model.weights_from")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_goes_on_when_its_file_has_been_moved(here, cli):
    shutil.move("noise.csv", "moved.csv")
    assert cli("fit", "--ckpt_path=last", "--trainer.max_epochs=3", "--data.path=moved.csv").status == 0


def test_weights_remember_those_they_were_started_from(here, cli):
    begin = ["--experiment=second", f"--model.weights_from={checkpoint(here)}", "--data.fold=2"]
    answer = cli(*fit("noise.yaml", ".", *begin, epochs=1))
    assert answer.status == 0
    assert "model.weights_from was trained on 25 of the 25 test rows of fold 2" in answer.err
    kept = torch.load(checkpoint(here, experiment="second"), weights_only=True)["trained_on"]
    assert [record["fold"] for record in kept] == [5, 2]
    refused(cli("test", f"--ckpt_path={checkpoint(here, experiment='second')}"), "all 25 test rows of fold 2")


def test_weights_that_have_seen_nothing_of_the_fold_begin_it_without_a_word(here, cli):
    begin = ["--experiment=second", f"--model.weights_from={checkpoint(here)}"]
    answer = cli(*fit("noise.yaml", ".", *begin, epochs=1))
    assert answer.status == 0
    assert "weights_from was trained" not in answer.err
    assert cli("test", f"--ckpt_path={checkpoint(here, experiment='second')}").status == 0


def crossval(*more):
    return ["crossval", *fit("noise.yaml", ".", "--experiment=cv", "--baselines=persistence", *more, epochs=1)[1:]]


def test_a_crossval_from_weights_that_have_seen_its_rows_is_refused_before_it_trains(here, cli):
    answer = cli(*crossval(f"--model.weights_from={checkpoint(here)}", "--folds=2"))
    refused(answer, "model.weights_from", "test rows of fold 2")
    assert not folder(here, "cv").exists()


def test_a_crossval_that_is_allowed_to_marks_its_tables(here, cli):
    answer = cli(*crossval(f"--model.weights_from={checkpoint(here)}", "--folds=2", "--allow_seen"))
    assert answer.status == 0
    assert "cv ‡" in answer.out
    assert "‡ seen in training" in answer.out
    results = pd.read_csv(folder(here, "cv") / "results.csv").set_index("model")
    assert results.loc["cv", "test/seen"] == 1
    assert "seen in training" in cli("compare", "cv").out
    assert "seen in training" in cli("runs", "cv").out


def test_a_crossval_of_changed_data_is_another_run_and_says_why(here, cli):
    assert cli(*crossval("--folds=1")).status == 0
    noise(180).to_csv("noise.csv", index=False)
    answer = cli(*crossval("--folds=1,2"))
    assert answer.status == 0
    assert "the data have changed since version_0: 150 rows from 2023-01-01" in answer.err
    assert "180 rows" in answer.err
    predictions = pd.read_csv(folder(here, "cv", 1) / "predictions.csv")
    assert (predictions.groupby(["fold", "model"])["ds"].min().unstack().nunique(axis=1) == 1).all()
    assert set(predictions["fold"]) == {1, 2}
    assert cli(*crossval("--folds=1,2")).status == 0
    assert not folder(here, "cv", 2).exists()


def test_an_ensemble_is_not_scored_on_rows_that_trained_a_member(here, cli):
    assert cli(*fit("noise.yaml", ".", "--seed_everything=1", epochs=1)).status == 0
    both = [f"--ckpt_path={checkpoint(here, version=version)}" for version in (0, 1)]
    refused(cli("test", *both, "--data.fold=2"), "all 25 test rows of fold 2")
    answer = cli("test", *both, "--data.fold=2", "--allow_seen")
    assert answer.status == 0
    assert answer.out.startswith("seen in training: all 25 test rows")
    members = pd.read_csv(folder(here, "noise-ensemble") / "members.csv")
    assert members["test/seen"].tolist() == [1.0, 1.0, 1.0]
    answer = cli("test", *both)
    assert (answer.status, answer.err) == (0, "")
    assert "seen" not in answer.out


def test_an_epoch_chosen_on_the_test_rows_is_called_optimistic_everywhere(here, cli):
    peek = ["--data.validation=test", "--experiment=peek"]
    assert cli(*fit("noise.yaml", ".", *peek, epochs=1)).status == 0
    assert cli(*fit("noise.yaml", ".", *peek, "--seed_everything=1", epochs=1)).status == 0
    assert "best test epoch, optimistic" in cli("runs", "peek").out
    paths = [f"--ckpt_path={checkpoint(here, experiment='peek', version=version)}" for version in (0, 1)]
    for given in ([paths[0]], [paths[0], "--data.validation=tail"], paths):
        answer = cli("test", *given)
        assert answer.status == 0
        assert answer.out.startswith("best test epoch, optimistic")
        assert "test/optimistic" in answer.out
    log = pd.read_csv(folder(here, "peek") / "metrics.csv")
    assert log["test/optimistic"].max() == 1


def test_weights_without_a_record_are_scored_and_that_it_cannot_be_checked_is_said(here, cli):
    path = checkpoint(here)
    old = torch.load(path, weights_only=True)
    del old["trained_on"]
    torch.save(old, path)
    answer = cli("test", f"--ckpt_path={path}", "--data.fold=2")
    assert answer.status == 0
    assert "carry no record of what trained them" in answer.err


def test_a_damaged_record_is_an_error_of_a_few_lines(here, cli):
    path = checkpoint(here)
    old = torch.load(path, weights_only=True)
    old["trained_on"] = [{"fold": 5}]
    torch.save(old, path)
    refused(cli("test", f"--ckpt_path={path}"), "trained_on.0.fit is missing", "damaged")


def test_the_mark_of_a_config_is_not_lost_in_the_table_of_runs(here, cli):
    config = yaml.safe_load((folder(here, "noise") / "config.yaml").read_text())
    assert config["data"]["init_args"]["validation"] == "tail"
    assert "optimistic" not in cli("runs").out
