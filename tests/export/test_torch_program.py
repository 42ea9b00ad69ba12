"""Networks as programs of torch.export."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from forecastlab.backbones.rnn import RNN
from forecastlab.backbones.slstm import SLSTM
from forecastlab.batch import Schema
from forecastlab.errors import DataError
from forecastlab.export import save_torch
from forecastlab.losses import Quantile
from tests.export.networks import RICH, WHOLE, forecasts, inputs, network

ALONE = """
import sys
sys.modules["forecastlab"] = None  # importing it would fail
import torch
given = torch.load(sys.argv[2], weights_only=True)
found = torch.export.load(sys.argv[1]).module()(**given)
torch.save(found, sys.argv[2])
"""
"""A program that has torch, and not this package."""


def test_a_program_runs_where_this_package_is_not(tmp_path):
    model = network(partial(SLSTM, hidden_size=4), RICH, loss=partial(Quantile, quantiles=[0.5, 0.9]), anchor="last")
    exported = save_torch(model, tmp_path / "a.pt2")
    assert exported.files == [tmp_path / "a.pt2", tmp_path / "a.json"]
    assert exported.lines[2] == "dynamic axes: batch, time"
    about = json.loads((tmp_path / "a.json").read_text())
    given = inputs(model, 3, 9)
    torch.save({name: given[name] for name in about["inputs"]}, tmp_path / "x.pt")
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(tmp_path / "a.pt2"), str(tmp_path / "x.pt")]
    subprocess.run(command, check=True, timeout=300)
    found, expected = torch.load(tmp_path / "x.pt", weights_only=True), forecasts(model, given)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values.numpy(), expected[name], rtol=1e-5, atol=1e-5)


def test_it_takes_any_batch_and_any_length(tmp_path):
    model = network(partial(RNN, hidden_size=4), Schema(("x", "y"), ("y",), lookback=1))
    save_torch(model, tmp_path / "a.pt2")
    program = torch.export.load(tmp_path / "a.pt2").module()
    for rows, time in ((1, 1), (1, 6), (4, 1), (2, 20)):
        given = inputs(model, rows, time)
        found = program(history=given["history"])["forecast"]
        assert not found.requires_grad
        np.testing.assert_allclose(found.numpy(), forecasts(model, given)["forecast"], rtol=1e-5)


def test_it_goes_step_by_step(tmp_path):
    model = network(partial(RNN, hidden_size=4), WHOLE, anchor="last")
    save_torch(model, tmp_path / "a.pt2", step=True)
    program = torch.export.load(tmp_path / "a.pt2").module()
    about = json.loads((tmp_path / "a.json").read_text())
    whole = inputs(model, 2, 7)
    state = [torch.full((2, *part["shape"]), part["value"]) for part in about["state"]]
    for row in whole["history"].unbind(1):
        found = program(row=row, last=whole["last"], state=state)
        state = found["state"]
    np.testing.assert_allclose(found["forecast"].numpy(), forecasts(model, whole)["forecast"], rtol=1e-5)


def test_independent_channels_go_step_by_step(tmp_path):
    schema = Schema(("x", "y", "z"), ("z", "y"), horizon=2, lookback="full")
    model = network(partial(RNN, hidden_size=4), schema, anchor="last", channels="independent")
    save_torch(model, tmp_path / "a.pt2", step=True)
    program = torch.export.load(tmp_path / "a.pt2").module()
    (part,) = json.loads((tmp_path / "a.json").read_text())["state"]
    for rows in (1, 3):
        whole = inputs(model, rows, 5)
        state = [torch.full((rows, *part["shape"]), part["value"])]
        for row in whole["history"].unbind(1):
            found = program(row=row, last=whole["last"], state=state)
            state = found["state"]
        np.testing.assert_allclose(found["forecast"].numpy(), forecasts(model, whole)["forecast"], rtol=1e-5)


def test_vectors_of_series_and_of_text_go_with_the_program(tmp_path):
    schema = Schema(
        features=("y", "sky=dry", "sky=wet"),
        targets=("y",),
        known=("sky=dry", "sky=wet"),
        horizon=2,
        lookback=6,
        panel=("a", "b"),
        recipe={"categories": {"sky": ["dry", "wet"]}},
    )
    model = network(partial(RNN, hidden_size=4), schema, intervals=[0.9], embeddings={"series": 2, "sky": 3})
    for parameter in model.embeddings.parameters():
        torch.nn.init.normal_(parameter)
    save_torch(model, tmp_path / "a.pt2")
    assert json.loads((tmp_path / "a.json").read_text())["series"] == ["a", "b"]
    program, given = torch.export.load(tmp_path / "a.pt2").module(), inputs(model, 3, 6)
    given["series"] = torch.tensor([1, 0, -1])  # the last one is new
    found, expected = program(**{name: given[name] for name in ("history", "known", "series")}), forecasts(model, given)
    np.testing.assert_allclose(found["forecast"].numpy(), expected["forecast"], rtol=1e-5)
    np.testing.assert_allclose(found["quantiles"].numpy(), expected["quantiles"], rtol=1e-5)
    torch.nn.init.zeros_(model.embeddings.series)
    without = forecasts(model, given)["forecast"]
    np.testing.assert_allclose(found["forecast"].numpy()[2], without[2], rtol=1e-5)
    assert (np.abs(found["forecast"].numpy()[:2] - without[:2]) > 1e-3).all()


def test_a_file_of_another_ending_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"ends in \.pt2"):
        save_torch(network(), tmp_path / "a.onnx")
