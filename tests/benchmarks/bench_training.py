"""Training and forecasting through the product, against what they come down to: torch's layers and Adam in a loop."""

import importlib.util
import time
from functools import partial
from importlib.metadata import version
from itertools import cycle, islice
from statistics import mean

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from forecastlab import Forecaster, OzoneDataModule, TableDataModule
from forecastlab.backbones.lstm import LSTM
from forecastlab.cli import main

WHOLE = {"LSTM-16, 100 steps": (16, 100, 3000), "LSTM-64, 1250 steps": (64, 1250, 500)}
"""Hidden units, steps of the one sequence that is the batch, and how many passes over it are trained."""
PASSES = 10
"""Passes in an epoch, which is logged and validated."""

STEPS = {"32 x 30 steps, 72 to 64": (32, 30, 72, 64, 20), "128 x 64 steps, 8 to 128": (128, 64, 8, 128, 2)}
"""Windows in a batch, their steps, inputs, hidden units, and how many steps of training are a turn."""
LAYERS = 2
TURNS = 40
TORCHS = {"LSTM": nn.LSTM, "GRU": nn.GRU}


class Bare:
    """What a training comes down to: a layer of torch's, a linear one and Adam, from the same weights on.

    Args:
        layer: `nn.LSTM` or `nn.GRU`.
        num_layers: its layers.
        parameters: those of the training that it is compared with, before its first step.
    """

    def __init__(self, layer, num_layers, parameters):
        width, hidden = parameters[0].shape[1], parameters[-2].shape[1]
        self.layer, self.linear = layer(width, hidden, num_layers, batch_first=True), nn.Linear(hidden, 1)
        self.parameters = [*self.layer.parameters(), *self.linear.parameters()]
        assert [own.shape for own in self.parameters] == [other.shape for other in parameters]
        with torch.no_grad():
            for own, other in zip(self.parameters, parameters, strict=True):
                own.copy_(other)
        self.optimizer = torch.optim.Adam(self.parameters)

    def loss(self, x, y):
        return (self.linear(self.layer(x)[0][:, -y.shape[1] :]) - y).square().mean()

    def step(self, x, y):
        loss = self.loss(x, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class Turns:
    """Has a bare loop take its turn after every turn of a training that is under way, and measures both.

    A training cannot be halted from outside whatever its loop is, but every loop has its optimizer take steps.

    Args:
        every: steps in a turn.
        begin: takes the training's parameters before its first step, and gives the bare loop.
        turn: takes the bare loop, which takes `every` steps.
    """

    def __init__(self, every, begin, turn):
        self.every, self.begin, self.turn = every, begin, turn
        self.ours, self.other = [], []
        self._bare, self._steps, self._since, self._ours = None, 0, 0.0, True

    def run(self, train):
        hooks = (
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        )
        try:
            train()
        finally:
            for hook in hooks:
                hook.remove()

    def _before(self, optimizer, *_):
        if self._bare is None:
            self._bare = self.begin(_parameters(optimizer))

    def _after(self, optimizer, *_):
        if not self._ours:
            return
        self._steps += 1
        if self._steps % self.every:
            return
        took, start = time.process_time() - self._since, time.process_time()
        self._ours = False
        self.turn(self._bare)
        self._ours = True
        if self._steps == self.every:  # the first turn is there to see that both do the same
            torch.testing.assert_close(self._bare.parameters, _parameters(optimizer), rtol=1e-3, atol=1e-5)
        else:
            self.ours.append(took)
            self.other.append(time.process_time() - start)
        self._since = time.process_time()


def _parameters(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@pytest.fixture
def beside(benchmark, record, monkeypatch):
    """A function that measures a training against its bare loop and adds the ratio of their times to the table."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # the order of the windows; the command line sets it for good

    def measure(table, name, size, train, every, begin, turn):
        turns = Turns(every, begin, turn)
        benchmark.pedantic(turns.run, args=(train,), rounds=1)
        ours, other = mean(turns.ours) / every, mean(turns.other) / every  # now and then a turn writes files
        row = {"table": table, "name": name, "size": size, "ratio": ours / other}
        record(**row, ours_ms=1e3 * ours, other_ms=1e3 * other, turns=len(turns.ours), steps_in_a_turn=every)

    return measure


def fit(folder, data, backbone, trainer):
    """`forecastlab fit`."""
    classes = {"data": data, "model": {"backbone": backbone, "optimizer": {"class_path": "Adam"}}}
    patience = {"early_stopping": {"patience": 1_000_000}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**classes, **patience, "trainer": trainer}))
    assert main(["fit", f"--config={folder / 'config.yaml'}", f"--trainer.default_root_dir={folder}"]) == 0


def scaled(data, batches):
    """What a network sees of batches, and what it is to give: (batch, time, features) and (batch, origins, 1)."""
    scale = data.scaling.scale
    return [
        (
            scale("feature", batch.history, batch.series).float(),
            scale("target", batch.target, batch.series)[:, :, 0].float(),
        )
        for batch in batches
    ]


@pytest.mark.parametrize("name", WHOLE)
def test_passes_over_one_sequence_against_the_bare_loop(name, beside, tmp_path):
    hidden, steps, passes = WHOLE[name]
    # a row before the first target, the targets, a fifth of which validate, and two test ranges
    data = {"source": "sample", "rows": 1 + round(steps / 0.8) + 4, "lookback": "full", "fold": 1}
    data |= {"splits": 2, "test_size": 2, "passes": PASSES}
    backbone = {"class_path": "LSTM", "init_args": {"hidden_size": hidden}}
    trainer = {"max_epochs": passes // PASSES}
    known = OzoneDataModule(**data)
    known.setup("fit")
    (x, y), *again = scaled(known, known.train_dataloader())
    assert len(again) == PASSES - 1
    [(x_val, y_val)] = scaled(known, known.val_dataloader())
    assert x.shape[1] == steps

    def turn(bare):
        for _ in range(PASSES):
            bare.step(x, y)
        with torch.no_grad():
            bare.loss(x_val, y_val).item()

    train = partial(fit, tmp_path, {"class_path": "OzoneDataModule", "init_args": data}, backbone, trainer)
    table = f"time of a pass over one sequence, forecastlab fit / time of the bare loop, {PASSES} passes in an epoch"
    beside(table, name, "72 inputs, TensorBoard on", train, PASSES, partial(Bare, nn.LSTM, 1), turn)


def panel(series, rows, width):
    """Several series of noise, hour by hour; columns unique_id, ds, y, x1 ..."""
    frame = pd.DataFrame(np.random.default_rng(0).standard_normal((series * rows, width)).astype(np.float32))
    frame.columns = ["y", *(f"x{number}" for number in range(1, width))]
    frame.insert(0, "ds", np.tile(pd.date_range("2020-01-01", periods=rows, freq="h"), series))
    frame.insert(0, "unique_id", np.repeat([f"s{number:04}" for number in range(series)], rows))
    return frame


def our_training(cell, size, frame, folder):
    """`forecastlab fit` on all windows of a panel, and the bare loop's turn, over the same windows, cut beforehand."""
    batch_size, time_, _, hidden, every = STEPS[size]
    frame.to_csv(folder / "panel.csv", index=False)
    columns = {"series_column": "unique_id", "features": list(frame.columns[2:])}
    data = {"path": str(folder / "panel.csv"), **columns, "lookback": time_, "batch_size": batch_size, "fold": "all"}
    data["val_size"] = 1
    known = TableDataModule(**data)
    known.setup("fit")
    batches = scaled(known, known.train_dataloader())
    epochs = 1 + every * TURNS // len(batches)
    trainer = {"max_epochs": epochs, "check_val_every_n_epoch": epochs}  # once, when all turns are over
    backbone = {"class_path": cell, "init_args": {"hidden_size": hidden, "num_layers": LAYERS}}
    windows = cycle(batches)

    def turn(bare):
        for x, y in islice(windows, every):
            bare.step(x, y)

    return partial(fit, folder, {"class_path": "TableDataModule", "init_args": data}, backbone, trainer), turn


def their_training(cell, size, frame, folder):
    """The same network in neuralforecast; the bare loop takes the windows that it drew in its turn."""
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import GRU, LSTM

    batch_size, time_, _, hidden, every = STEPS[size]
    inputs, targets = [], []

    class Watched(MSE):
        def __call__(self, y, *args, **kwargs):
            targets.append(y.detach())
            return super().__call__(y, *args, **kwargs)

    network = {"encoder_n_layers": LAYERS, "encoder_hidden_size": hidden, "decoder_layers": 1, "loss": Watched()}
    windows = {"input_size": time_, "batch_size": 1, "windows_batch_size": batch_size, "scaler_type": "identity"}
    windows |= {"hist_exog_list": list(frame.columns[3:]), "training_data_availability_threshold": 1.0}
    trainer = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    trainer |= {"default_root_dir": folder, "max_steps": every * TURNS}
    model = {"LSTM": LSTM, "GRU": GRU}[cell](h=1, **network, **windows, **trainer)
    model.hist_encoder.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].detach()))

    def turn(bare):
        for x, y in zip(inputs, targets, strict=True):
            bare.step(x, y)
        inputs.clear()
        targets.clear()

    return partial(NeuralForecast([model], freq="h").fit, frame), turn


TRAININGS = {"forecastlab": our_training, "neuralforecast": their_training}
LIBRARIES = ["forecastlab"]
if importlib.util.find_spec("neuralforecast"):
    LIBRARIES.append(pytest.param("neuralforecast", marks=pytest.mark.filterwarnings("ignore")))  # they are not ours


@pytest.mark.parametrize("size", STEPS)
@pytest.mark.parametrize("cell", TORCHS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_training_step_against_a_bare_step(library, cell, size, beside, tmp_path):
    _, steps, width, _, every = STEPS[size]
    train, turn = TRAININGS[library](cell, size, panel(32, 128 + steps + 2, width), tmp_path)
    table = "time of a training step / time of a bare step of torch's layers and Adam, windows cut beforehand"
    name = f"{library} {version(library)}, {cell}"
    beside(table, name, size, train, every, partial(Bare, TORCHS[cell], LAYERS), turn)


SERIES, LOOKBACK, WIDTH, HIDDEN, TEST_ROWS = 1000, 30, 8, 64, 5


@pytest.fixture
def forecasts(tmp_path):
    """A panel on the disk, a network with its scaling, and a trainer."""
    panel(SERIES, LOOKBACK + 20, WIDTH).to_csv(tmp_path / "panel.csv", index=False)
    names = {"series_column": "unique_id", "features": ["y", *(f"x{number}" for number in range(1, WIDTH))]}
    folds = {"fold": 2, "splits": 2, "test_size": TEST_ROWS}
    data = TableDataModule(str(tmp_path / "panel.csv"), **names, **folds, lookback=LOOKBACK, batch_size=256)
    data.setup("test")
    model = Forecaster(partial(LSTM, hidden_size=HIDDEN, num_layers=LAYERS), schema=data.schema).eval()
    model.scaling.load_state_dict(data.scaling.state_dict())
    model.trained = True  # its speed is measured, not its forecasts
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return data, model, lightning.Trainer(accelerator="cpu", logger=False, **quiet)


def of_predict(data, model, trainer):
    return lambda: torch.cat([found.forecast for found in trainer.predict(model, data)]).flatten()


def of_test(data, model, trainer):
    return lambda: torch.tensor(trainer.test(model, data, verbose=False)[0]["test/mae"])


def of_forecast(data, model, _):
    frame = data.frame()
    return lambda: torch.tensor(model.forecast(frame)["forecast"].to_numpy())


FORECASTS = {
    "Trainer.predict": (of_predict, "predict_dataloader"),
    "Trainer.test, with its metrics": (of_test, "test_dataloader"),
    "Forecaster.forecast, from a frame": (of_forecast, "predict_dataloader"),
}


@pytest.mark.parametrize("name", FORECASTS)
def test_forecasts_against_a_bare_forward(name, forecasts, compare, record):
    make, loader = FORECASTS[name]
    data, model, _ = forecasts
    ours = make(*forecasts)
    batches = list(getattr(data, loader)())
    xs = [x for x, _ in scaled(data, batches)]
    lstm, linear = model.backbone.rnn, model.decoder.linear
    center, scale = data.scaling.target_center[0], data.scaling.target_scale[0]

    def bare():
        with torch.no_grad():
            return torch.cat([linear(lstm(x)[0][:, -1]) * scale + center for x in xs]).flatten()

    expected = bare()
    if make is of_test:
        expected = (expected - torch.cat([batch.target for batch in batches]).flatten()).abs().mean()
    torch.testing.assert_close(ours().to(expected), expected, rtol=1e-4, atol=1e-5)
    windows, size = sum(map(len, xs)), f"windows of {LOOKBACK} steps, {WIDTH} to {HIDDEN}"
    table = "time of forecasting / time of a bare forward of torch's layers, windows cut beforehand"
    row = compare(table, name, f"{windows:,} {size}", ours, bare)
    for who, key in (("forecastlab", "ours_ms"), ("bare forward", "other_ms")):
        record(table=f"{size}, forecast per second", name=name, size=who, value=1e3 * windows / row[key])
