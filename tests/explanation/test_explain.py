from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN
from forecastlab.decoders.seq2seq import Seq2Seq
from forecastlab.decoders.temporal_fusion_decoder import TemporalFusionDecoder
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.explanation import gradients
from forecastlab.explanation.explain import explain
from forecastlab.figures.drawing import LIGHT
from forecastlab.hybrids.temporal_fusion import TemporalFusion
from forecastlab.losses import Quantile
from forecastlab.network.registry import registered_backbones
from forecastlab.training.forecaster import Forecaster
from tests.explanation.cases import COLUMNS, data, linear, network, weather
from tests.frames import module as table_module
from tests.frames import wide
from tests.series import Series, as_if_trained

QUICK = {"repeats": 2, "origins": 2, "steps": 2}


def tables(explanation):
    return {finding.picture.name: finding.table for finding in explanation.findings}


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize("name", registered_backbones())
def test_every_registered_backbone_is_explained(name, lookback):
    module = data(lookback=lookback)
    cls = registered_backbones()[name]
    if lookback == "full" and not cls(4).causal:
        with pytest.raises(ConfigError, match="is not causal"):
            network(module, cls)
        return
    explanation = explain(network(module, cls), module, **QUICK)
    found = tables(explanation)
    assert {"permutation", "gradients", "gradients_by_lag"} < set(found)
    inner = [key for key in found if key.startswith(("gates_", "states_"))]
    assert inner
    assert {len(found[key]) for key in inner} == {15}
    for finding in explanation.findings:
        if lookback == 4:
            assert finding.picture.draw(LIGHT).axes
        assert finding.table.select_dtypes("number").notna().to_numpy().all()
    assert f"  {name}" in explanation.summary
    assert "completeness gap" in explanation.summary


def test_the_figures_of_a_layer_have_their_numbers_beside_them():
    module = data(lookback=4)
    found = tables(explain(network(module, partial(LSTM, hidden_size=3, num_layers=2)), module, **QUICK))
    assert list(found) == [
        *("gates_layer_0", "states_layer_0", "gates_layer_1", "states_layer_1"),
        *("permutation", "gradients", "gradients_by_lag"),
    ]
    gates = [f"{name}_gate.{unit}" for name in ("input", "forget", "output") for unit in range(3)]
    assert list(found["gates_layer_1"]) == ["cutoff", "ds", "y", "forecast", *gates]
    states = [f"{name}.{unit}" for name in ("candidate", "cell", "hidden") for unit in range(3)]
    assert list(found["states_layer_0"])[4:] == states
    assert list(found["permutation"]) == ["kind", "name", "mse", "mse_std", "mae", "mae_std"]
    assert list(found["permutation"]["name"]) == ["T0", "T1", "wind", "y", "T"]
    assert list(found["permutation"]["kind"]) == [*["feature"] * 4, "group"]
    assert list(found["gradients"]) == ["kind", "name", "magnitude", "mean"]
    assert list(found["gradients_by_lag"]) == ["lag", "magnitude"]


def test_what_the_network_has_not_is_said():
    module = data(lookback=4)
    summary = explain(network(module, partial(GRU, hidden_size=3)), module, **QUICK).summary
    assert "GRU has no forget gate, no cell state, no attention; its gates are reset, update" in summary


def test_a_decoders_attention_has_its_figure():
    module = data(lookback=4, horizon=2)
    model = network(module, partial(RNN, hidden_size=3), decoder=Seq2Seq)
    assert "attention_decoder" in tables(explain(model, module, **QUICK))


@pytest.mark.parametrize(("stage", "first", "rows"), [("test", 15, 15), ("validation", 13, 2)])
def test_the_stage_chooses_the_rows_and_the_test_rows_come_with_a_warning(stage, first, rows):
    module = data(lookback=4, validation="tail")
    explanation = explain(network(module, partial(LSTM, hidden_size=3)), module, stage, **QUICK)
    shown = tables(explanation)["gates_layer_0"]
    assert list(shown["ds"]) == list(weather().index[first : first + rows])
    assert explanation.summary.startswith(f"{stage} rows of fold 1: {rows} forecasts of y, series city")
    assert ("do not choose features" in explanation.summary) == (stage == "test")


def test_permutations_follow_from_the_seed_and_leave_the_network_as_it_was():
    module = data(lookback=4)
    model = network(module, partial(LSTM, hidden_size=3)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, again, other = (tables(explain(model, module, seed=seed, **QUICK))["permutation"] for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert (first["mse"] != other["mse"]).any()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_captum_all_else_is_explained(monkeypatch):
    def missing():
        raise ForecastlabError("captum is not installed")

    monkeypatch.setattr(gradients, "_captum", missing)
    module = data(lookback=4)
    explanation = explain(network(module, partial(LSTM, hidden_size=3)), module, **QUICK)
    assert list(tables(explanation)) == ["gates_layer_0", "states_layer_0", "permutation"]
    assert "captum is not installed" in explanation.summary


# Panels, several targets, and forecasts of quantiles


def panel(**arguments):
    """Three cities on levels of their own; the first one ends before the test rows of the first fold."""
    lengths = {"bonn": 12, "rome": 60, "oslo": 60}
    frames = [weather(rows, seed).assign(id=name) for seed, (name, rows) in enumerate(lengths.items())]
    raw = pd.concat([frame.assign(y=frame["y"] + 10 * number) for number, frame in enumerate(frames)])
    return Series(raw, features=COLUMNS, recipe={"series": "id"}, **arguments)


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize("scale_by", ["global", "series"])
def test_one_series_of_a_panel_is_explained(lookback, scale_by):
    module = panel(lookback=lookback, scale_by=scale_by)
    model = network(module, partial(LSTM, hidden_size=3))
    alone = explain(model, module, series="oslo", **QUICK)
    rows = tables(alone)["states_layer_0"]
    expected = module.raw[module.raw["id"] == "oslo"]["y"].iloc[15:30]
    assert list(rows["ds"]) == list(expected.index)
    np.testing.assert_allclose(rows["y"], expected, rtol=1e-6)
    module.setup("test")
    model.find_scalings(module.panel.names)
    batches = [batch for batch in module.test_dataloader() if (batch.series == 2).any()]
    forecast = torch.cat([model(batch)[batch.series == 2].flatten() for batch in batches])
    np.testing.assert_allclose(rows["forecast"], forecast.detach(), rtol=1e-5)
    assert "series oslo" in alone.summary


def test_the_first_series_that_has_such_rows_is_taken():
    module = panel(lookback=4)
    assert "series rome" in explain(network(module), module, **QUICK).summary


def test_baselines_are_the_means_of_the_series_itself():
    module = panel(lookback=1, scale_by="series")
    model = linear(module, {"y": 1.0})
    found = tables(explain(model, module, series="oslo", **{**QUICK, "origins": 15}))["gradients"].set_index("name")
    y = module.raw[module.raw["id"] == "oslo"]["y"].to_numpy()
    assert found.loc["y", "mean"] == pytest.approx((y[14:29] - y[:15].mean()).mean(), rel=1e-4)


def test_any_target_may_be_explained():
    module = data(lookback=4, targets=("y", "wind"))
    found = tables(explain(network(module, partial(RNN, hidden_size=3)), module, target="wind", **QUICK))
    np.testing.assert_allclose(found["states_layer_0"]["y"], weather()["wind"].iloc[15:30], rtol=1e-6)


def test_quantile_forecasts_are_explained_by_their_median():
    module = data(lookback=4)
    model = network(module, partial(RNN, hidden_size=3), loss=Quantile)
    assert "gradients" in tables(explain(model, module, **QUICK))


def test_gaps_that_are_interpolated_or_marked_do_not_matter():
    raw = weather()
    raw.iloc[[16, 17, 22], 0] = np.nan
    for missing in ("interpolate", "mask"):
        module = Series(raw, features=COLUMNS, recipe={"missing": missing}, lookback=4)
        table = tables(explain(network(module), module, **QUICK))["permutation"]
        assert table["mse"].notna().all()


# What cannot be explained


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"series": "paris"}, "there is no series 'paris'; there are bonn, rome, oslo"),
        ({"series": "bonn"}, "series bonn has no forecast in the test range of fold 1"),
        ({"target": "x"}, "there is no target 'x'; there are y"),
        ({"repeats": 0}, "repeats must be 1 or more, got 0"),
        ({"block": 0}, "block must be 1 or more, got 0"),
        ({"origins": -1}, "origins must be 1 or more, got -1"),
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"threshold": -0.1}, "threshold must be 0 or more, got -0.1"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings, message):
    module = panel(lookback=4)
    with pytest.raises(ConfigError, match=message):
        explain(network(module), module, **settings)


def test_data_of_another_form_are_refused():
    model = network(data(lookback=4))
    with pytest.raises(ConfigError, match="horizon"):
        explain(model, data(lookback=4, horizon=2))


def test_a_fold_without_test_rows_is_refused():
    module = data(lookback=4, fold="all", validation="tail")
    with pytest.raises(ConfigError, match="fold: all trains on every row"):
        explain(network(module), module)


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
@pytest.mark.parametrize("embeddings", [{"sky": 2}, {}])
def test_the_inputs_of_a_column_of_text_are_one_feature(tmp_path, embeddings):
    sky = np.where(np.random.default_rng(0).random(80) < 0.5, "dry", "wet")
    module = table_module(tmp_path, wide(80).assign(sky=sky), features=["x", "sky"])
    model = as_if_trained(Forecaster(partial(GRU, hidden_size=3), embeddings=embeddings, schema=module.schema).eval())
    for name, parameter in model.named_parameters():
        if name.startswith("embeddings."):
            torch.nn.init.normal_(parameter)
    explanation = explain(model, module, **QUICK)
    found = tables(explanation)
    for name, number in (("permutation", "mse"), ("gradients", "magnitude")):
        single = found[name][found[name]["kind"] == "feature"]
        assert list(single["name"]) == ["x", "sky"]
        assert single[number].abs().min() > 0
    assert "sky=wet" not in explanation.summary


def test_variables_that_are_selected_are_named_with_their_shares():
    recipe = {"known": ("wind",)}
    module = Series(weather(), features=("T0", "T1", "y"), recipe=recipe, lookback=4, horizon=2)
    parts = {"backbone": partial(TemporalFusion, hidden_size=4), "decoder": TemporalFusionDecoder}
    explanation = explain(network(module, **parts), module, **QUICK)
    found = tables(explanation)
    for name, expected in (("selection_backbone", set(COLUMNS)), ("selection_decoder", {"wind", "number of the step"})):
        assert set(found[name]["variable"]) == expected
        assert found[name]["mean"].sum() == pytest.approx(1)
        assert found[name]["mean"].is_monotonic_decreasing
        assert (found[name]["10 %"] <= found[name]["90 %"]).all()
    assert "decoder: selection" in explanation.summary
    assert "attention_decoder" in found
    for finding in explanation.findings:
        assert finding.picture.draw(LIGHT).axes
