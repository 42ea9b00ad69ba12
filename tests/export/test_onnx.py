"""Networks as ONNX files, run by ONNX Runtime."""

import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import onnxruntime
import pytest
from torch import nn
from torch.utils._pytree import tree_leaves

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.rnn import RNN
from forecastlab.batch import Schema
from forecastlab.decoders import AttentionPooling, Decoder, Linear, Segments, Seq2Seq, TemporalFusionDecoder
from forecastlab.errors import ConfigError, ForecastlabError
from forecastlab.export import save_onnx
from forecastlab.export.program import capture, nested
from forecastlab.hybrids.attentive import Attentive
from forecastlab.hybrids.bidirectional import Bidirectional
from forecastlab.hybrids.conv_encoder import ConvEncoder
from forecastlab.hybrids.patches import Patches
from forecastlab.losses import GaussianNLL, ImplicitQuantile, JointMeanQuantile, Quantile
from forecastlab.network.factory import subclasses
from forecastlab.network.registry import registered_backbones
from tests.backbones.variants import cases
from tests.export.networks import RICH, SMALL, WHOLE, forecasts, inputs, network
from tests.series import Series, noise


def every(cases, *quick):
    """Parameters of a test, of which all but some are slow."""
    return [
        pytest.param(case, id=name, marks=[] if name in quick else pytest.mark.slow) for name, case in cases.items()
    ]


BACKBONES = {case.cls.__name__: case for case in cases() if case.default}
CAUSAL = {name: case for name, case in BACKBONES.items() if case.build().causal}
SMALL_RNN = partial(RNN, hidden_size=4)
DECODERS = {
    "Linear": Linear,
    "AttentionPooling": AttentionPooling,
    "Segments": partial(Segments, length=2),
    "AttentionPooling(linear)": partial(AttentionPooling, score="linear"),
    **{
        f"Seq2Seq({score})": partial(Seq2Seq, attention=score)
        for score in ("none", "additive", "dot", "general", "scaled_dot")
    },
    "Seq2Seq(gru)": partial(Seq2Seq, cell="gru", num_layers=2),
    "TemporalFusionDecoder": TemporalFusionDecoder,
    "TemporalFusionDecoder(gru)": partial(TemporalFusionDecoder, cell="gru", num_heads=2),
}


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def described(run):
    return json.loads(run.get_modelmeta().custom_metadata_map["forecastlab"])


def assert_forecasts_alike(model, run, *sizes):
    """Compares what a file computes with what the network computes, for (rows, time) each."""
    names = [part.name for part in run.get_inputs()]
    outputs = [part.name for part in run.get_outputs()]
    for rows, time in sizes:
        given = inputs(model, rows, time)
        expected = forecasts(model, given)
        found = dict(zip(outputs, run.run(None, {name: given[name].numpy() for name in names}), strict=True))
        for name, values in found.items():
            assert values.dtype == np.float64
            np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-5 * np.abs(expected[name]).max())


def test_no_backbone_and_no_decoder_is_left_out():
    assert set(BACKBONES) == set(registered_backbones())
    ours = {name for name, cls in subclasses(Decoder).items() if cls.__module__.startswith("forecastlab.")}
    assert {name.partition("(")[0] for name in DECODERS} == ours - {"DeepAR"}, "which is refused: test_obstacles.py"


@pytest.mark.parametrize("case", every(BACKBONES, "ALSTM", "LSTM"))
def test_every_backbone_runs_for_any_batch_and_any_length(tmp_path, case):
    model = network(partial(case.cls, **case.arguments), anchor="last")
    exported = save_onnx(model, tmp_path / "a.onnx")
    assert exported.files == [tmp_path / "a.onnx"]
    assert exported.lines[0] == "inputs: history (batch, time, 2), last (batch, 1)"
    assert exported.lines[2] == "dynamic axes: batch, time"
    assert_forecasts_alike(model, session(tmp_path / "a.onnx"), (1, 6), (3, 6), (2, 40))


@pytest.mark.parametrize("decoder", every(DECODERS, "Seq2Seq(general)"))
def test_every_decoder_runs_for_any_batch_and_any_length(tmp_path, decoder):
    model = network(SMALL_RNN, RICH, decoder=decoder)
    exported = save_onnx(model, tmp_path / "a.onnx")
    assert exported.lines[2] == "dynamic axes: batch, time"
    assert_forecasts_alike(model, session(tmp_path / "a.onnx"), (1, 6), (3, 6), (2, 11))


SETTINGS = {
    "quantiles": {"loss": partial(Quantile, quantiles=[0.1, 0.5, 0.9]), "anchor": "last"},
    "mean and quantiles": {"loss": JointMeanQuantile, "intervals": [0.9]},
    "any quantile": {"loss": partial(ImplicitQuantile, quantiles=[0.1, 0.9]), "anchor": "last"},
    "a distribution": {"loss": GaussianNLL, "decoder": Seq2Seq},
    "intervals": {"intervals": [0.5, 0.9], "anchor": "last", "window_norm": "standard", "linear_skip": True},
    "changes": {"anchor": "last", "window_norm": "last", "dropout": 0.5},
}


@pytest.mark.parametrize("settings", every(SETTINGS, "intervals"))
def test_scaling_anchor_and_quantiles_are_inside(tmp_path, settings):
    model = network(SMALL_RNN, RICH, **settings)
    save_onnx(model, tmp_path / "a.onnx")
    run = session(tmp_path / "a.onnx")
    outputs = {part.name: part.shape for part in run.get_outputs()}
    levels = [len(model.levels)] if model.levels else []
    assert outputs == {"forecast": ["batch", 3, 2]} | ({"quantiles": ["batch", 3, 2, *levels]} if levels else {})
    assert_forecasts_alike(model, run, (1, 6), (3, 6), (4, 9))


@pytest.mark.parametrize("channels", ["mixed", "independent"])
def test_linear_maps_of_the_window_and_their_shares_are_inside(tmp_path, channels):
    model = network(SMALL_RNN, RICH, anchor="last", window_norm="mean", linear_window=3, channels=channels)
    for parameter in model.linear_window.parameters():
        nn.init.normal_(parameter)
    save_onnx(model, tmp_path / "a.onnx")
    assert_forecasts_alike(model, session(tmp_path / "a.onnx"), (1, 6), (3, 6))


@pytest.mark.parametrize("setting", [["log1p"], ["log"], ["sqrt"], ["logit", -100.0, 100.0]], ids=lambda kind: kind[0])
def test_a_transform_of_the_target_is_inside(tmp_path, setting):
    transformed = replace(RICH, recipe={"transform": {"y": setting}})
    model = network(schema=transformed, anchor="last", intervals=[0.8])
    save_onnx(model, tmp_path / "x.onnx")
    assert_forecasts_alike(model, session(tmp_path / "x.onnx"), (3, 6))


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_the_package_is_asked_for_where_it_is_missing(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ForecastlabError, match=rf"needs {package}, .*pip install 'forecastlab\[export\]'"):
        save_onnx(network(), tmp_path / "a.onnx")


def test_only_what_the_network_reads_goes_in(tmp_path):
    history, last = {"history": ["batch", "time", 2]}, {"last": ["batch", 1]}
    assert capture(network()).inputs == history
    assert capture(network(anchor="last")).inputs == history | last
    assert capture(network(decoder=Seq2Seq)).inputs == history | last
    save_onnx(network(schema=RICH), tmp_path / "a.onnx")
    assert [(part.name, part.type, part.shape) for part in session(tmp_path / "a.onnx").get_inputs()] == [
        ("history", "tensor(double)", ["batch", "time", 4]),
        ("known", "tensor(double)", ["batch", 3, 1]),
        ("static", "tensor(double)", ["batch", 3]),
        ("series", "tensor(int64)", ["batch"]),
    ]


def test_the_file_says_what_it_is(tmp_path):
    save_onnx(network(schema=RICH, loss=partial(Quantile, quantiles=[0.2, 0.5])), tmp_path / "a.onnx")
    about = described(session(tmp_path / "a.onnx"))
    assert {name: about[name] for name in ("features", "targets", "known", "static", "series")} == {
        "features": ["a", "y", "z", "b"],
        "targets": ["z", "y"],
        "known": ["b"],
        "static": ["s", "t", "u"],
        "series": ["one", "two", "three"],
    }
    assert (about["horizon"], about["lookback"], about["levels"], about["state"]) == (3, 6, [0.2, 0.5], [])
    assert about["inputs"]["history"] == ["batch", "time", 4]
    assert about["outputs"]["quantiles"] == ["batch", 3, 2, 2]


def test_the_file_does_not_say_where_it_was_made(tmp_path):
    save_onnx(network(SMALL_RNN), tmp_path / "a.onnx")
    content = (tmp_path / "a.onnx").read_bytes()
    assert b".py" not in content
    assert b"forward" not in content


@pytest.mark.slow
def test_a_window_of_one_row_is_forecast_from(tmp_path):
    model = network(schema=Schema(("x", "y"), ("y",), lookback=1))
    save_onnx(model, tmp_path / "a.onnx")
    assert_forecasts_alike(model, session(tmp_path / "a.onnx"), (1, 1), (3, 1), (2, 4))


def test_a_long_history_is_attended_to_at_once(tmp_path):
    model = network(partial(Attentive, backbone=SMALL_RNN, score="additive"), WHOLE)
    save_onnx(model, tmp_path / "a.onnx")
    assert_forecasts_alike(model, session(tmp_path / "a.onnx"), (1, 300), (2, 20))


@pytest.mark.slow
def test_double_precision_is_kept(tmp_path):
    model = network().double()
    save_onnx(model, tmp_path / "a.onnx")
    run = session(tmp_path / "a.onnx")
    given = inputs(model, 3, 6)
    (found,) = run.run(None, {"history": given["history"].numpy()})
    np.testing.assert_allclose(found, forecasts(model, given)["forecast"], rtol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [{"anchor": "last"}, {"anchor": "last", "window_norm": "standard", "loss": Quantile}],
    ids=["", "windows"],
)
@pytest.mark.parametrize("level", [1e9, -1e12])
def test_a_series_of_a_high_level_is_forecast_as_less_its_level(tmp_path, level, settings):
    plain, moved = (network(**settings) for _ in range(2))
    given = inputs(plain, 3, 6)
    expected = forecasts(plain, given)
    moved.scaling.feature_center += level
    moved.scaling.target_center += level
    save_onnx(moved, tmp_path / "a.onnx")
    run = session(tmp_path / "a.onnx")
    assert described(run)["dtypes"] == {"history": "float64", "last": "float64"}
    found = run.run(None, {name: given[name].numpy() + level for name in ("history", "last")})
    for name, values in zip([part.name for part in run.get_outputs()], found, strict=True):
        np.testing.assert_allclose(values - level, expected[name], atol=1e-3)


# ---- step by step ----


def stepped(run, rows, batch=1):
    """Feeds rows, a mapping of inputs each, one after the other: the outputs after each, and the last state."""
    about = described(run)
    state = {part["input"]: np.full((batch, *part["shape"]), part["value"], part["dtype"]) for part in about["state"]}
    names = [part.name for part in run.get_outputs()]
    found = []
    for row in rows:
        given = {name: values for name, values in row.items() if name in about["inputs"]}
        found.append(dict(zip(names, run.run(None, given | state), strict=True)))
        state = {part["input"]: found[-1][part["output"]] for part in about["state"]}
    return found, state


def test_segments_are_not_streamed_and_the_reason_is_said(tmp_path):
    data = Series(noise(50), fold=2, lookback="full", horizon=2)
    model = network(Patches, data.schema, anchor="last")
    with pytest.raises(ConfigError, match=r"Patches keeps rows until a segment is whole.*give it whole windows"):
        save_onnx(model, tmp_path / "a.onnx", step=True)


@pytest.mark.parametrize("case", every({n: c for n, c in CAUSAL.items() if n != "Patches"}, "ALSTM", "LSTM"))
def test_every_causal_backbone_is_streamed_with_numpy_alone(tmp_path, case):
    frame = noise(50)
    data = Series(frame, fold=2, lookback="full", horizon=2)
    model = network(partial(case.cls, **case.arguments), data.schema, anchor="last")
    save_onnx(model, tmp_path / "a.onnx", step=True)
    found, _ = stepped(
        session(tmp_path / "a.onnx"),
        [{"row": np.array([[x, y]]), "last": np.array([[y]])} for x, y in frame.to_numpy()],
    )
    stream = model.stream()
    for row, ours in zip(frame.reset_index(names="time").to_dict("records"), found, strict=True):
        expected = stream.update(row)["forecast"].to_numpy()
        np.testing.assert_allclose(ours["forecast"].flatten(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "decoder",
    every(
        {cls.__name__: cls for cls in (Linear, AttentionPooling, Segments, Seq2Seq, TemporalFusionDecoder)}, "Seq2Seq"
    ),
)
def test_steps_end_where_the_whole_history_does(tmp_path, decoder):
    """With every kind of input, a batch, and a decoder that attends to the past or not."""
    schema = replace(RICH, lookback="full")
    model = network(partial(GRU, hidden_size=4), schema, decoder=decoder, intervals=[0.9])
    save_onnx(model, tmp_path / "a.onnx", step=True)
    whole = inputs(model, 3, 9)
    others = {name: whole[name].numpy() for name in ("known", "static", "last", "series")}
    run = session(tmp_path / "a.onnx")
    found, _ = stepped(run, [{"row": row.numpy(), **others} for row in whole["history"].unbind(1)], 3)
    for name, expected in forecasts(model, whole).items():
        np.testing.assert_allclose(found[-1][name], expected, rtol=1e-5)


def test_the_tensors_of_a_state_are_described():
    program = capture(network(SMALL, WHOLE), step=True)
    zeros = {"shape": [1, 3], "dtype": "float32", "value": 0.0}
    assert program.about["state"] == [
        {"input": "state_0", "output": "next_state_0", **zeros},
        {"input": "state_1", "output": "next_state_1", **zeros},
    ]
    assert program.lines()[:2] == [
        "inputs: row (batch, 2), state_0 (batch, 1, 3), state_1 (batch, 1, 3)",
        "outputs: forecast (batch, 2, 1), next_state_0 (batch, 1, 3), next_state_1 (batch, 1, 3)",
    ]


def test_a_tensor_of_a_state_may_be_of_width_0():
    program = capture(network(partial(ConvEncoder, backbone=SMALL_RNN, kernel_size=1), WHOLE), step=True)
    assert program.about["state"][0]["shape"] == [0, 2]
    assert program.check(lambda inputs: tree_leaves(program.exported.module()(**nested(inputs)))) < 1e-6


def test_a_state_that_grows_has_an_axis_of_any_length():
    program = capture(network(partial(GRU, hidden_size=4), WHOLE, decoder=AttentionPooling), step=True)
    assert program.about["state"][1]["shape"] == [0, 4]
    assert program.inputs["state_1"] == ["batch", "past", 4]
    assert program.outputs["next_state_1"] == ["batch", "past + 1", 4]
    assert program.lines()[2] == "dynamic axes: batch, past"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "forecasts from windows of 6 rows"),
        ({"backbone": partial(Attentive, backbone=Bidirectional)}, "Attentive is not causal"),
    ],
)
def test_what_has_no_steps_is_refused(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        save_onnx(network(**arguments), tmp_path / "a.onnx", step=True)
    assert not list(tmp_path.iterdir())
