"""A run whose rows are in files writes what a run with its rows in memory writes."""

import pytest
import yaml

from forecastlab.cli import main
from tests.cli.commands import folder
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


def written(root, storage, *options):
    """The tables and pictures that fit, test and predict write, by name."""
    assert main(["fit", "--config", str(root / "tiny.yaml"), f"--data.storage={storage}", *options]) == 0
    for command in ("test", "predict"):
        assert main([command, "--ckpt_path=last"]) == 0
    run = folder(root / storage)
    return {path.name: path.read_bytes() for path in run.iterdir() if path.suffix in (".csv", ".png")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
def test_fit_test_and_predict_write_the_same_bytes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows().sample(frac=1, random_state=1).to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    CONFIG["data"]["init_args"]["path"] = str(tmp_path / "rows.parquet")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    found = {}
    for storage in ("memory", "mapped"):
        (tmp_path / storage).mkdir()
        monkeypatch.chdir(tmp_path / storage)
        found[storage] = written(tmp_path, storage)
    capsys.readouterr()
    assert found["mapped"] == found["memory"]
    assert {"metrics.csv", "predictions.csv", "forecast.csv", "forecast.png"} <= found["memory"].keys()
