"""Transforms of targets: into the network and exactly back."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from forecastlab import Forecaster
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.data.transform import Transform
from forecastlab.errors import ConfigError, DataError
from forecastlab.losses import MAPE
from forecastlab.network.network import Network
from forecastlab.runs.checkpoint_schema import SCHEMA
from tests.series import trainer

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
SHARE = {"logit": [0, 100]}
KINDS = {"log1p": Transform("log1p"), "log": Transform("log"), "sqrt": Transform("sqrt")}
KINDS["logit"] = Transform("logit", 0.0, 100.0)
FORMULAS = {"log1p": np.log1p, "log": np.log, "sqrt": np.sqrt, "logit": lambda y: logit(y / 100)}


def table(rows=120, **columns):
    wave = 30 + 20 * np.sin(np.arange(rows) / 4) + np.arange(rows) % 3
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=rows), "y": wave, "x": wave**2, **columns})


def module(frame, **settings):
    return TableDataModule(frame, **{"lookback": 6, "horizon": 2, "test_size": 10, "splits": 3, **settings})


def network(data, **settings):
    torch.manual_seed(0)
    model = Forecaster(LSTM, schema=data.schema, **settings).eval()
    model.scaling.load_state_dict(data.scaling.state_dict())
    model.trained = True
    return model


@pytest.mark.parametrize("kind", KINDS)
@given(values=st.lists(st.floats(1e-6, 99.999), min_size=1))
def test_the_inverse_is_exact_and_the_formula_is_the_books(kind, values):
    given_values = torch.tensor(values, dtype=torch.float64)
    image = KINDS[kind].apply(given_values)
    np.testing.assert_allclose(image.numpy(), FORMULAS[kind](np.array(values)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(KINDS[kind].invert(image).numpy(), values, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_inverse_increases_and_stays_within_the_domain(kind):
    values = KINDS[kind].invert(torch.linspace(-40, 40, 1001, dtype=torch.float64))
    assert (values.diff() >= 0).all()
    assert values.min() >= 0
    assert kind != "logit" or values.max() <= 100


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_filled_outside_the_domain_stays_finite(kind):
    assert KINDS[kind].apply(torch.tensor([0.0, -5.0, 1000.0], dtype=torch.float64)).isfinite().all()


@pytest.mark.parametrize("transform", ["log1p", "log", "sqrt", SHARE])
@pytest.mark.parametrize("anchor", ["none", "last"])
def test_a_network_with_a_transform_is_one_of_transformed_values(transform, anchor):
    kind = transform if isinstance(transform, str) else "logit"
    frame = table()
    data, image = module(frame, transform=transform), module(frame.assign(y=FORMULAS[kind](frame["y"])))
    model, plain = network(data, anchor=anchor), network(image, anchor=anchor)
    for name, buffer in plain.scaling.named_buffers():
        torch.testing.assert_close(model.scaling.get_buffer(name), buffer)
    ours, theirs = model.forecast(frame), plain.forecast(frame.assign(y=FORMULAS[kind](frame["y"])))
    expected = KINDS[kind].invert(torch.tensor(theirs["forecast"].to_numpy()))
    np.testing.assert_allclose(ours["forecast"], expected, rtol=1e-6)


def test_only_the_targets_that_are_named_are_transformed():
    data = module(table(), targets=["y", "x"], features=["x", "y"], transform={"x": "log"})
    assert data.scaling.feature_center[0, 0] == pytest.approx(np.log(table()["x"][: data.ranges.fit.stop]).mean())
    assert data.scaling.target_center[0, 0] == pytest.approx(table()["y"][: data.ranges.fit.stop].mean())
    assert SCHEMA(data.schema, "schema") is None


def test_metrics_and_predictions_are_in_original_units_and_a_checkpoint_carries_the_transform(tmp_path):
    frame = table()
    data = module(frame, transform="log1p")
    model = Forecaster(GRU, schema=data.schema, intervals=[0.8])
    fitting = trainer(max_epochs=1)
    fitting.fit(model, data)
    result = fitting.test(model, data, verbose=False)[0]
    rows = fitting.predict(model, data)
    assert result["test/mae"] < 60
    path = tmp_path / "x.ckpt"
    fitting.save_checkpoint(path)
    loaded = Network.load(path)
    assert loaded.schema.recipe["transform"] == {"y": ["log1p"]}
    forecast = loaded.forecast(frame)
    np.testing.assert_allclose(forecast["forecast"], rows[0].forecast.flatten(), rtol=1e-6)
    assert (forecast["forecast-lo-80"] <= forecast["forecast"]).all()
    assert (forecast["forecast-hi-80"] >= forecast["forecast"]).all()
    with pytest.raises(ConfigError, match="the network was trained with transform"):
        fitting.test(model, module(frame), verbose=False)


def test_a_stream_forecasts_what_a_frame_forecasts():
    frame = table()
    model = network(module(frame, transform="sqrt"))
    stream = model.stream()
    for row in frame.to_dict("records"):
        last = stream.update(row)
    np.testing.assert_allclose(last["forecast"], model.forecast(frame)["forecast"], rtol=1e-6)
    with pytest.raises(DataError, match="takes values from 0 on"):
        stream.update({"ds": "2024-04-30", "y": -1.0})


@pytest.mark.parametrize(
    ("transform", "value", "said"),
    [
        ("log", 0.0, r"row 8 \(line 9 .*column y: got 0, but transform: log takes values above 0 .*log1p takes 0 too"),
        ("log1p", -1.0, r"row 8 \(line 9 .*got -1, but transform: log1p takes values from 0 on \(1 of 120 rows"),
        ("sqrt", -1.0, "takes values from 0 on"),
        (SHARE, 100.0, "takes values between 0 and 100, without these two"),
    ],
)
def test_a_value_without_an_image_is_refused_with_its_line(transform, value, said):
    frame = table()
    frame.loc[7, "y"] = value
    with pytest.raises(DataError, match=said):
        _ = module(frame, transform=transform).tables


def test_sums_are_judged_and_not_their_parts():
    frame = table(24 * 30).assign(ds=pd.date_range("2024-01-01", periods=24 * 30, freq="h"))
    frame.loc[7, "y"] = 0.0
    data = module(frame, transform="log", resample={"rule": "D", "how": "sum"}, lookback=2, test_size=3)
    assert len(data.table.times) == 30


def test_missing_values_that_are_filled_with_0_are_no_obstacle():
    frame = table()
    frame.loc[[0, 1, 50], "x"] = np.nan
    data = module(frame, targets=["y", "x"], transform="log", missing="mask")
    assert np.isfinite(network(data).forecast(frame)["forecast"]).all()


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        ("exp", "transform must be none"),
        ({"y": {"logit": [5, 1]}}, "the lower one first"),
        ({"y": {"logit": [1]}}, "with two numbers"),
        ({"x": "log"}, "x is no target"),
        ("logit", "with two numbers"),
    ],
)
def test_a_setting_that_is_no_transform_is_refused(transform, said):
    with pytest.raises(ConfigError, match=said):
        module(table(), transform=transform)


def test_a_loss_of_original_units_is_refused():
    with pytest.raises(ConfigError, match="MAPE"):
        Forecaster(LSTM, loss=MAPE, schema=module(table(), transform="log").schema)
