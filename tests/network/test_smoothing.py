"""Exponential smoothing whose coefficients are learned, against its equations in NumPy."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from forecastlab.backbones.gru import GRU
from forecastlab.batch import Batch, Schema
from forecastlab.decoders import Seq2Seq
from forecastlab.errors import ConfigError, DataError
from forecastlab.export import save_torch
from forecastlab.losses import Poisson, Quantile
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.training.forecaster import Forecaster
from tests.frames import module
from tests.network.streams import rows_of
from tests.series import as_if_trained, loss_of, trainer

LOOKBACK, HORIZON = 14, 5
SMALL = partial(GRU, hidden_size=4)
SCHEMA = Schema(
    ("w", "x", "y", "padded"),
    ("y", "w"),
    horizon=HORIZON,
    lookback=LOOKBACK,
    min_history=2,
    season_length=3,
    panel=("a", "b", "c", "d"),
)
OWN = [2, 0]
PADDING = (0, 5, 9, 12)


def batch(size=1.0):
    """Windows that grow and have seasons; all but the first lack rows, which repeat their first one."""
    random = np.random.default_rng(0)
    rows = np.arange(LOOKBACK)
    level = size * np.array([1.0, 30.0, 900.0, 5.0])[:, None] * 1.03**rows
    own = np.stack([level * (1 + 0.3 * np.sin(2 * np.pi * rows / m)) for m in (3, 6)], -1)
    own *= np.exp(0.1 * random.normal(size=own.shape))
    other = random.normal(size=(4, LOOKBACK, 1))
    history = np.concatenate([own[..., [1]], other, own[..., [0]], np.zeros((4, LOOKBACK, 1))], -1)
    for row, lacking in enumerate(PADDING):
        history[row, :lacking] = history[row, lacking]
        history[row, :lacking, 3] = 1
    history = torch.from_numpy(history)
    last = history[:, -1:, OWN]
    return Batch(
        history=history,
        known=torch.empty(4, 1, HORIZON, 0).double(),
        static=torch.empty(4, 0).double(),
        last=last,
        target=last[:, :, None] * torch.from_numpy(np.exp(0.2 * random.normal(size=(4, 1, HORIZON, 2)))),
        weight=torch.ones(4, 1, HORIZON, 2).double(),
        index=torch.zeros(4, 1, dtype=torch.int64),
        series=torch.arange(4),
    )


def network(smoothing="series", schema=SCHEMA, backbone=SMALL, **settings):
    """A network in float64, whose coefficients differ from series to series."""
    torch.manual_seed(0)
    model = Forecaster(backbone, smoothing=smoothing, schema=schema.as_dict(), **settings).double().eval()
    if model.smoothing is not None:
        for parameter in model.smoothing.parameters():
            nn.init.normal_(parameter)
    return as_if_trained(model)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def by_hand(y, logits, seasons, wrong=""):
    """The smoothing of one window of one target: inputs, forecasts without a network, level times seasons, unit."""
    a, *rates = logistic(np.asarray(logits))
    factors, rest = [], y
    for m in seasons:
        whole = [rest[k * m : (k + 1) * m] for k in range(2) if (k + 1) * m <= len(y)]
        growth = whole[1].mean() / whole[0].mean() if len(whole) == 2 and wrong != "no growth at first" else 1.0
        grown = growth ** ((np.arange(m) - (m - 1) / 2) / m)
        first = np.mean([part / (part.mean() * grown) for part in whole], 0) if whole else np.ones(m)
        if wrong == "no seasons at first":
            first = np.ones(m)
        factors.append(list(first))
        rest = rest / np.resize(first, len(y))
    levels, products = [], []
    for t, value in enumerate(y):
        now = [s[t] for s in factors]
        product = np.prod(now)
        before = levels[-1] if levels else value / product
        level = a * value / product + (1 - a) * before
        used = before if wrong == "season from the level before" else level
        for s, rate, own in zip(factors, rates, now, strict=True):
            others = 1.0 if wrong == "seasons that do not see each other" else product / own
            s.append(rate * value / (used * others) + (1 - rate) * own)
        levels.append(level)
        products.append(product)
    levels, products = np.array(levels), np.array(products)
    unit = max(np.abs(np.log(y[1:] / (levels[:-1] * products[1:]))).mean(), 0.02)
    at = levels[-1] if wrong != "levels of each row" else levels
    inputs = np.log(y / (at * products)) / unit
    tail = [np.resize(s[-m:], HORIZON) for s, m in zip(factors, seasons, strict=True)]
    return inputs, levels[-1] * np.prod([np.ones(HORIZON), *tail], 0), levels[-1] * products[-1], unit


def windows(x):
    for sample, history in enumerate(x.history.numpy()):
        for target, column in enumerate(OWN):
            yield sample, target, history[history[:, 3] == 0, column]


@pytest.mark.parametrize("seasons", [[], [3], [3, 6], [4], [2, 7]], ids=str)
def test_windows_are_smoothed_as_the_equations_say(seasons):
    model, x = network(smoothing_seasons=seasons, schema=SCHEMA if seasons else levels_only()), batch()
    scaled = model.scaled(x)
    logits = (model.smoothing.shared + model.smoothing.series).detach().numpy()
    for sample, target, y in windows(x):
        inputs, ahead, here, unit = by_hand(y, logits[sample, target], seasons)
        found = scaled.inputs[sample, :, OWN[target]].detach().numpy()
        np.testing.assert_allclose(found[LOOKBACK - len(y) :], inputs, rtol=1e-9, atol=1e-9)
        assert not found[: LOOKBACK - len(y)].any()
        np.testing.assert_allclose(scaled.offset[sample, 0, :, target].detach().numpy(), ahead, rtol=1e-10)
        np.testing.assert_allclose(scaled.unit[sample, 0, target].item(), unit, rtol=1e-10)
        last = scaled.last[sample, 0, target].item()
        assert last == pytest.approx((y[-1] / here - 1) / unit, rel=1e-9, abs=1e-12)


def levels_only():
    return Schema(**{**vars(SCHEMA), "season_length": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        *("no seasons at first", "no growth at first", "season from the level before"),
        *("seasons that do not see each other", "levels of each row"),
    ],
)
def test_other_equations_give_other_inputs_or_forecasts(wrong):
    model, x = network(smoothing_seasons=[3, 6]), batch()
    scaled = model.scaled(x)
    logits = (model.smoothing.shared + model.smoothing.series).detach().numpy()
    sample, target, y = next(windows(x))
    inputs, ahead, _, _ = by_hand(y, logits[sample, target], [3, 6], wrong)
    alike = np.allclose(scaled.inputs[sample, :, OWN[target]].detach().numpy(), inputs, rtol=1e-3)
    assert not (alike and np.allclose(scaled.offset[sample, 0, :, target].detach().numpy(), ahead, rtol=1e-3))


@pytest.mark.parametrize("loss", [Quantile, partial(Quantile, quantiles=[0.5])])
def test_the_forecast_is_level_times_season_times_what_the_network_adds(loss):
    model, x = network(loss=loss), batch()
    scaled = model.scaled(x)
    encoded = model.backbone(scaled.inputs)[0]
    raw = model.decoder(encoded, x.known, scaled.last)
    expected = scaled.offset * (1 + scaled.unit[:, None] * model.loss.point(raw))
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=0)
    quantiles = scaled.offset[..., None] * (1 + scaled.unit[:, None, ..., None] * model.loss.quantiles(raw))
    torch.testing.assert_close(model.predict_step(x).quantiles, quantiles, rtol=1e-12, atol=0)


@pytest.mark.parametrize("settings", [{}, {"loss_units": "window", "linear_window": True, "loss": Quantile}])
def test_targets_in_another_unit_are_forecast_in_that_unit(settings):
    model = network(**settings)
    small, large = (model.predict_step(batch(size)) for size in (1.0, 1e6))
    torch.testing.assert_close(large.forecast, 1e6 * small.forecast, rtol=1e-10, atol=0)
    torch.testing.assert_close(large.quantiles, 1e6 * small.quantiles, rtol=1e-10, atol=0)


@pytest.mark.parametrize("settings", [{}, {"channels": "independent"}, {"decoder": partial(Seq2Seq, hidden_size=3)}])
def test_windows_do_not_see_each_other(settings):
    model, x = network(**settings), batch()
    alone = torch.cat([model(Batch(*(part[row : row + 1] for part in x))) for row in range(4)])
    torch.testing.assert_close(model(x), alone, rtol=1e-10, atol=0)


@pytest.mark.parametrize("loss_units", ["scaled", "window"])
def test_the_coefficients_learn_from_errors_of_the_forecast_and_not_from_its_unit(loss_units):
    """The gradient is that of errors in a unit that stands still, by differences of the loss."""
    model, x = network(loss_units=loss_units), batch()
    scaled = model.scaled(x)
    unit = (scaled.scale * (scaled.unit[:, None] if loss_units == "window" else 1)).detach()
    fixed = scaled.unit.detach()

    def loss():
        now = model.scaled(x)
        inputs = now.inputs.clone()  # in the unit that stands still
        inputs[..., OWN] = inputs[..., OWN] * now.unit / fixed
        raw = model.decoder(model.backbone(inputs)[0], x.known, now.last * now.unit / fixed)[..., 0]
        return ((now.offset * (1 + fixed[:, None] * raw) - x.target) / unit).square().mean()

    loss_of(model, x).backward()
    assert loss_of(model, x).item() == pytest.approx(loss().item(), rel=1e-10)
    for table in (model.smoothing.shared, model.smoothing.series):
        place = (0,) * table.dim()
        found = table.grad[place].item()
        with torch.no_grad():
            kept, around = table[place].item(), []
            for step in (1e-5, -1e-5):
                table[place] = kept + step
                around.append(loss().item())
            table[place] = kept
        assert found == pytest.approx((around[0] - around[1]) / 2e-5, rel=1e-4)


def test_what_comes_after_the_origin_changes_nothing():
    model, x = network(), batch()
    torch.testing.assert_close(model(x._replace(target=9 * x.target)), model(x), rtol=0, atol=0)
    history = x.history.clone()
    history[:, -1, OWN] *= 1.5  # unlike the last row that is known
    assert not torch.allclose(model(x._replace(history=history)), model(x), rtol=1e-3)


def test_a_new_series_has_the_coefficients_that_all_share():
    model, x = network(), batch()
    shared = network("shared")
    shared.load_state_dict(
        {**shared.state_dict(), **{k: v for k, v in model.state_dict().items() if k != "smoothing.series"}}
    )
    new = model(x._replace(series=torch.full((4,), -1)))
    torch.testing.assert_close(new, shared(x), rtol=1e-12, atol=0)
    assert not torch.allclose(model(x), new, rtol=1e-3)


def shops(rows=96):
    """Three series with a season of 12 and of unlike size."""
    random = np.random.default_rng(0)
    parts = []
    for number, name in enumerate("abc"):
        t = np.arange(rows)
        y = 10.0 ** (2 * number) * 1.01**t * (1 + 0.4 * np.sin(2 * np.pi * (t + number) / 12))
        y *= np.exp(0.03 * random.normal(size=rows))
        parts.append(
            pd.DataFrame({"unique_id": name, "ds": pd.date_range("2010-01-01", periods=rows, freq="MS"), "y": y})
        )
    return pd.concat(parts, ignore_index=True)


def trained(folder, raw=None, epochs=2, **settings):
    data = module(
        folder,
        shops() if raw is None else raw,
        series_column="unique_id",
        **{"lookback": 24, "horizon": 6, "season_length": 12},
    )
    torch.manual_seed(0)
    settings = {"smoothing": "series", "linear_window": True, "loss": Quantile, **settings}
    model, running = Forecaster(SMALL, schema=data.schema, **settings), trainer(max_epochs=epochs)
    running.fit(model, data)
    return model, running, data


def test_seasons_are_forecast_without_a_trained_network(tmp_path):
    model, running, data = trained(tmp_path, epochs=1, optimizer=partial(torch.optim.SGD, lr=0.0))
    for parameter in model.decoder.parameters():
        nn.init.zeros_(parameter)
    assert running.test(model, data, verbose=False)[0]["test/mase"] < 0.9


def test_training_moves_the_coefficients_and_a_checkpoint_keeps_them(tmp_path):
    model, running, data = trained(tmp_path)
    for table in (
        model.smoothing.series,
        model.smoothing.shared - Forecaster(smoothing="shared", schema=data.schema).smoothing.shared,
    ):
        assert (table.detach().abs() > 1e-4).all()
    running.save_checkpoint(tmp_path / "x.ckpt")
    assert read_checkpoint(tmp_path / "x.ckpt")["hyper_parameters"]["smoothing"] == "series"
    loaded, x = Forecaster.load(tmp_path / "x.ckpt"), next(iter(data.test_dataloader()))
    assert torch.equal(loaded(x), model.eval()(x))
    again = Forecaster(SMALL, schema=data.schema, smoothing="series", linear_window=True, loss=Quantile)
    trainer(max_epochs=3).fit(again, data, ckpt_path=tmp_path / "x.ckpt")
    whole, _, _ = trained(tmp_path, epochs=3)
    assert (again.smoothing.series - model.smoothing.series).abs().max() < 0.1
    assert again.smoothing.series.shape == whole.smoothing.series.shape


def test_a_stream_smooths_as_a_frame_does(tmp_path):
    model, _, _ = trained(tmp_path)
    raw = shops()[lambda rows: rows["unique_id"] == "b"]
    stream = model.stream()
    *_, last = (stream.update(row) for row in rows_of(raw))
    np.testing.assert_allclose(last["forecast"], model.forecast(raw)["forecast"], rtol=1e-6)


def test_a_program_smooths_as_the_network_does(tmp_path):
    model, _, data = trained(tmp_path)
    exported = save_torch(model.eval(), tmp_path / "a.pt2")
    assert exported.lines[0].startswith("inputs: history (batch, 24, 1)")
    x = next(iter(data.test_dataloader()))
    found = torch.export.load(tmp_path / "a.pt2").module()(history=x.history, series=x.series)
    expected = model.predict_step(x)
    np.testing.assert_allclose(found["forecast"].numpy(), expected.forecast[:, 0].detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(found["quantiles"].numpy(), expected.quantiles[:, 0].detach().numpy(), rtol=1e-5)


def test_values_that_are_not_above_0_are_refused_with_what_to_set(tmp_path):
    raw = shops()
    raw.loc[120, "y"] = 0.0
    words = r"needs targets above 0, but y of series b is 0 \(and so are 1 values in all\): set model.smoothing none"
    with pytest.raises(ConfigError, match=words):
        trained(tmp_path, raw)
    model, _, _ = trained(tmp_path)
    with pytest.raises(DataError, match="The largest input is y: 0, which is inf"):
        model.forecast(raw[raw["unique_id"] == "b"].iloc[:26])


def test_such_values_are_counted_and_named_in_panels_that_are_looked_at_in_parts(tmp_path, monkeypatch):
    raw = shops().sort_values("ds", kind="stable")  # the series take turns
    wrong = raw.sample(9, random_state=1).index
    raw.loc[wrong, "y"] = -1.0 - np.arange(9)
    bad = raw.loc[wrong].sort_values(["unique_id", "ds"])
    first = bad.iloc[0]
    words = rf"y of series {first['unique_id']} is {first['y']:g} \(and so are 9 values in all\)"
    for at_once in (10, 1 << 20):
        monkeypatch.setattr("forecastlab.data.panel.ROWS_AT_ONCE", at_once)
        with pytest.raises(ConfigError, match=words):
            trained(tmp_path, raw)


WHOLE = Schema(("y",), ("y",), horizon=2, lookback="full")
TRANSFORMED = Schema(("y",), ("y",), lookback=4, recipe={"transform": {"y": ["log"]}})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"smoothing": "each"}, "model.smoothing must be one of none, shared, series, got 'each'"),
        ({"smoothing": "none", "smoothing_seasons": [3]}, "smoothing_seasons needs model.smoothing"),
        ({"anchor": "last"}, "as model.anchor: last does: set model.anchor none"),
        ({"anchor": "last", "window_norm": "mean"}, "set model.anchor none"),
        ({"loss": Poisson}, "where 0 stays 0: model.smoothing"),
        ({"smoothing": "shared", "schema": WHOLE}, "smoothing: shared needs windows, but lookback: full"),
        ({"smoothing": "shared", "schema": TRANSFORMED}, "multiplicative already, and data.transform changes y"),
        ({"schema": Schema(("y",), ("y",), lookback=4)}, "the data are one series: set it to shared"),
        ({"schema": Schema(("x",), ("y",), lookback=4)}, "needs the targets among the features: add y"),
        ({"smoothing_seasons": [3, 6, 9]}, r"one or two numbers of rows from 2 on, ascending, got \[3, 6, 9\]"),
        ({"smoothing_seasons": [6, 3]}, "ascending"),
        ({"smoothing_seasons": [1]}, "from 2 on"),
        ({"smoothing_seasons": [15]}, "a season of 15 rows in each window, but data.lookback is 14"),
    ],
)
def test_a_smoothing_that_cannot_work_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        network(**settings)
