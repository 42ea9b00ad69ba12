"""Draws docs/pictures from small trainings, about three minutes: `python -m tests.reference.pictures`.

It needs the real ozone data, below `$FORECASTLAB_DATA` or downloaded.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import forecastlab
from forecastlab.evaluation.pictures import pictures
from forecastlab.experiment.config import Config
from forecastlab.experiment.config_reading import read_config
from forecastlab.experiment.environment import prepare
from forecastlab.experiment.experiment import Experiment
from forecastlab.experiment.shipped import path_of
from forecastlab.explanation.explain import explain
from forecastlab.figures.drawing import LIGHT, png

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
DPI = 130
"""Of a picture that a page shows half as wide as its text."""


def settings(name: str, root: str, **model: Any) -> dict[str, Any]:
    """A small network for five days of the sample's weather."""
    return {
        "experiment": name,
        "data": {
            "class_path": "OzoneDataModule",
            "init_args": {"source": "sample", "lookback": 30, "horizon": 5, "fold": 5},
        },
        "model": {
            "backbone": {"class_path": "PeepholeLSTM", "init_args": {"hidden_size": 16}},
            "anchor": "last",
            **model,
        },
        "trainer": {"max_epochs": 15, "default_root_dir": root},
    }


def houston(root: str) -> Iterator[tuple[str, Figure]]:
    """What the first commands of the README forecast for the last rows of the ozone data."""
    config = {**read_config(path_of("ozone/windowed_lstm")), "experiment": "LSTM"}
    config["trainer"]["default_root_dir"] = root
    run = forecastlab.crossval(config, folds=[5], baselines=["persistence"])
    drawn = {picture.name: picture for picture in pictures(forecastlab.compare([run]).comparison, "mse_scaled")}
    yield "houston", drawn["forecast_fold_5"].draw(LIGHT)


def forecast() -> Iterator[tuple[str, Figure]]:
    """A year of the airline's passengers, beyond the last row."""
    model = forecastlab.fit("airline", horizon=12)
    yield "forecast", model.plot(history=48)


def intervals(root: str) -> Iterator[tuple[str, Figure]]:
    """Learned quantiles, and the same ones calibrated on the validation range."""
    loss = {"class_path": "Quantile", "init_args": {"quantiles": [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]}}
    runs = [
        forecastlab.crossval(settings("learned", root, loss=loss), folds=[3, 5], baselines=["persistence"]),
        forecastlab.crossval(
            settings("calibrated", root, loss=loss, intervals=[0.5, 0.8, 0.9]), folds=[3, 5], baselines=["persistence"]
        ),
    ]
    drawn = {picture.name: picture for picture in pictures(forecastlab.compare(runs).comparison, "mse_scaled")}
    yield "calibration", drawn["calibration"].draw(LIGHT)
    yield "calibration_histogram", drawn["calibration_histogram"].draw(LIGHT)
    yield "fan", drawn["fan_1"].draw(LIGHT)


def explanation(root: str) -> Iterator[tuple[str, Figure]]:
    """The gates of a network, and the importance of its features."""
    prepare()
    fitted = Experiment(Config.of(settings("explained", root)).arguments("fit")).execute()
    found = explain(fitted.model, fitted.datamodule, "validation", repeats=5, origins=8, steps=8)
    drawn = {finding.picture.name: finding.picture for finding in found.findings}
    yield "gates", drawn["gates_layer_0"].draw(LIGHT)
    yield "permutation", drawn["permutation"].draw(LIGHT)


def draw(folder: Path = FOLDER) -> None:
    """Writes all pictures."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as root:
        for name, figure in (*houston(root), *forecast(), *intervals(root), *explanation(root)):
            (folder / f"{name}.png").write_bytes(png(figure, DPI))


if __name__ == "__main__":
    draw()
