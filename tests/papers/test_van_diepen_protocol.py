"""The paper's own experiment, whole."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from forecastlab.cli import main

CONFIG = Path(__file__).parents[2] / "configs" / "ozone" / "lstm.yaml"


def fit(path, root, epochs, *more):
    given = [f"--data.path={path}", f"--trainer.default_root_dir={root}", f"--trainer.max_epochs={epochs}", *more]
    assert main(["fit", "--config", str(CONFIG), *given]) == 0
    return root / "lightning_logs" / "ozone-lstm" / "version_0"


@pytest.mark.slow
@pytest.mark.real
def test_the_papers_lstm_reaches_its_published_loss_also_when_it_is_stopped_half_way(real_ozone, tmp_path):
    whole = fit(real_ozone, tmp_path / "whole", 300)
    curve = pd.read_csv(whole / "metrics.csv")
    assert len(curve) == 300
    assert 0.30 < curve["val/loss"].min() < 0.37  # the paper publishes 0.333
    fit(real_ozone, tmp_path / "halves", 150)
    halves = fit(real_ozone, tmp_path / "halves", 300, "--ckpt_path=last")
    pd.testing.assert_frame_equal(pd.read_csv(halves / "metrics.csv"), curve, check_exact=True)
    ours, theirs = (torch.load(run / "checkpoints" / "best.ckpt", weights_only=True) for run in (halves, whole))
    assert ours["epoch"] == theirs["epoch"] == curve["val/loss"].idxmin()
    assert all(torch.equal(ours["state_dict"][name], theirs["state_dict"][name]) for name in theirs["state_dict"])
