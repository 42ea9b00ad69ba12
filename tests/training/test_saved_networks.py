"""Networks that are saved and loaded, and trainings that begin with the weights of others."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import StepLR

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.decoders import Linear, Seq2Seq
from forecastlab.errors import ConfigError, DataError
from forecastlab.hybrids.parallel import Parallel
from forecastlab.hybrids.series import Series as InSeries
from forecastlab.losses import MAE, ImplicitQuantile, Quantile
from forecastlab.penalties import ActivationPenalty
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, as_if_trained, noise, trainer
from tests.training.networks import SMALL, saved, trained

PARTS = {
    "defaults": {},
    "classes": {"backbone": GRU, "decoder": Linear, "loss": MAE, "optimizer": AdamW},
    "partials": {
        "backbone": partial(LSTM, hidden_size=5, num_layers=2, dropout=0.1),
        "optimizer": partial(Adam, lr=0.02, betas=(0.8, 0.99)),
        "lr_scheduler": partial(StepLR, step_size=3),
        "anchor": "last",
        "linear_skip": True,
        "dropout": 0.25,
        "penalties": [partial(ActivationPenalty, alpha=0.5), ActivationPenalty],
    },
    "intervals": {"loss": partial(Quantile, quantiles=[0.1, 0.5, 0.9]), "intervals": [0.8], "decoder": Seq2Seq},
    "a loss with weights": {"loss": partial(ImplicitQuantile, quantiles=[0.1, 0.9], features=4), "intervals": [0.8]},
    "nested": {
        "backbone": partial(
            Parallel,
            branches=[SMALL, partial(InSeries, branches=(partial(GRU, hidden_size=3), SMALL), feed="prediction")],
        )
    },
    "mappings": {"backbone": {"class_path": "forecastlab.backbones.gru.GRU", "init_args": {"hidden_size": 3}}},
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_a_checkpoint_alone_rebuilds_the_network_and_its_forecasts(tmp_path, parts):
    settings = {"lookback": 5, "horizon": 2, "calendar": ["day_of_week"], "validation": "tail"}
    data = Series(noise(80), fold=2, **settings)
    model, running = trained(data, **parts)
    running.save_checkpoint(tmp_path / "x.ckpt")
    loaded = Forecaster.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True).eval()
    x = next(iter(data.test_dataloader()))
    for again in (loaded, Forecaster.load(tmp_path / "x.ckpt")):
        for ours, theirs in zip(again.predict_step(x), model.eval().predict_step(x), strict=True):
            assert torch.equal(ours, theirs)
    assert loaded.hparams == model.hparams
    assert loaded.schema == model.schema
    optimizers = [
        built["optimizer"] if isinstance(built, dict) else built
        for built in (model.configure_optimizers(), loaded.configure_optimizers())
    ]
    assert type(optimizers[0]) is type(optimizers[1])
    settings = [{k: v for k, v in o.param_groups[0].items() if k != "params"} for o in optimizers]
    assert settings[0] == settings[1]


def test_a_checkpoint_is_loaded_without_running_code(tmp_path):
    data = Series(noise(60), fold=2)
    _, running = trained(data, PARTS["nested"]["backbone"], dropout=np.float64(0.1))
    running.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["schema"] == data.schema
    assert checkpoint["hyper_parameters"]["dropout"] == 0.1
    assert checkpoint["state_dict"]["scaling.target_center"] == data.scaling.target_center


def test_a_checkpoint_that_names_a_foreign_class_is_refused_without_importing_it(tmp_path, monkeypatch):
    mark = tmp_path / "was_imported"
    (tmp_path / "evil_network.py").write_text(f"open({str(mark)!r}, 'w').close()\nfrom torch.nn import GRU\n")
    monkeypatch.syspath_prepend(tmp_path)
    data = Series(noise(60), fold=2)
    _, running = trained(data, SMALL)
    running.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    for part in ("backbone", "optimizer", "loss", "decoder"):
        evil = {"class_path": "evil_network.GRU", "init_args": {}}
        hyper_parameters = {**checkpoint["hyper_parameters"], part: evil}
        torch.save({**checkpoint, "hyper_parameters": hyper_parameters}, tmp_path / "evil.ckpt")
        with pytest.raises(ConfigError, match=r"evil_network.GRU is not imported.*--allow_import evil_network"):
            Forecaster.load_from_checkpoint(tmp_path / "evil.ckpt", weights_only=True).configure_optimizers()
    assert not mark.exists()


def test_testing_leaves_nothing_in_the_weights():
    data = Series(noise(60), fold=2)
    model = as_if_trained(Forecaster(SMALL, schema=data.schema))
    before = set(model.state_dict())
    trainer().test(model, data, verbose=False)
    assert set(model.state_dict()) == before


def test_evaluation_keeps_the_scaling_of_the_checkpoint():
    data = Series(noise(60), fold=2)
    model = as_if_trained(Forecaster(SMALL, schema=data.schema))
    model.scaling.target_center.fill_(123)
    trainer().test(model, data, verbose=False)
    trainer().validate(model, data, verbose=False)
    assert model.scaling.target_center.tolist() == [[123]]
    trainer(max_epochs=1).fit(model, data)
    assert torch.equal(model.scaling.target_center, data.scaling.target_center)


def test_a_warm_start_is_the_weights_of_the_checkpoint_and_the_scaling_of_the_new_data(tmp_path):
    old = saved(tmp_path / "old.ckpt", Series(noise(160), fold=3, validation="tail"), intervals=[0.9])
    data = Series(10 + 3 * noise(160, seed=1), fold=3, validation="tail")
    new = Forecaster(
        SMALL,
        optimizer=partial(SGD, lr=0.0),
        weights_from=str(tmp_path / "old.ckpt"),
        intervals=[0.9],
        schema=data.schema,
    )
    trainer(max_epochs=1).fit(new, data)
    ours, theirs = new.state_dict(), old.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in dict(new.named_parameters()))
    for name, value in data.scaling.state_dict().items():
        assert torch.equal(ours[f"scaling.{name}"], value)
    assert not torch.equal(new.intervals.margin, old.intervals.margin)


def test_a_warm_start_trains_as_one_whose_weights_were_copied_by_hand(tmp_path):
    old = saved(tmp_path / "old.ckpt", Series(noise(60), fold=2))
    trained = []
    for path in (None, str(tmp_path / "old.ckpt")):
        data = Series(noise(80, seed=1), fold=2)
        torch.manual_seed(9)
        model = Forecaster(SMALL, weights_from=path, schema=data.schema)
        if path is None:
            for ours, theirs in zip(model.parameters(), old.parameters(), strict=True):
                ours.data.copy_(theirs)
        trainer(max_epochs=2).fit(model, data)
        trained.append(model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_warm_start_may_leave_calibrated_intervals_behind_or_begin_them(tmp_path):
    data = Series(noise(160), fold=3, validation="tail")
    saved(tmp_path / "with.ckpt", data, intervals=[0.9])
    saved(tmp_path / "without.ckpt", data)
    for name, intervals in (("with", []), ("without", [0.9]), ("with", [0.5, 0.8])):
        model, _ = trained(data, SMALL, weights_from=str(tmp_path / f"{name}.ckpt"), intervals=intervals)
        assert len(model.levels) == 2 * len(intervals)


def test_a_checkpoint_that_was_begun_with_others_weights_needs_their_file_no_more(tmp_path):
    data = Series(noise(60), fold=2)
    saved(tmp_path / "old.ckpt", data)
    model = saved(tmp_path / "new.ckpt", data, weights_from=str(tmp_path / "old.ckpt"))
    (tmp_path / "old.ckpt").unlink()
    loaded = Forecaster.load(tmp_path / "new.ckpt")
    x = next(iter(data.test_dataloader()))
    assert torch.equal(loaded(x), model.eval()(x))
    resumed = Forecaster(SMALL, weights_from=str(tmp_path / "old.ckpt"), schema=data.schema)
    trainer(max_epochs=2).fit(resumed, data, ckpt_path=tmp_path / "new.ckpt", weights_only=True)
    trainer().test(resumed, data, verbose=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"backbone": partial(LSTM, hidden_size=5)}, r"weight_ih_l0: expected \(20, 2\), got \(16, 2\)"),
        ({"backbone": partial(LSTM, hidden_size=4, num_layers=2)}, r"_l1: expected \(16, 4\), got none"),
        ({"linear_skip": True}, r"skip.weight: expected \(1, 2\), got none"),
        ({"loss": Quantile}, r"decoder.linear.weight: expected \(3, 4\), got \(1, 4\)"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(tmp_path, settings, words):
    data = Series(noise(60), fold=2)
    saved(tmp_path / "old.ckpt", data)
    arguments = {"backbone": SMALL, **settings}
    model = Forecaster(**arguments, weights_from=str(tmp_path / "old.ckpt"), schema=data.schema)
    with pytest.raises(ConfigError, match=f"model.weights_from: .*old.ckpt are those of another network.*{words}"):
        trainer(max_epochs=1).fit(model, data)


def test_weights_of_a_larger_network_are_refused_too(tmp_path):
    data = Series(noise(60), fold=2)
    saved(tmp_path / "old.ckpt", data, linear_skip=True)
    model = Forecaster(SMALL, weights_from=str(tmp_path / "old.ckpt"), schema=data.schema)
    with pytest.raises(ConfigError, match=r"skip.weight: expected none, got \(1, 2\)"):
        trainer(max_epochs=1).fit(model, data)


@pytest.mark.parametrize(("content", "words"), [(None, "there is no checkpoint"), (b"PK..", "damaged or not a check")])
def test_weights_that_cannot_be_read_are_named(tmp_path, content, words):
    path = tmp_path / "old.ckpt"
    if content is not None:
        path.write_bytes(content)
    data = Series(noise(60), fold=2)
    with pytest.raises(DataError, match=words):
        trained(data, SMALL, weights_from=str(path))
