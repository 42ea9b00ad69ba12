import contextlib
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

import forecastlab
from forecastlab.experiment.config import Config
from forecastlab.runs.engines.engine import Ending, Engine, News, Workers
from forecastlab.tuning.search import IN_A_ROW, Search, require_configs
from forecastlab.tuning.space import Space
from tests.cli.commands import environment, files, fit, folder
from tests.reliability.processes import descendants
from tests.test_configs import REPOSITORY

SPACE = """
model.backbone: {type: categorical, choices: [LSTM, GRU]}
model.backbone.init_args.forget_bias: {type: float, low: 0.0, high: 1.0, when: {model.backbone: LSTM}}
model.optimizer.init_args.lr: {type: float, low: 1.0e-3, high: 1.0e-1, log: true}
data.init_args.lookback: {type: int, low: 2, high: 6, step: 2}
"""
RATE = "model.optimizer.init_args.lr"
BIAS = "model.backbone.init_args.forget_bias"


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("spaces") / "space.yaml"
    path.write_text(SPACE)
    return path


def tune(config, space, root, *more, epochs=2):
    return ["tune", *fit(config, root, "--space", space, *more, epochs=epochs)[1:]]


def study(root, version=0):
    """The study of a run as Optuna reads it from the journal."""
    path = str(folder(root, "tiny-tune", version) / "study.journal")
    storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def table(root, version=0):
    return pd.read_csv(folder(root, "tiny-tune", version) / "trials.csv")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, config, space):
    """The root of a study of six trials on two processes; to be looked at only."""
    from forecastlab.cli import main

    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        assert main(tune(config, space, root, "--trials=6", "--jobs=2")) == 0
    return root


def test_a_study_leaves_its_trials_figures_and_best_config_and_nothing_of_each_trial(finished):
    names = ("best.yaml", "config.yaml", "history.png", "importance.csv", "importance.png", "settings.yaml")
    expected = [*names, "space.yaml", "study.journal", "trials", "trials.csv", "workers"]
    found = files(finished)
    assert found == [f"lightning_logs/tiny-tune/version_0/{name}" for name in expected]


def test_trials_have_values_from_the_space_and_the_first_the_configs_own(finished):
    trials = table(finished)
    assert trials["trial"].tolist() == list(range(6))
    assert set(trials["state"]) == {"complete"}
    assert trials[RATE].between(1e-3, 1e-1).all()
    assert set(trials["data.init_args.lookback"]) <= {2, 4, 6}
    assert (trials[BIAS].notna() == (trials["model.backbone"] == "LSTM")).all()
    own = trials.iloc[0]
    assert (own["model.backbone"], own[RATE], own["data.init_args.lookback"]) == ("LSTM", 0.02, 4)


def test_the_best_config_trains_to_the_best_loss_of_the_study(finished, tmp_path, cli):
    best = folder(finished, "tiny-tune") / "best.yaml"
    trials = table(finished)
    least = trials["val/loss"].min()
    assert f"Trial {trials['val/loss'].idxmin()} of tiny-tune: validation loss {least:.6g} (fold 5)" in best.read_text()
    answer = cli("fit", "--config", best, f"--trainer.default_root_dir={tmp_path}")
    assert answer.status == 0
    checkpoint = torch.load(folder(tmp_path) / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["best_score"] == least


def test_a_trial_is_the_fit_of_its_values(finished, config, tmp_path, cli):
    trials = table(finished)
    row = trials[trials["data.init_args.lookback"] != 4].iloc[0]
    class_ = row["model.backbone"]
    given = [f"--model.backbone={class_}", f"--{RATE}={row[RATE]}"]
    if class_ == "LSTM":
        given.append(f"--{BIAS}={row[BIAS]}")
    given.append(f"--data.lookback={row['data.init_args.lookback']}")
    tail = round(0.2 * (1250 - 4))  # of the config's own windows: all trials validate the same rows
    given.append(f"--data.val_fraction={tail / (1250 - row['data.init_args.lookback'])}")
    assert cli(*fit(config, tmp_path, *given, epochs=2)).status == 0
    log = pd.read_csv(folder(tmp_path) / "metrics.csv")
    assert log["val/loss"].min() == pytest.approx(row["val/loss"], rel=1e-6)


def test_run_again_it_does_nothing_and_with_more_trials_it_goes_on(finished, config, space, tmp_path, cli):
    root = shutil.copytree(finished, tmp_path / "copy")
    before = table(root)
    answer = cli(*tune(config, space, root, "--trials=6"))
    assert answer.status == 0
    assert "trial 6" not in answer.out
    assert cli(*tune(config, space, root, "--trials=7", "--sampler=random")).status == 0
    pd.testing.assert_frame_equal(table(root)[:6], before)
    assert len(table(root)) == 7
    assert not folder(root, "tiny-tune", 1).exists()


def test_what_came_out_is_said(finished, config, space, cli):
    answer = cli(*tune(config, space, finished, "--trials=6"))
    best = table(finished).set_index("trial")["val/loss"]
    assert "6 finished, 0 pruned, 0 lost or failed" in answer.out
    assert f"best       val/loss {best.min():.4f} in trial {best.idxmin()}" in answer.out
    assert f"before     val/loss {best[0]:.4f} in trial 0" in answer.out
    assert "forecastlab fit --config " in answer.out


def test_another_space_begins_another_study(finished, config, tmp_path, cli):
    root = shutil.copytree(finished, tmp_path / "copy")
    other = tmp_path / "other.yaml"
    other.write_text("model.dropout: {type: float, low: 0.0, high: 0.5}")
    assert cli(*tune(config, other, root, "--trials=1", epochs=1)).status == 0
    assert len(table(root)) == 6
    assert table(root, 1)["model.dropout"].tolist() == [0.1]


def written(path, values):
    times = pd.date_range("2020-01-01", periods=len(values), name="ds")
    pd.DataFrame({"y": values}, times).to_csv(path)


def test_the_test_rows_do_not_matter(space, tmp_path, cli):
    values = np.random.default_rng(0).standard_normal(120).cumsum().round(3)
    spoilt = np.where(np.arange(120) < 80, values, 1e6 * np.arange(120))  # fold 2 of 2 tests rows 80 ..
    found = []
    for name, series in (("whole", values), ("spoilt", spoilt)):
        root = tmp_path / name
        root.mkdir()
        written(root / "series.csv", series)
        config = root / "tiny.yaml"
        config.write_text(
            f"data: {{class_path: TableDataModule, init_args: {{path: {root}/series.csv, targets: [y], lookback: 4, "
            "splits: 2, fold: 2}}\nmodel: {backbone: {class_path: LSTM, init_args: {hidden_size: 4}}}\n"
        )
        assert cli(*tune(config, space, root, "--trials=3")).status == 0
        found.append(table(root).drop(columns=["begun", "seconds"]))
    pd.testing.assert_frame_equal(*found, check_exact=True)


def test_folds_are_averaged_and_weights_kept_where_that_is_asked_for(config, space, tmp_path, cli):
    asked = ("--trials=1", "--folds=3,4", "--keep_weights")
    assert cli(*tune(config, space, tmp_path, *asked, epochs=1)).status == 0
    (row,) = table(tmp_path).to_dict("records")
    assert row["val/loss"] == pytest.approx((row["val/loss fold 3"] + row["val/loss fold 4"]) / 2)
    assert row["epochs"] == 2
    for fold in (3, 4):
        path = folder(tmp_path, "tiny-tune") / "trials" / "0" / f"fold_{fold}"
        checkpoint = torch.load(path / "checkpoints" / "best.ckpt", weights_only=True)
        assert checkpoint["best_score"] == pytest.approx(row[f"val/loss fold {fold}"], rel=1e-6)
    best = folder(tmp_path, "tiny-tune") / "best.yaml"
    assert "mean of folds 3, 4" in best.read_text()
    assert yaml.safe_load(best.read_text())["data"]["init_args"]["fold"] == 5


def test_a_trial_that_lags_behind_is_pruned(config, space, tmp_path, cli):
    assert cli(*tune(config, space, tmp_path, "--trials=1", epochs=9)).status == 0
    losses = dict.fromkeys(range(9), 1e-9)
    for _ in range(5):
        better = optuna.create_trial(state=TrialState.COMPLETE, value=1e-9, intermediate_values=losses)
        study(tmp_path).add_trial(better)
    answer = cli(*tune(config, space, tmp_path, "--trials=7", epochs=9))
    assert answer.status == 0
    assert "trial 6: pruned after 4 epochs" in answer.out
    assert table(tmp_path).iloc[6][["state", "epochs"]].tolist() == ["pruned", 4]
    answer = cli(*tune(config, space, tmp_path, "--trials=8", "--pruner=none", epochs=9))
    assert table(tmp_path).iloc[7][["state", "epochs"]].tolist() == ["complete", 9]


def test_a_trial_that_diverges_counts_as_pruned(config, tmp_path, cli):
    space = tmp_path / "space.yaml"
    space.write_text(f"{RATE}: {{type: categorical, choices: [1.0e+30]}}")
    answer = cli(*tune(config, space, tmp_path, "--trials=1", epochs=4))
    assert answer.status == 0
    assert "the config itself is no trial" in answer.out
    (row,) = table(tmp_path).to_dict("records")
    assert row["state"] == "pruned"
    assert re.search("is (nan|inf) in epoch", row["error"])


def test_a_study_in_which_every_trial_fails_is_given_up(config, tmp_path, cli):
    space = tmp_path / "space.yaml"
    space.write_text("model.dropout: {type: float, low: 1.0, high: 2.0}")
    answer = cli(*tune(config, space, tmp_path, "--trials=9", epochs=1))
    assert answer.status == 1
    assert "given up: 5 trials in a row failed" in answer.out
    assert table(tmp_path)["error"].str.contains("model.dropout must be at least 0 and below 1").sum() == 5
    assert not (folder(tmp_path, "tiny-tune") / "best.yaml").exists()


class Losing(Engine, Workers):
    """Loses the units that are submitted together first, as with a machine; later ones give a loss of 1 at once."""

    def __init__(self):
        self.lost = 0
        self.ended = {}

    @contextlib.contextmanager
    def open(self, folder, preload):
        yield self

    def submit(self, units):
        ending = Ending("done") if self.lost else Ending("died", "its machine was lost")
        self.ended |= dict.fromkeys(units, ending)
        if not self.lost:
            self.lost = len(units)
            return
        for unit in units.values():
            _, trial = pickle.loads(unit.work)
            trial.address.open()[0].tell(trial.number, 1.0)

    def news(self, timeout):
        ended, self.ended = self.ended, {}
        return News({}, ended)

    def stop(self):
        assert not self.ended


def test_trials_that_are_lost_together_are_replaced_however_many_they_are(config, space, tmp_path):
    given = forecastlab.Config.of(config).with_values({"trainer.default_root_dir": str(tmp_path)})
    count, engine = IN_A_ROW, Losing()
    tuned = forecastlab.tune(given, space, trials=count, jobs=count, engine=engine)
    assert engine.lost == count
    assert not tuned.given_up
    assert list(table(tmp_path)["state"]) == ["fail"] * count + ["complete"] * count


def test_a_config_file_that_is_changed_meanwhile_does_not_change_the_study(config, space, tmp_path, cli, monkeypatch):
    path = tmp_path / "tiny.yaml"
    path.write_text(config.read_text())
    ended = Search._ended

    def change(self, job, error):
        path.write_text(config.read_text().replace("hidden_size: 4", "hidden_size: 5"))
        return ended(self, job, error)

    monkeypatch.setattr(Search, "_ended", change)
    answer = cli(*tune(path, space, tmp_path, "--trials=3", epochs=1))
    assert answer.status == 0
    assert "hidden_size: 5" in path.read_text()
    sizes = {
        yaml.safe_load(trial.user_attrs["config"])["model"]["backbone"]["init_args"]["hidden_size"]
        for trial in study(tmp_path).trials
    }
    assert sizes == {4}
    assert len(table(tmp_path)) == 3


def test_a_call_from_python_is_the_study_of_the_command(config, space, tmp_path, cli):
    values = {"trainer.default_root_dir": str(tmp_path), "trainer.max_epochs": 1}
    tuned = forecastlab.tune(forecastlab.Config.of(config).with_values(values), space, folds=(5,), trials=1)
    assert (tuned.finished, tuned.wanted, tuned.given_up) == (1, 1, False)
    assert tuned.folder == folder(tmp_path, "tiny-tune")
    assert [trial.value for trial in tuned.study.trials] == [trial.value for trial in study(tmp_path).trials]
    assert cli(*tune(config, space, tmp_path, "--trials=2", epochs=1)).status == 0
    assert len(table(tmp_path)) == len(tuned.study.trials) == 2


def test_calls_share_a_study_through_a_database(config, space, tmp_path, cli):
    url = f"sqlite:///{tmp_path}/study.db"
    for machine, trials in (("one", 1), ("other", 2)):
        answer = cli(*tune(config, space, tmp_path / machine, f"--storage={url}", f"--trials={trials}", epochs=1))
        assert answer.status == 0
    assert len(table(tmp_path / "one")) == 1
    assert len(table(tmp_path / "other")) == 2
    assert not (folder(tmp_path / "one", "tiny-tune") / "study.journal").exists()


@pytest.mark.slow
def test_a_killed_trial_and_a_killed_command_lose_only_what_was_running(config, space, tmp_path, cli):
    args = tune(config, space, tmp_path, "--trials=3", "--jobs=2", "--early_stopping.patience=1000", epochs=25)
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "forecastlab", *args], stdout=said, stderr=said, env=environment()
        )

    def until(condition):
        deadline = time.monotonic() + 300
        while not condition():
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def states():
        journal = folder(tmp_path, "tiny-tune") / "study.journal"
        if not journal.exists() or b"\n" not in journal.read_bytes():
            return []
        return [trial.state.name for trial in study(tmp_path).get_trials()]

    def training():
        """The processes of the trials, which a server of processes has begun, once one has reported a loss."""
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
        direct = [int(pid) for task in tasks for pid in task.read_text().split()]
        reported = any(
            trial.intermediate_values for trial in study(tmp_path).get_trials() if trial.state == TrialState.RUNNING
        )
        return [pid for pid in descendants(process.pid) if pid not in direct] if reported else []

    until(lambda: "RUNNING" in states())
    until(training)
    os.kill(training()[0], signal.SIGKILL)
    until(lambda: "FAIL" in states())
    until(lambda: "COMPLETE" in states() and "RUNNING" in states())
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    lost = states().count("RUNNING")
    assert lost >= 1
    answer = cli(*args)
    assert answer.status == 0
    trials = table(tmp_path)
    assert trials["state"].isin(["complete", "pruned"]).sum() == 3
    errors = trials.loc[trials["state"] == "fail", "error"]
    assert errors.str.contains("killed by signal 9").sum() == 1
    assert (errors == "its worker was killed").sum() == lost


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--data.validation=test",), "Set --data.validation tail"),
        (("--trials=0",), "--trials must be positive, got 0"),
        (("--jobs=0",), "--jobs must be positive, got 0"),
        (("--engine=local:gpus=1",), "--engine local has no gpus; it takes nothing"),
        (("--sampler_seed=-1",), "--sampler_seed must be 0 or more, got -1"),
        (("--folds=6",), "--folds: expected numbers from 1 to 5, got 6"),
        (("--ckpt_path=last",), "leave --ckpt_path out"),
        (("--lr_find",), "--lr_find belongs to fit"),
        (("--new", "--storage=sqlite:///x.db"), "give another --experiment"),
        (("--model.backbone=LTSM",), "did you mean LSTM?"),
    ],
)
def test_wrong_options_are_named(config, space, tmp_path, cli, given, named):
    answer = cli(*tune(config, space, tmp_path, *given))
    assert answer.status == 2
    assert named in answer.err
    assert len(answer.err.strip().splitlines()) <= 10
    assert not (tmp_path / "lightning_logs").exists()


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        (
            "model.bakbone: {type: categorical, choices: [LSTM]}",
            "unknown option model.bakbone; did you mean model.backbone?",
        ),
        ("model.backbone: {type: categorical, choices: [LSTM, GRUU]}", "unknown backbone 'GRUU'; did you mean GRU?"),
        (
            "model.backbone: {type: categorical, choices: [LSTM, GRU]}\n"
            "model.backbone.init_args.forget_bias: {type: float, low: 0.0, high: 1.0}",
            "GRU has no argument 'forget_bias'",
        ),
        ("model.backbone.init_args.hidden_size: {type: float, low: 1.5, high: 4.5}", "hidden_size"),
        ("data.init_args.fold: {type: int, low: 1, high: 5}", "decides which rows are validated"),
        ("[1, 2]", "holds no keys and values"),
        ("model.dropout: {type: float", "is not valid YAML"),
    ],
)
def test_a_space_that_cannot_be_searched_is_named_before_anything_runs(config, tmp_path, cli, entries, named):
    path = tmp_path / "space.yaml"
    path.write_text(entries)
    answer = cli(*tune(config, path, tmp_path))
    assert answer.status == 2
    assert named in answer.err
    assert "space.yaml" in answer.err
    assert len(answer.err.strip().splitlines()) <= 10
    assert not (tmp_path / "lightning_logs").exists()


def test_without_optuna_the_extra_is_named(config, space, tmp_path, cli, monkeypatch):
    needing = (
        "optuna",
        "forecastlab.tuning",
        "forecastlab.cli.tune",
        "forecastlab.tuning.search",
        "forecastlab.tuning.trial",
    )
    for name in [name for name in sys.modules if name.startswith(needing)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    answer = cli(*tune(config, space, tmp_path))
    assert answer.status == 2
    assert "pip install 'forecastlab[tune]'" in answer.err


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs" / "spaces").glob("*.yaml")), ids=lambda path: path.name)
def test_a_shipped_space_fits_the_recurrent_configs(path):
    content = yaml.safe_load(path.read_text())
    for name in ("quickstart.yaml", "backbones/gru.yaml", "backbones/peephole_lstm.yaml"):
        config = Config.of(REPOSITORY / "configs" / name)
        require_configs(config, Space.of(content, config.values))
