"""Checkpoints of version 0.1.0, with the forecasts that it made of them: later versions must read both."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab import Forecaster, TableDataModule
from forecastlab.cli import main

OLD = Path(__file__).parent / "old_checkpoints"
"""Of each kind: the config, its last.ckpt, the forecasts behind its rows, and the predictions.csv of a test.

"panel" is a GRU on windows of three series, each scaled by itself, with a known, a static and a second input column,
quantiles and calibrated intervals; "full" is an LSTM on the airline series with `lookback: full` and `anchor: last`.
"""
DATA = {"panel": [f"--data.path={OLD / 'panel.csv'}"], "full": []}
"""What a command has to be told about the rows of each."""
CLOSE = {"rtol": 1e-4, "atol": 1e-6}
"""Processors differ in the last digits of single precision."""


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch):
    """Takes back what a command in this process sets."""
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "0")


def panel_frame():
    """The rows of the panel, and of two more days what is known in advance."""
    rows = pd.read_csv(OLD / "panel.csv")
    later = rows.groupby("unique_id").tail(2).assign(ds=["2020-03-31", "2020-04-01"] * 3, y=np.nan, x=np.nan)
    return pd.concat([rows, later])


def airline_frame():
    return TableDataModule(dataset="airline").frame()


def assert_recorded(found, name):
    expected = pd.read_csv(OLD / name, parse_dates=["ds", "cutoff"])
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, **CLOSE)


@pytest.mark.parametrize(("name", "frame"), [("panel", panel_frame), ("full", airline_frame)])
def test_an_old_checkpoint_gives_the_forecasts_of_its_day(name, frame):
    assert_recorded(Forecaster.load(OLD / f"{name}.ckpt").forecast(frame()), f"{name}_forecast.csv")


@pytest.mark.parametrize(("name", "frame"), [("panel", panel_frame), ("full", airline_frame)])
def test_a_stream_of_an_old_checkpoint_ends_with_the_forecasts_of_its_day(name, frame):
    model = Forecaster.load(OLD / f"{name}.ckpt")
    found = []
    rows = frame()
    for _, series in rows.groupby("unique_id") if name == "panel" else [("", rows)]:
        past = series.dropna(subset=list(model.schema.targets))
        ahead = series.iloc[len(past) :].to_dict("records")
        stream = model.stream()
        for number, row in enumerate(past.to_dict("records"), 1):
            known = [*past.iloc[number:].to_dict("records"), *ahead][: model.schema.horizon]
            latest = stream.update(row, known if name == "panel" else ())
        found.append(latest)
    assert_recorded(pd.concat(found, ignore_index=True), f"{name}_forecast.csv")


@pytest.mark.parametrize("name", DATA)
def test_the_command_test_scores_an_old_checkpoint_as_it_did(name, tmp_path):
    options = [f"--ckpt_path={OLD / name}.ckpt", f"--trainer.default_root_dir={tmp_path}"]
    assert main(["test", *options, *DATA[name]]) == 0
    path = tmp_path / "lightning_logs" / name / "version_0" / "predictions.csv"
    assert_recorded(pd.read_csv(path, parse_dates=["ds", "cutoff"]), f"{name}_test.csv")


@pytest.mark.parametrize(("name", "epochs"), [("panel", 5), ("full", 25)])
def test_a_training_goes_on_from_an_old_checkpoint_as_if_it_had_not_stopped(name, epochs, tmp_path):
    weights = {}
    for way, more in {"resumed": [f"--ckpt_path={OLD / name}.ckpt"], "whole": []}.items():
        options = [f"--trainer.max_epochs={epochs}", f"--trainer.default_root_dir={tmp_path / way}"]
        assert main(["fit", f"--config={OLD / name}.yaml", *DATA[name], *more, *options]) == 0
        last = tmp_path / way / "lightning_logs" / name / "version_0" / "checkpoints" / "last.ckpt"
        weights[way] = torch.load(last, weights_only=True)["state_dict"]
    torch.testing.assert_close(weights["resumed"], weights["whole"], **CLOSE)


def test_a_program_of_that_version_finds_forecaster_where_it_was():
    from forecastlab.forecaster import Forecaster as Old

    assert Old is Forecaster
