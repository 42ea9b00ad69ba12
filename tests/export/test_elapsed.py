"""Exports of networks whose steps are of unequal length."""

import json
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch

from forecastlab.backbones.s5 import S5
from forecastlab.batch import Schema
from forecastlab.export import save_onnx, save_torch
from tests.export.networks import forecasts, inputs, network

SMALL = partial(S5, hidden_size=4, num_layers=2, dt_min=0.05, dt_max=0.5)
RULES = pytest.mark.parametrize("rule", ["zoh", "bilinear"])


def model_of(rule, lookback):
    schema = Schema(("y", "elapsed"), ("y",), lookback=lookback, elapsed=True, recipe={"slots": [0, 3600]})
    model = network(partial(SMALL, discretisation=rule), schema)
    model.scaling.feature_center[:, 1], model.scaling.feature_scale[:, 1] = 0, 2
    assert model.backbone.elapsed == 1
    return model


def given(model, rows, time):
    """Inputs of which one is a length."""
    found = inputs(model, rows, time)
    found["history"][..., 1] = torch.tensor(np.random.default_rng(0).choice([0.0, 0.5, 2.0, 40.0], (rows, time)))
    return found


@RULES
def test_a_graph_and_a_program_forecast_as_the_network(tmp_path, rule):
    model = model_of(rule, "full")
    save_onnx(model, tmp_path / "a.onnx")
    save_torch(model, tmp_path / "a.pt2")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    program = torch.export.load(tmp_path / "a.pt2").module()
    for rows, time in ((1, 1), (3, 25)):
        values = given(model, rows, time)
        expected = forecasts(model, values)["forecast"]
        np.testing.assert_allclose(session.run(None, {"history": values["history"].numpy()})[0], expected, rtol=1e-5)
        np.testing.assert_allclose(program(history=values["history"])["forecast"], expected, rtol=1e-5)


@RULES
def test_step_by_step_a_graph_forecasts_as_the_network(tmp_path, rule):
    model = model_of(rule, "full")
    save_onnx(model, tmp_path / "a.onnx", step=True)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    about = json.loads(session.get_modelmeta().custom_metadata_map["forecastlab"])
    assert about["rows"]["elapsed"] == "hour"
    values, names = given(model, 1, 9), [output.name for output in session.get_outputs()]
    state = {part["input"]: np.full((1, *part["shape"]), part["value"], part["dtype"]) for part in about["state"]}
    for row in values["history"].numpy().swapaxes(0, 1):
        found = dict(zip(names, session.run(None, {"row": row, **state}), strict=True))
        state = {part["input"]: found[part["output"]] for part in about["state"]}
    np.testing.assert_allclose(found["forecast"], forecasts(model, values)["forecast"], rtol=1e-5)
