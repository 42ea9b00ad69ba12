import os

import pandas as pd

from forecastlab.evaluation.results import RESULT_COLUMNS
from tests.cli.commands import EPOCHS, fit


def listed(cli, root, *args):
    answer = cli("runs", f"--trainer.default_root_dir={root}", *args)
    assert (answer.status, answer.err) == (0, "")
    return answer.out


def test_a_finished_run_is_listed_with_its_figures(cli, root):
    log = pd.read_csv(root / "lightning_logs/tiny/version_0/metrics.csv")
    text = listed(cli, root)
    head, row = text.splitlines()
    assert head.split() == ["run", "begun", "model", "data", "state", "epochs", "val/loss"]
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
    assert rows[1].split()[3:] == ["GRU", "begun"]
    assert rows[3] == "and 1 older ones: --last 3"


def test_a_crossval_shows_the_mean_over_its_folds_without_the_baselines(cli, tmp_path):
    folder = tmp_path / "lightning_logs" / "x" / "version_3"
    folder.mkdir(parents=True)
    results = {"model": ["x", "x", "ridge"], "fold": [1, 2, 1], "seed": [0, 0, None], "test/mae": [1.0, 3.0, 100.0]}
    pd.DataFrame(results).reindex(columns=RESULT_COLUMNS).to_csv(folder / "results.csv", index=False)
    (row,) = listed(cli, tmp_path).splitlines()[1:]
    assert row.split() == ["x/version_3", "2", "folds", "2"]


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
    assert listed(cli, tmp_path).splitlines()[1].split()[-1] == "trained"


def test_no_runs_is_no_error(cli, tmp_path):
    assert listed(cli, tmp_path) == f"no runs in {tmp_path / 'lightning_logs'}\n"
    assert listed(cli, tmp_path, "tiny") == f"no runs of tiny in {tmp_path / 'lightning_logs'}\n"
