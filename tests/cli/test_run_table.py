import os

import pandas as pd
import pytest

from forecastlab.cli.run_rows import size_of
from forecastlab.evaluation.results import RESULT_COLUMNS
from forecastlab.runs.run import find_runs
from tests.cli.commands import EPOCHS, fit


def listed(cli, root, *args):
    answer = cli("runs", f"--trainer.default_root_dir={root}", *args)
    assert (answer.status, answer.err) == (0, "")
    return answer.out


def test_a_finished_run_is_listed_with_its_figures(cli, root):
    log = pd.read_csv(root / "lightning_logs/tiny/version_0/metrics.csv")
    text = listed(cli, root)
    head, row = text.splitlines()
    assert head.split() == ["run", "begun", "model", "data", "state", "epochs", "val/loss", "MB"]
    cells = row.split()
    assert cells[0] == "tiny/version_0"
    assert cells[3:7] == ["LSTM", "OzoneDataModule", "trained", str(EPOCHS)]
    assert cells[7] == f"{log['val/loss'].min():.4g}"


def test_a_tested_run_shows_what_the_test_printed(cli, root):
    assert cli("test", "--ckpt_path", "best", f"--trainer.default_root_dir={root}").status == 0
    log = pd.read_csv(root / "lightning_logs/tiny/version_0/metrics.csv")
    text = listed(cli, root, "tiny")
    assert text.splitlines()[1].split()[5] == "tested"
    assert f"{log['test/mae'].dropna().iloc[-1]:.4g}" in text


def test_runs_come_newest_first_and_older_ones_are_counted(cli, tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        folder = tmp_path / "lightning_logs" / name / "version_0"
        folder.mkdir(parents=True)
        config = folder / "config.yaml"
        config.write_text("model: {backbone: {class_path: forecastlab.backbones.gru.GRU}}\n")
        os.utime(config, (1_700_000_000 + number, 1_700_000_000 + number))
    rows = listed(cli, tmp_path, "--last", "2").splitlines()
    assert [row.split()[0] for row in rows[1:3]] == ["c/version_0", "b/version_0"]
    assert rows[1].split()[3:5] == ["GRU", "begun"]
    assert rows[3] == "and 1 older ones: --last 3"


def test_a_crossval_shows_the_mean_over_its_folds_without_the_baselines(cli, tmp_path):
    folder = tmp_path / "lightning_logs" / "x" / "version_3"
    folder.mkdir(parents=True)
    results = {"model": ["x", "x", "ridge"], "fold": [1, 2, 1], "seed": [0, 0, None], "test/mae": [1.0, 3.0, 100.0]}
    pd.DataFrame(results).reindex(columns=RESULT_COLUMNS).to_csv(folder / "results.csv", index=False)
    (row,) = listed(cli, tmp_path).splitlines()[1:]
    assert row.split()[:4] == ["x/version_3", "2", "folds", "2"]


def test_damaged_and_empty_runs_are_listed_too(cli, tmp_path):
    for name, files in (("empty", {}), ("bad", {"config.yaml": "a: [", "metrics.csv": "\0\0\n"})):
        folder = tmp_path / "lightning_logs" / name / "version_0"
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / file).write_text(text)
    answer = cli("runs", f"--trainer.default_root_dir={tmp_path}")
    assert answer.status == 0
    assert "empty/version_0" in answer.out
    assert "bad/version_0" in answer.out
    said = answer.err.splitlines()
    assert len(said) == 2
    assert "bad/version_0/config.yaml is not valid YAML" in said[0]
    assert "bad/version_0/metrics.csv" in said[1]


def test_a_run_without_a_log_is_listed_as_trained(cli, config, tmp_path):
    assert cli(*fit(config, tmp_path, "--trainer.logger=false", epochs=1)).status == 0
    assert listed(cli, tmp_path).splitlines()[1].split()[-2] == "trained"


def test_no_runs_is_no_error(cli, tmp_path):
    assert listed(cli, tmp_path) == f"no runs in {tmp_path / 'lightning_logs'}\n"
    assert listed(cli, tmp_path, "tiny") == f"no runs of tiny in {tmp_path / 'lightning_logs'}\n"


def made(root, name, **files):
    """The folder of a run with files of some content."""
    folder = root / "lightning_logs" / name / "version_0"
    for file, text in files.items():
        path = folder / file.replace("__", "/").replace("_yaml", ".yaml").replace("_csv", ".csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def scored(root, name, backbone, mase):
    """A run of some backbone whose test came to some MASE."""
    return made(
        root,
        name,
        config_yaml=f"model: {{backbone: {{class_path: x.{backbone}}}}}\n",
        metrics_csv=f"step,epoch,val/loss,test/mae,test/mase\n9,3,0.5,,\n9,,,2.0,{mase}\n",
    )


def test_a_study_shows_its_trials_and_the_lowest_loss_of_those_that_were_not_pruned(cli, tmp_path):
    trials = "trial,state,val/loss\n0,complete,0.5\n1,pruned,0.1\n2,complete,0.25\n"
    made(tmp_path, "x-tune", config_yaml="model: {}\n", trials_csv=trials)
    row = listed(cli, tmp_path).splitlines()[1].split()
    assert row[0] == "x-tune/version_0"
    assert row[3:6] == ["3", "trials", "0.25"]


def test_a_benchmark_is_no_damaged_crossval(cli, tmp_path):
    results = "model_name,task_name\nours,a\nnaive,a\nours,b\n"
    made(tmp_path, "benchmark-m4", settings_yaml="suite: m4\nrecipe: auto\n", results_csv=results)
    row = listed(cli, tmp_path).splitlines()[1].split()
    assert row[3:8] == ["auto", "m4", "2", "tasks", "scored"]


def test_a_reproduction_shows_its_models_and_folds(cli, tmp_path):
    folder = made(tmp_path, "van-diepen", settings_yaml="epochs: 3\n", lstm__config_yaml="{}", alstm__config_yaml="{}")
    for place in ("lstm/fold_1/seed_0", "lstm/fold_2/seed_0", "alstm/fold_1/seed_0"):
        (folder / place).mkdir(parents=True)
    row = listed(cli, tmp_path).splitlines()[1].split()
    assert row[1] != "2"  # it was begun at some time
    assert row[3:7] == ["2", "models", "2", "folds"]


def test_a_crossval_that_has_no_results_yet_says_how_many_folds_are_begun(cli, tmp_path):
    folder = made(tmp_path, "x", config_yaml="model: {}\n", settings_yaml="model: {}\n")
    for fold in (1, 2):
        (folder / f"fold_{fold}" / "seed_0").mkdir(parents=True)
    assert "2 folds begun" in listed(cli, tmp_path)


def test_runs_are_sorted_by_any_figure_which_is_shown_then(cli, tmp_path):
    for name, mase in (("a", 0.9), ("b", 0.7), ("c", 0.8)):
        scored(tmp_path, name, "GRU", mase)
    head, *rows = listed(cli, tmp_path, "--sort", "test/mase").splitlines()
    assert "test/mase" in head.split()
    assert [row.split()[0][0] for row in rows] == ["b", "c", "a"]
    rows = listed(cli, tmp_path, "--sort=-test/mase", "--last", "1").splitlines()[1:]
    assert [rows[0][0], rows[1]] == ["a", "and 2 others: --last 3"]


def test_epochs_are_compared_as_numbers(cli, tmp_path):
    for name, last in (("a", 8), ("b", 9), ("c", 99)):
        made(tmp_path, name, metrics_csv=f"step,epoch,val/loss\n9,{last},0.5\n")
    _, *rows = listed(cli, tmp_path, "--sort=-epochs").splitlines()
    assert [row.split()[0][0] for row in rows] == ["c", "b", "a"]
    _, *rows = listed(cli, tmp_path, "--where", "epochs>9").splitlines()
    assert {row.split()[0][0] for row in rows} == {"b", "c"}


def test_words_are_at_the_left_of_their_columns_and_figures_at_the_right(cli, tmp_path):
    scored(tmp_path, "a", "LSTM", 1.25)
    scored(tmp_path, "longer", "GRU", 0.5)
    head, *rows = listed(cli, tmp_path, "--sort", "test/mase").splitlines()
    assert rows[0].startswith("longer/version_0  ")
    assert rows[1].startswith("a/version_0       ")
    end = head.index("test/mase") + len("test/mase")
    assert [row[:end].rpartition(" ")[2] for row in rows] == ["0.5", "1.25"]


def test_a_run_that_a_process_works_on_is_running_and_one_that_was_killed_is_not(cli, tmp_path):
    scored(tmp_path, "a", "LSTM", 1.25)
    (run,) = find_runs(tmp_path / "lightning_logs")
    with run.alone():
        assert "tested, running" in listed(cli, tmp_path)
    (run.folder / "lock").touch()  # as a killed process leaves it
    assert "running" not in listed(cli, tmp_path)


def test_runs_are_chosen_by_words_and_figures_of_which_all_must_hold(cli, tmp_path):
    for name, backbone, mase in (("a", "GRU", 0.9), ("b", "GRU", 0.7), ("c", "LSTM", 0.6)):
        scored(tmp_path, name, backbone, mase)
    made(tmp_path, "d", config_yaml="model: {backbone: {class_path: x.GRU}}\n")  # it has no figure
    rows = listed(cli, tmp_path, "--where", "model=GRU", "--where", "test/mase<0.8").splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["b/version_0"]
    rows = listed(cli, tmp_path, "--where", "test/mase>=0.7").splitlines()[1:]
    assert {row.split()[0][0] for row in rows} == {"a", "b"}
    assert listed(cli, tmp_path, "--where", "model=ALSTM") == "no run is like that\n"


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--sort", "test/mas"], "did you mean test/mase?"),
        (["--where", "model"], "expected a condition"),
        (["--where", "test/mase<low"], "expected a number"),
        (["rm", "b/version_0"], "did you mean a/version_0?"),
        (["rm", "a/version_0"], "--yes"),  # nobody can be asked
    ],
)
def test_what_cannot_be_done_is_an_error_in_one_line(cli, tmp_path, args, word):
    folder = scored(tmp_path, "a", "GRU", 0.9)
    answer = cli("runs", *args, f"--trainer.default_root_dir={tmp_path}")
    assert answer.status == 2
    assert word in answer.err
    assert folder.exists()


def test_the_size_of_a_run_counts_its_files(tmp_path):
    folder = made(tmp_path, "a", config_yaml="12345", checkpoints__best="123")
    (folder / "link").symlink_to(folder / "config.yaml")
    assert size_of(folder) == 8


@pytest.mark.parametrize(("answer", "is_left"), [("n", True), ("", True), ("y", False)])
def test_a_run_is_deleted_when_the_question_is_answered_with_yes(cli, tmp_path, monkeypatch, answer, is_left):
    one, other = scored(tmp_path, "a", "GRU", 0.9), scored(tmp_path, "b", "GRU", 0.9)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda text: answer)
    assert cli("runs", "rm", "a/version_0", f"--trainer.default_root_dir={tmp_path}").status == 0
    assert one.exists() == is_left
    assert other.exists()


def test_several_runs_are_deleted_without_a_question_if_that_is_asked_for(cli, tmp_path):
    folders = [scored(tmp_path, name, "GRU", 0.9) for name in ("a", "b", "c")]
    root = f"--trainer.default_root_dir={tmp_path}"
    said = cli("runs", "rm", "--yes", "a/version_0", "lightning_logs/b/version_0", root)
    assert said.status == 0
    assert said.out.endswith("deleted 2 runs\n")
    assert [folder.exists() for folder in folders] == [False, False, True]
