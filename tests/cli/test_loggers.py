"""Loggers of others beside our own: trackers, CSV files, several at once."""

import csv

import pytest
import yaml

from tests.cli.commands import fit, folder

KEPT = ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml", "metrics.csv")


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def losses(run):
    return [float(row["val/loss"]) for row in table(run / "metrics.csv")]


@pytest.fixture
def offline(monkeypatch):
    """MLflow writes files, and sends nothing."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def mlflow_logger(place):
    return {"class_path": "MLFlowLogger", "init_args": {"experiment_name": "ozone", "tracking_uri": place.as_uri()}}


@pytest.mark.usefixtures("offline")
def test_mlflow_csv_and_our_own_log_hold_the_same_run(tmp_path, config, cli):
    csv_logger = {"class_path": "CSVLogger", "init_args": {"save_dir": str(tmp_path / "csv")}}
    both = tmp_path / "both.yaml"
    both.write_text(yaml.safe_dump({"trainer": {"logger": [mlflow_logger(tmp_path / "mlruns"), csv_logger]}}))
    answer = cli(*fit(config, tmp_path, f"--config={both}", "--experiment=tiny", epochs=3))
    assert answer.status == 0, answer.err
    run = folder(tmp_path)
    assert all((run / name).exists() for name in KEPT)
    assert len(losses(run)) == 3
    (values,) = (tmp_path / "mlruns").rglob("metrics/val/loss")
    assert [float(line.split()[1]) for line in values.read_text().splitlines()] == losses(run)
    (hidden,) = (tmp_path / "mlruns").rglob("params/model.backbone.hidden_size")
    assert hidden.read_text() == "4"
    (theirs,) = (tmp_path / "csv").rglob("metrics.csv")
    assert [float(row["val/loss"]) for row in table(theirs) if row["val/loss"]] == losses(run)
    assert not list((tmp_path / "mlruns").rglob("*.ckpt")) + list((tmp_path / "csv").rglob("*.ckpt"))


@pytest.mark.usefixtures("offline")
def test_a_test_logs_its_figures_to_a_tracker_that_it_is_given(tmp_path, config, cli):
    assert cli(*fit(config, tmp_path, epochs=1)).status == 0
    tracker = tmp_path / "tracker.yaml"
    tracker.write_text(yaml.safe_dump({"trainer": {"logger": mlflow_logger(tmp_path / "mlruns")}}))
    root = f"--trainer.default_root_dir={tmp_path}"
    answer = cli("test", "--ckpt_path=best", root, f"--config={tracker}", "--experiment=tiny")
    assert answer.status == 0, answer.err
    (value,) = (tmp_path / "mlruns").rglob("metrics/test/mae")
    ours = [row["test/mae"] for row in table(folder(tmp_path) / "metrics.csv") if row["test/mae"]]
    assert [float(value.read_text().split()[1])] == [float(cell) for cell in ours]


@pytest.mark.filterwarnings("ignore")  # Lightning advises to install it
def test_a_tracker_that_is_not_installed_is_refused_in_two_lines(tmp_path, config, cli):
    answer = cli(*fit(config, tmp_path, "--trainer.logger=WandbLogger", epochs=1))
    assert answer.status == 2
    said = answer.err[answer.err.index("forecastlab: error: ") :].splitlines()
    assert len(said) <= 2, said
    assert "trainer.logger: WandbLogger cannot be built" in said[0]
    assert "pip install" in " ".join(said)
    assert not (tmp_path / "lightning_logs").exists()
