"""Scaled batches for a module of one's own, against scikit-learn on the training rows of each series."""

import io

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from forecastlab.network.composition import Composition
from tests.series import Series, panel

FRAME = panel(a=(0, 40), b=(0, 40))
SEEN = 30
"""Rows that train in the third of three folds of 40 rows."""


def module(**arguments):
    recipe = {"series": "id", "regular": True, "transform": arguments.pop("transform", {})}
    return Series(FRAME, recipe=recipe, fold=3, horizon=2, lookback=3, scaler="standard", **arguments)


def batch_of(data):
    data.setup("test")
    return next(iter(data.test_dataloader()))


def expected(column, function, rows, series):
    """Rows of a series, scaled by what scikit-learn learns of its training rows."""
    values = function(FRAME[FRAME["id"] == series][column].to_numpy())[:, None]
    return StandardScaler().fit(values[:SEEN]).transform(values)[rows, 0]


@pytest.mark.parametrize(("transform", "function"), [({}, np.asarray), ({"y": ["log1p"]}, np.log1p)])
def test_each_series_is_transformed_and_scaled_by_its_own_training_rows(transform, function):
    data = module(scale_by="series", transform=transform, batch_size=64)
    batch = batch_of(data)
    scaled = data.batch_scaling(batch)
    for number, name in enumerate(data.panel.names):
        own = (batch.series == number).nonzero().flatten()
        for sample in own.tolist():
            origin = int(batch.index[sample, 0])
            window, ahead = slice(origin - 2, origin + 1), slice(origin + 1, origin + 3)
            found = scaled.history[sample].numpy()
            np.testing.assert_allclose(found[:, 0], expected("x", np.asarray, window, name), atol=1e-6)
            np.testing.assert_allclose(found[:, 1], expected("y", function, window, name), atol=1e-6)
            target = expected("y", function, ahead, name)
            np.testing.assert_allclose(scaled.target[sample, 0, :, 0].numpy(), target, atol=1e-6)
            last = expected("y", function, [origin], name)
            np.testing.assert_allclose(scaled.last[sample, 0].numpy(), last, atol=1e-6)


@pytest.mark.parametrize("scale_by", ["global", "series"])
@pytest.mark.parametrize("transform", [{}, {"y": ["log1p"]}, {"y": ["logit", 0, 5000]}])
def test_forecasts_go_back_to_original_units(scale_by, transform):
    data = module(scale_by=scale_by, transform=transform, batch_size=64)
    batch = batch_of(data)
    scaling = data.batch_scaling
    back = scaling.back(scaling(batch).target, batch.series)
    assert back.dtype == torch.float64
    torch.testing.assert_close(back, batch.target, rtol=1e-5, atol=0)
    assert set(batch.series.tolist()) == {0, 1}


def test_they_are_the_units_of_a_network_on_the_same_data():
    data = module(scale_by="series", transform={"y": ["log1p"]}, batch_size=64)
    batch = batch_of(data)
    network = Composition("GRU", schema=data.schema)
    network.scaling = data.scaling
    theirs, ours = network.scaled(batch), data.batch_scaling(batch)
    assert torch.equal(theirs.inputs, ours.history)
    assert torch.equal(theirs.target, ours.target)
    assert ours.history.dtype == ours.target.dtype == ours.weight.dtype == torch.float32


def test_the_scaling_is_saved_with_the_module_that_holds_it():
    data = module(scale_by="series")
    batch = batch_of(data)
    file = io.BytesIO()
    torch.save(torch.nn.ModuleDict({"scaling": data.batch_scaling}).state_dict(), file)
    file.seek(0)
    other = torch.nn.ModuleDict({"scaling": module(scale_by="series").batch_scaling})
    other["scaling"].scaling.target_center.zero_()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other["scaling"](batch).target, data.batch_scaling(batch).target)
    assert not list(other.parameters())


def test_a_batch_scaling_is_its_owners_alone():
    data = module()
    center = data.scaling.target_center.clone()
    data.batch_scaling.scaling.target_center.zero_()
    assert torch.equal(data.scaling.target_center, center)
