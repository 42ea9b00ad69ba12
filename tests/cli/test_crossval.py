import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from tests.cli.commands import fit, folder


def crossval(config, root, *more, epochs=2):
    return ["crossval", *fit(config, root, "--data.splits=3", "--data.rows=200", *more, epochs=epochs)[1:]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, config):
    """The root of a cross-validation of three folds and two seeds; to be looked at only."""
    from forecastlab.cli import main

    root = tmp_path_factory.mktemp("crossval")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        assert main(crossval(config, root, "--seeds=0,1", "--jobs=2")) == 0
    return root


def checkpoint(path):
    return torch.load(path / "checkpoints" / "best.ckpt", weights_only=True)


def test_every_fold_equals_fit_and_test_of_that_fold_and_seed_to_the_last_bit(finished, config, tmp_path, cli):
    inside = folder(finished) / "fold_2" / "seed_1"
    alone = fit(
        config, tmp_path, "--data.splits=3", "--data.rows=200", "--data.fold=2", "--seed_everything=1", epochs=2
    )
    assert cli(*alone).status == 0
    assert cli("test", "--ckpt_path", folder(tmp_path) / "checkpoints" / "best.ckpt").status == 0
    ours, theirs = checkpoint(inside), checkpoint(folder(tmp_path))
    assert ours["epoch"] == theirs["epoch"]
    assert all(torch.equal(ours["state_dict"][name], theirs["state_dict"][name]) for name in theirs["state_dict"])
    pd.testing.assert_frame_equal(
        pd.read_csv(inside / "metrics.csv"), pd.read_csv(folder(tmp_path) / "metrics.csv"), check_exact=True
    )
    assert (inside / "predictions.csv").read_text() == (folder(tmp_path) / "predictions.csv").read_text()


def test_results_hold_every_fold_and_seed_and_the_baselines(finished):
    results = pd.read_csv(folder(finished) / "results.csv")
    network = results[results["model"] == "tiny"]
    assert sorted(zip(network["fold"], network["seed"], strict=True)) == [(k, s) for k in (1, 2, 3) for s in (0, 1)]
    assert set(results["model"]) == {"tiny", "persistence", "climatology", "ridge", "lasso"}
    persistence = results[results["model"] == "persistence"]
    assert persistence["test/skill"].abs().max() < 1e-9
    assert persistence["seed"].isna().all()


def test_predictions_of_every_fold_are_its_test_rows_and_give_its_metrics(finished):
    predictions = pd.read_csv(folder(finished) / "predictions.csv")
    results = pd.read_csv(folder(finished) / "results.csv").set_index(["model", "fold", "seed"])
    counts = predictions.groupby(["model", "fold", predictions["seed"].fillna(-1)]).size()
    assert (counts == 50).all()  # 200 rows in 3 splits: test ranges of 50 rows
    for key, part in predictions[predictions["model"] == "tiny"].groupby(["model", "fold", "seed"]):
        assert (part["y"] - part["forecast"]).abs().mean() == pytest.approx(results.loc[key, "test/mae"], abs=1e-4)


def test_a_table_with_mean_spread_and_skill_is_printed_beside_the_baselines(finished, config, cli):
    answer = cli(*crossval(config, finished, "--seeds=0,1"))
    assert answer.status == 0
    for word in ("mean", "skill", "fold 3", "tiny", "persistence", "ridge"):
        assert word in answer.out


def test_run_again_it_trains_nothing_that_is_finished(finished, config, cli):
    before = {path: path.stat().st_mtime_ns for path in folder(finished).rglob("checkpoints/*")}
    assert cli(*crossval(config, finished, "--seeds=0,1")).status == 0
    assert {path: path.stat().st_mtime_ns for path in folder(finished).rglob("checkpoints/*")} == before
    assert not folder(finished, version=1).exists()


def test_run_again_it_resumes_what_is_not_finished(finished, config, tmp_path, cli):
    root = shutil.copytree(finished, tmp_path / "copy")
    path = folder(root) / "fold_3" / "seed_0"
    whole = checkpoint(path)["state_dict"]
    (path / "result.json").unlink()
    shutil.rmtree(folder(root) / "fold_1" / "seed_1")
    answer = cli(*crossval(config, root, "--seeds=0,1"))
    assert answer.status == 0
    assert "fold 3, seed 0: done" in answer.out
    assert "fold 1, seed 1: done" in answer.out
    assert "fold 2" not in answer.out.partition("Test MSE")[0]
    resumed = checkpoint(path)["state_dict"]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert json.loads((path / "result.json").read_text())["fit"]["seconds"] is None


def test_a_later_call_adds_folds_to_the_run(config, tmp_path, cli):
    assert cli(*crossval(config, tmp_path, "--folds=1", epochs=1)).status == 0
    assert cli(*crossval(config, tmp_path, "--folds=2", epochs=1)).status == 0
    results = pd.read_csv(folder(tmp_path) / "results.csv")
    assert sorted(results.loc[results["model"] == "tiny", "fold"]) == [1, 2]


def test_another_config_begins_another_run(config, tmp_path, cli):
    assert cli(*crossval(config, tmp_path, "--folds=3", epochs=1)).status == 0
    assert cli(*crossval(config, tmp_path, "--folds=3", "--model.dropout=0.2", epochs=1)).status == 0
    assert yaml.safe_load((folder(tmp_path, version=1) / "config.yaml").read_text())["model"]["dropout"] == 0.2


def test_a_failed_fold_is_reported_and_the_others_finish(config, tmp_path, cli):
    answer = cli(*crossval(config, tmp_path, "--data.lookback=55", "--jobs=2", epochs=1))  # fold 1 trains on 50 rows
    assert answer.status == 1
    assert "fold 1, seed 0: failed: fold 1 trains on rows 0 .. 49" in answer.out
    assert "fold 2, seed 0: done" in answer.out
    assert "fold 3, seed 0: done" in answer.out
    results = pd.read_csv(folder(tmp_path) / "results.csv")
    assert sorted(results.loc[results["model"] == "tiny", "fold"]) == [2, 3]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("--folds=4", "--folds: expected numbers from 1 to 3, got 4"),
        ("--folds=a", "--folds: expected numbers such as 1,3, got 'a'"),
        ("--jobs=0", "--jobs must be positive, got 0"),
        ("--engine=dask", "--engine: expected local, ray, ray:ADDRESS or slurm, got 'dask'"),
        ("--baselines=ridg", "unknown baseline 'ridg'"),
        ("--ckpt_path=last", "leave --ckpt_path out"),
        ("--model.backbone=LTSM", "did you mean LSTM?"),
    ],
)
def test_wrong_options_are_named(config, tmp_path, cli, given, named):
    answer = cli(*crossval(config, tmp_path, given))
    assert answer.status == 2
    assert named in answer.err
    assert len(answer.err.strip().splitlines()) <= 10
    assert "Traceback" not in answer.err


def test_what_was_decided_about_the_data_is_said_once_for_all_folds(cli, tmp_path):
    days = pd.date_range("2024-01-01", periods=120)
    newest_first = pd.DataFrame({"ds": days, "y": np.sin(np.arange(120.0))}).iloc[::-1]
    newest_first.to_csv(tmp_path / "own.csv", index=False)
    data = {"path": str(tmp_path / "own.csv"), "lookback": 4, "splits": 3, "batch_size": 64}
    values = {
        "data": {"class_path": "TableDataModule", "init_args": data},
        "model": {"backbone": {"class_path": "GRU", "init_args": {"hidden_size": 2}}},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(values))
    run = ["crossval", *fit(tmp_path / "own.yaml", tmp_path, "--folds=2,3", "--baselines=persistence", epochs=1)[1:]]
    answer = cli(*run)
    assert answer.status == 0
    assert answer.err.count("note: every row is earlier than the row before: the 120 rows were sorted by time") == 1
