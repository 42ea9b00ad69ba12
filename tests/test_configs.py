import re
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from forecastlab.cli import main
from forecastlab.data.published import PUBLISHED
from forecastlab.network.registry import registered_backbones
from tests.conftest import existing

REPOSITORY = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (REPOSITORY / "configs").rglob("*.yaml") if path.parent.name != "spaces")
LIMITS = [  # one short epoch, which is validated
    "--trainer.max_epochs=1",
    "--trainer.check_val_every_n_epoch=1",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=1",
]
MOST_LINES = 40


def content(path):
    return yaml.safe_load(path.read_text())


def name(path):
    return str(path.relative_to(REPOSITORY))


def file_of(path):
    """The real file that a config reads, below the data folder; None for what the package has in itself."""
    settings = content(path)["data"]["init_args"]
    if "dataset" in settings:
        return PUBLISHED[settings["dataset"]].relative if PUBLISHED[settings["dataset"]].url else None
    return None if settings.get("source") == "sample" else "ozone/eighthr.data"


def marked(path):
    return pytest.param(path, id=name(path), marks=[pytest.mark.real] if file_of(path) else [])


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch):
    """Takes back what a command in this process sets."""
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "0")


@pytest.mark.parametrize("path", [marked(path) for path in CONFIGS])
def test_a_config_trains(path, request, monkeypatch, tmp_path, capsys):
    if file_of(path):
        folder = request.getfixturevalue("real_data")
        existing(folder / file_of(path))
        monkeypatch.setenv("FORECASTLAB_DATA", str(folder))
    assert main(["fit", "--config", str(path), f"--trainer.default_root_dir={tmp_path}", *LIMITS]) == 0
    assert re.match(r"best val/loss \d+\.\d{4} in epoch 0; ", capsys.readouterr().out)
    (run,) = (tmp_path / "lightning_logs").glob("*/version_0")
    assert run.parent.name == content(path).get("experiment", path.stem)
    log = pd.read_csv(run / "metrics.csv")
    assert log.notna().all(axis=None)
    weights = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_a_config_is_short_and_says_what_it_is_how_it_is_run_and_why_its_values(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= 120
    assert re.match(r"# .{20,}[.:]", lines[0])
    assert re.match(rf"# forecastlab (fit|crossval) --config {name(path)}", lines[1])
    assert sum("#" in line for line in lines[2:]) >= 2


def test_experiments_have_names_of_their_own():
    names = [content(path).get("experiment", path.stem) for path in CONFIGS]
    assert len(set(names)) == len(names)


def test_every_backbone_has_a_config():
    used = {content(path)["model"]["backbone"]["class_path"] for path in CONFIGS if path.parent.name == "backbones"}
    assert used == set(registered_backbones())
