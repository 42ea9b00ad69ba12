"""Vectors that are learned for series, targets and the values of columns of text."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from forecastlab.backbones.gru import GRU
from forecastlab.batch import Batch, Schema
from forecastlab.errors import ConfigError, NewSeriesNote
from forecastlab.network.embeddings import LEFT_OUT
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.training.forecaster import Forecaster
from tests.frames import module
from tests.frames import wide as frame
from tests.network.streams import rows_of
from tests.series import as_if_trained, trainer

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
SMALL = partial(GRU, hidden_size=4)
# the values of a column of text are features and known in advance; those of another do not change within a series
SCHEMA = Schema(
    features=("w", "sky=dry", "y", "sky=wet", "x"),
    targets=("y", "w"),
    known=("x", "sky=wet", "sky=dry"),
    static=("area", "kind=big", "kind=small"),
    horizon=2,
    lookback=3,
    panel=("a", "b", "c"),
    recipe={"categories": {"sky": ["dry", "wet"], "kind": ["big", "small"]}},
)
SIZES = {"series": 2, "sky": 3, "kind": 1}


def network(embeddings, schema=SCHEMA, **settings):
    """A network in float64 with a scaling, and vectors that are not 0."""
    model = Forecaster(SMALL, embeddings=embeddings, schema=schema.as_dict(), **settings).double().eval()
    torch.manual_seed(0)
    for buffer in model.scaling.buffers():
        buffer.copy_(2 + torch.rand_like(buffer))
    for name, parameter in model.named_parameters():
        if "embedding" in name:
            nn.init.normal_(parameter)
    return as_if_trained(model)


def batch(samples=3, schema=SCHEMA):
    """Rows of which each has one value of each column of text."""
    random = np.random.default_rng(0)
    wet, big = random.integers(2, size=(samples, 3)), random.integers(2, size=samples)
    history = random.normal(size=(samples, 3, len(schema.features)))
    history[..., 1], history[..., 3] = 1 - wet, wet
    ahead = random.integers(2, size=(samples, 1, 2))
    known = np.stack([random.normal(size=ahead.shape), ahead, 1 - ahead], -1)
    static = np.stack([random.normal(size=samples), big, 1 - big], -1)
    shape = (samples, 1, 2, 2)
    return Batch(
        history=torch.from_numpy(history),
        known=torch.from_numpy(known),
        static=torch.from_numpy(static),
        last=torch.from_numpy(history[:, -1:, [2, 0]]),
        target=torch.from_numpy(random.normal(size=shape)),
        weight=torch.ones(shape).double(),
        index=torch.zeros(samples, 1, dtype=torch.int64),
        series=torch.arange(samples) % 3,
    )


def scaled_by_hand(model, name, values):
    center, scale = (getattr(model.scaling, f"{name}_{part}").numpy() for part in ("center", "scale"))
    return (values.numpy() - center) / scale


def test_vectors_stand_beside_the_inputs_and_in_the_place_of_those_of_text():
    model, x = network(SIZES), batch()
    history, static = scaled_by_hand(model, "feature", x.history), scaled_by_hand(model, "static", x.static)
    sky, kind = (part.detach().numpy() for part in model.embeddings.values)
    series = model.embeddings.series.detach().numpy()
    inputs, ahead = np.empty((3, 3, 10)), np.empty((3, 1, 2, 4))
    for sample in range(3):
        inputs[sample, :, :3] = history[sample][:, [0, 2, 4]]
        inputs[sample, :, 3] = static[sample, 0]
        inputs[sample, :, 4:6] = series[sample]
        inputs[sample, :, 6:9] = [sky[int(row[3])] for row in x.history[sample]]
        inputs[sample, :, 9:] = kind[int(x.static[sample, 2])]
        ahead[sample, ..., 0] = scaled_by_hand(model, "known", x.known[sample])[..., 0]
        ahead[sample, 0, :, 1:] = [sky[int(row[1])] for row in x.known[sample, 0]]
    scaled = model.scaled(x)
    np.testing.assert_allclose(model.inputs(scaled).detach().numpy(), inputs, rtol=1e-12)
    np.testing.assert_allclose(scaled.known.detach().numpy(), ahead, rtol=1e-12)
    assert model(x).isfinite().all()


def test_each_of_independent_channels_has_a_vector_of_its_own():
    plain, model, x = network({}, channels="independent"), network({"target": 2}, channels="independent"), batch()
    before, after = (one.inputs(one.scaled(x)).detach() for one in (plain, model))
    torch.testing.assert_close(after[..., :-2], before, rtol=0, atol=0)
    vectors = after[..., -2:].unflatten(0, (3, 2))
    torch.testing.assert_close(vectors, model.channels.embedding.detach()[None, :, None].expand(3, 2, 3, 2))
    both = network({"target": 2, **SIZES}, channels="independent")
    own, together = both.inputs(both.scaled(x)).detach(), network(SIZES)
    mixed = together.inputs(together.scaled(x)).detach()
    torch.testing.assert_close(own[0, :, 0], mixed[0, :, 1])  # y, the first target
    torch.testing.assert_close(own[1, :, 0], mixed[0, :, 0])  # w, the second


def test_a_value_that_the_training_had_not_has_the_vector_zero():
    model, x = network({"sky": 3}), batch()
    history = x.history.clone()
    history[0, 1, [1, 3]] = 0
    assert not model.scaled(x._replace(history=history)).vectors[0, 1].any()
    assert model.scaled(x).vectors[0, 1].all()


def test_networks_without_trained_vectors_are_those_of_no_series_and_no_value():
    sizes = {**SIZES, "target": 2}
    model, x = Forecaster(SMALL, embeddings=sizes, channels="independent", schema=SCHEMA.as_dict()).eval(), batch()
    assert not any(part.any() for name, part in model.named_parameters() if "embedding" in name)
    torch.testing.assert_close(model(x._replace(series=x.series - 1))[1], model(x)[1], rtol=0, atol=0)


def test_samples_do_not_see_each_other():
    model, x = network(SIZES), batch()
    alone = torch.cat([model(Batch(*(part[row : row + 1] for part in x))) for row in range(3)])
    torch.testing.assert_close(model(x), alone, rtol=1e-12, atol=0)


def test_in_training_a_vector_is_left_out_of_one_sample_in_twenty_and_in_its_other_rows_too():
    model, x = network({"series": 2, "sky": 3}).train(), batch(4000)
    vectors = model.scaled(x).vectors
    there = vectors.detach() != 0
    for columns in (slice(0, 2), slice(2, 5)):
        whole = there[..., columns].flatten(1)
        assert (whole.all(1) | ~whole.any(1)).all()
        assert 1 - whole.any(1).double().mean() == pytest.approx(LEFT_OUT, abs=0.015)
    assert (there[:, 0, 0] != there[:, 0, 2]).any()  # of each by itself
    assert model.eval().scaled(x).vectors.all()


def signs(rows=120, seed=0):
    """Two series that follow x with opposite signs; nothing but their names tells them apart."""
    random = np.random.default_rng(seed)
    parts = []
    for name, sign in (("plus", 1.0), ("minus", -1.0)):
        x = random.normal(size=rows)
        y = sign * np.concatenate([[0.0], x[:-1]]) + 0.1 * random.normal(size=rows)
        parts.append(pd.DataFrame({"unique_id": name, "ds": pd.date_range("2020-01-01", periods=rows), "x": x, "y": y}))
    return pd.concat(parts, ignore_index=True)


def trained(folder, raw, epochs=30, embeddings=None, **arguments):
    """A network of x alone, and its trainer and data."""
    data = module(folder, raw, series_column="unique_id", features=["x"], **arguments)
    torch.manual_seed(0)
    parts = {"optimizer": partial(torch.optim.Adam, lr=0.02)}
    model, running = Forecaster(SMALL, embeddings=embeddings, schema=data.schema, **parts), trainer(max_epochs=epochs)
    running.fit(model, data)
    return model, running, data


def test_a_series_is_told_from_others_by_its_vector(tmp_path):
    scores = {}
    for size in (None, 2):
        model, running, data = trained(tmp_path, signs(), embeddings={"series": size} if size else None)
        scores[size] = running.test(model, data, verbose=False)[0]["test/mae"]
    assert scores[2] < 0.5 * scores[None]


def with_text(raw):
    """The same series, told apart by a column of text that is known in advance."""
    return raw.assign(side=np.where(raw["unique_id"] == "plus", "left", "right"))


def test_a_value_of_text_is_learned_as_a_vector_that_its_inputs_share(tmp_path):
    model, running, data = trained(tmp_path, with_text(signs()), embeddings={"side": 2}, known=["side"])
    assert model.embeddings.width == 1 + 2
    assert running.test(model, data, verbose=False)[0]["test/mae"] < 0.5


def test_a_new_series_is_forecast_with_zeros_and_that_is_noted_once(tmp_path):
    _, running, _ = trained(tmp_path, signs(), epochs=3, embeddings={"series": 2})
    running.save_checkpoint(tmp_path / "x.ckpt")
    network = Forecaster.load(tmp_path / "x.ckpt")
    known = signs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_known = network.forecast(known)
    other = known.assign(unique_id=known["unique_id"].replace({"plus": "new"}))
    words = r"1 series was not among those the network was trained on \(new\): what it learned of each"
    with pytest.warns(NewSeriesNote, match=words):
        of_new = network.forecast(other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network.forecast(other)
    assert of_new["forecast"].iloc[1] == of_known["forecast"].iloc[1]  # minus
    assert of_new["forecast"].iloc[0] != of_known["forecast"].iloc[0]
    nn.init.zeros_(network.embeddings.series)
    assert network.forecast(known)["forecast"].iloc[0] == of_new["forecast"].iloc[0]


def test_series_are_found_by_their_names_in_another_order(tmp_path):
    model, _, _ = trained(tmp_path, signs(), epochs=3, embeddings={"series": 2})
    ours = model.forecast(signs()).set_index("unique_id")["forecast"]
    theirs = model.forecast(signs().iloc[::-1]).set_index("unique_id")["forecast"]
    assert dict(theirs) == dict(ours)


def test_a_stream_knows_its_series(tmp_path):
    model, _, _ = trained(tmp_path, signs(), epochs=3, embeddings={"series": 2})
    for name in ("plus", "minus"):
        raw = signs()[lambda rows, name=name: rows["unique_id"] == name]
        stream = model.stream()
        *_, last = (stream.update(row) for row in rows_of(raw))
        assert last["forecast"].item() == pytest.approx(model.forecast(raw)["forecast"].item(), rel=1e-6)


def test_a_checkpoint_rebuilds_the_vectors_and_a_resumed_training_goes_on_with_them(tmp_path):
    half, running, data = trained(tmp_path, signs(), epochs=2, embeddings={"series": 2}, batch_size=500)
    running.save_checkpoint(tmp_path / "x.ckpt")
    assert read_checkpoint(tmp_path / "x.ckpt")["hyper_parameters"]["embeddings"] == {"series": 2}
    loaded = Forecaster.load(tmp_path / "x.ckpt")
    torch.testing.assert_close(loaded.embeddings.series, half.eval().embeddings.series, rtol=0, atol=0)
    again = Forecaster(SMALL, embeddings={"series": 2}, schema=data.schema)
    trainer(max_epochs=3).fit(again, data, ckpt_path=tmp_path / "x.ckpt")
    moved = (again.embeddings.series - half.embeddings.series).detach().abs().max(1).values
    assert (moved > 0).all()
    assert (moved < 0.1).all()


def test_weights_of_another_run_go_to_the_series_of_the_same_names(tmp_path):
    first, running, _ = trained(tmp_path, signs(), epochs=3, embeddings={"series": 2})
    running.save_checkpoint(tmp_path / "x.ckpt")
    raw = signs()
    wider = pd.concat([raw.assign(unique_id="new"), raw.iloc[::-1]]).drop_duplicates(["unique_id", "ds"])
    data = module(tmp_path, wider, series_column="unique_id", features=["x"])
    frozen = partial(torch.optim.SGD, lr=0.0)
    model = Forecaster(
        SMALL, embeddings={"series": 2}, weights_from=str(tmp_path / "x.ckpt"), optimizer=frozen, schema=data.schema
    )
    trainer(max_epochs=1).fit(model, data)
    expected = {"plus": first.embeddings.series[0], "minus": first.embeddings.series[1], "new": torch.zeros(2)}
    assert set(data.schema["panel"]) == set(expected)
    for name, row in zip(data.schema["panel"], model.embeddings.series, strict=True):
        torch.testing.assert_close(row, expected[name], rtol=0, atol=0)


def test_a_series_without_training_rows_keeps_the_vector_zero(tmp_path):
    raw = signs()
    late = raw[raw["unique_id"] == "plus"].tail(12).assign(unique_id="late")
    model, _, data = trained(tmp_path, pd.concat([raw, late]), epochs=2, embeddings={"series": 2}, fold=1)
    rows = dict(zip(data.schema["panel"], model.embeddings.series, strict=True))
    assert not rows["late"].any()
    assert rows["plus"].all()
    assert rows["minus"].all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"embeddings": {"price": 2}}, r"expected series, target or a column of text \(sky, kind\), got 'price'"),
        ({"embeddings": {"series": 0}}, "embeddings.series must be a whole number of 1 or more, got 0"),
        ({"embeddings": {"sky": True}}, "embeddings.sky must be a whole number of 1 or more, got True"),
        ({"embeddings": {"target": 2}}, "tells independent channels apart: set channels: independent"),
        (
            {
                "embeddings": {"sky": 2},
                "schema": Schema(("y", "sky=a"), ("y",), recipe={"categories": {"sky": ["a", "b"]}}),
            },
            "sky=b is not among the inputs of the data",
        ),
        (
            {"embeddings": {"series": 2}, "schema": Schema(("y",), ("y",))},
            "tells series apart, and the data are one series",
        ),
        (
            {
                "embeddings": {"series": 2},
                "schema": Schema(("y", "series=a"), ("y",), recipe={"categories": {"series": ["a"]}}),
            },
            "series is also the name of a column of text: give it another name",
        ),
    ],
)
def test_vectors_that_cannot_be_learned_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        network(**settings)


def test_a_frame_of_one_series_has_no_note(tmp_path):
    data = module(tmp_path, frame(60).assign(sky=["dry", "wet"] * 30), features=["y", "sky"])
    model = as_if_trained(Forecaster(SMALL, embeddings={"sky": 2}, schema=data.schema).eval())
    with warnings.catch_warnings():
        warnings.simplefilter("error", NewSeriesNote)
        model.forecast(data.frame())
