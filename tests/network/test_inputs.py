"""Which inputs a backbone reads, by name, and which of them are the same in every row."""

from functools import partial

import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.decoders import TemporalFusionDecoder
from forecastlab.errors import ConfigError
from forecastlab.hybrids.stack import Stack
from forecastlab.hybrids.temporal_fusion import TemporalFusion
from forecastlab.losses import NegativeBinomial
from forecastlab.network.inputs import inputs_of, known_of
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel
from tests.network.test_embeddings import SCHEMA, SIZES, batch, network
from tests.series import trainer

SETTINGS = [
    {},
    {"embeddings": SIZES},
    {"channels": "independent"},
    {"embeddings": {**SIZES, "target": 2}, "channels": "independent"},
]
every = pytest.mark.parametrize("settings", SETTINGS, ids=["plain", "embedded", "apart", "embedded and apart"])


def fusion(settings):
    model = network(settings.get("embeddings"), **{key: settings[key] for key in settings if key != "embeddings"})
    given = {**model.settings, "backbone": partial(TemporalFusion, hidden_size=4), "decoder": TemporalFusionDecoder}
    built = Forecaster(**given).double().eval()
    built.scaling.load_state_dict(model.scaling.state_dict())
    for name, parameter in built.named_parameters():
        if "embedding" in name:
            torch.nn.init.normal_(parameter)
    return built


def read(model, samples, target=0):
    inputs = model.inputs(model.scaled(samples))
    return inputs if model.channels is None else model.channels.of_target(inputs, target)


@every
@pytest.mark.parametrize("target", [0, 1])
def test_inputs_that_never_change_within_a_window_are_the_static_ones(settings, target):
    model = fusion(settings)
    inputs, names = read(model, batch(30), target), model.inputs_by_name(target)
    assert inputs.shape[-1] == len(names) == len({name for name, _ in names})
    constant = (inputs == inputs[:, :1]).all(1).all(0)
    assert constant.tolist() == [static for _, static in names]
    assert model.backbone.static == [place for place, (_, static) in enumerate(names) if static]


@every
def test_an_input_has_the_name_of_the_column_that_changes_it(settings):
    model, samples = fusion(settings), batch()
    before = read(model, samples)
    for position, column in enumerate(SCHEMA.features):
        history = samples.history.clone()
        history[..., position] += 1
        changed = (read(model, samples._replace(history=history)) != before).any(0).any(0)
        found = {
            name.partition(",")[0] for (name, _), moved in zip(model.inputs_by_name(), changed, strict=True) if moved
        }
        gone = column == "w" and "channels" in settings  # another target, which the first one's channel does not read
        assert found == (set() if gone else {column if "embeddings" not in settings else column.partition("=")[0]})


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=["plain", "embedded"])
def test_a_known_covariate_has_the_name_of_the_column_that_changes_it(settings):
    model, samples = fusion(settings), batch()
    before, names = model.scaled(samples).known, known_of(model.schema, model.embeddings)
    assert before.shape[-1] == len(names)
    for position, column in enumerate(SCHEMA.known):
        known = samples.known.clone()
        known[..., position] += 1
        changed = (model.scaled(samples._replace(known=known)).known != before).flatten(0, 2).any(0)
        found = {name.partition(",")[0] for name, moved in zip(names, changed, strict=True) if moved}
        assert found == {column if "embeddings" not in settings else column.partition("=")[0]}


@pytest.mark.parametrize("channels", ["mixed", "independent"])
def test_the_level_of_a_window_is_read_as_its_logarithm(channels):
    model, samples = network(None, window_norm="level", loss=NegativeBinomial, channels=channels), batch(30)
    for target, column in enumerate(SCHEMA.targets):
        position = [name for name, _ in model.inputs_by_name(target)].index(f"level of {column}")
        own = samples.history[..., SCHEMA.features.index(column)]
        expected = (1 + own.abs().mean(1)).log()
        torch.testing.assert_close(read(model, samples, target)[..., position], expected[:, None].expand(-1, 3))
        assert model.inputs_by_name(target)[position].static


def test_without_vectors_and_channels_static_columns_come_last():
    names = inputs_of(SCHEMA, None, None)
    assert [name for name, _ in names] == [*SCHEMA.features, *SCHEMA.static]


def test_static_inputs_are_found_again_when_a_checkpoint_is_loaded(tmp_path):
    data = module(tmp_path, panel(40), frequency="D", series_column="unique_id", static=["area"])
    model = Forecaster(partial(TemporalFusion, hidden_size=4), schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    running.save_checkpoint(tmp_path / "x.ckpt")
    assert "static" not in read_checkpoint(tmp_path / "x.ckpt")["hyper_parameters"]["backbone"]["init_args"]
    loaded = Forecaster.load(tmp_path / "x.ckpt")
    assert loaded.backbone.static == [len(data.schema["features"])]
    (batch,) = [next(iter(data.val_dataloader()))]
    assert torch.equal(loaded(batch), model.eval()(batch))


def test_within_another_hybrid_all_inputs_are_read_as_if_they_changed():
    parts = [partial(TemporalFusion, hidden_size=4), LSTM]
    model = Forecaster(partial(Stack, branches=parts), schema=SCHEMA.as_dict())
    assert model.backbone.branches[0].static == []


def test_static_inputs_cannot_be_given_to_a_network():
    with pytest.raises(ConfigError, match=r"model\.backbone\.static: the data tell which inputs are static"):
        Forecaster(partial(TemporalFusion, static=(1,)), schema=SCHEMA.as_dict())
