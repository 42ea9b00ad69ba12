"""A run whose rows are in files writes what a run with its rows in memory writes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from forecastlab.cli import main
from tests.cli.commands import environment, folder
from tests.data.test_mapped import SETTINGS, rows

CONFIG = {
    "data": {"class_path": "TableDataModule", "init_args": {**SETTINGS, "batch_size": 64, "num_workers": 0}},
    "model": {
        "backbone": {"class_path": "LSTM", "init_args": {"hidden_size": 4}},
        "anchor": "last",
        "intervals": [0.8],
    },
    "trainer": {"max_epochs": 2, "accelerator": "cpu"},
}


OUTPUT = (".csv", ".png")


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """A folder for the runs of each storage, and the config of both."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows().sample(frac=1, random_state=1).to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    CONFIG["data"]["init_args"]["path"] = str(tmp_path / "rows.parquet")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    for storage in ("memory", "mapped"):
        (tmp_path / storage).mkdir()
    return {storage: tmp_path / storage for storage in ("memory", "mapped")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
def test_fit_test_and_predict_write_the_same_bytes(roots, monkeypatch, capsys):
    found = {}
    for storage, root in roots.items():
        monkeypatch.chdir(root)
        assert main(["fit", "--config", "../tiny.yaml", f"--data.storage={storage}"]) == 0
        for command in ("test", "predict"):
            assert main([command, "--ckpt_path=last"]) == 0
        found[storage] = {path.name: path.read_bytes() for path in folder(root).iterdir() if path.suffix in OUTPUT}
    capsys.readouterr()
    assert found["mapped"] == found["memory"]
    assert {"metrics.csv", "predictions.csv", "forecast.csv", "forecast.png"} <= found["memory"].keys()


@pytest.mark.slow
def test_two_devices_with_processes_that_cut_batches_train_as_from_memory(roots):
    two = ("--trainer.strategy=ddp", "--trainer.devices=2", "--data.num_workers=2", "--data.batch_size=32")
    found = {}
    for storage, root in roots.items():
        command = [sys.executable, "-m", "forecastlab", "fit", "--config=../tiny.yaml", f"--data.storage={storage}"]
        path = {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run([*command, *two], cwd=root, env=environment(**path), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        weights = torch.load(folder(root) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        found[storage] = (folder(root) / "metrics.csv").read_bytes(), weights
    (ours, weights), (theirs, others) = found.values()
    assert theirs == ours
    assert all(others[name].equal(value) for name, value in weights.items())
