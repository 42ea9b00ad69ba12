"""Promise: no checkpoint and no config runs code that nobody allowed."""

import gc
import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
import yaml

from forecastlab.cli import main
from forecastlab.evaluation.fold import Fold, fit_and_test
from forecastlab.experiment.config import Config
from forecastlab.training.forecaster import Forecaster
from tests.reliability.processes import CONFIG, fit, folder, last_path, load, start
from tests.series import Series, noise, trainer

COMMANDS = ("fit", "validate", "test", "predict")

EVIL = """
import pathlib
pathlib.Path({marker!r}).write_text("was here")
from forecastlab.backbones.lstm import LSTM
from lightning.pytorch import Callback, LightningDataModule, LightningModule
class Backbone(LSTM): pass
class Evil(Callback): pass
class Data(LightningDataModule): pass
class Model(LightningModule): pass
def call(*args, **kwargs): pass
"""


class Reduced:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that is there as soon as any evil code has run; `evil_module` could be imported."""
    path = tmp_path / "marker"
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "evil_module.py").write_text(EVIL.format(marker=str(path)))
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.delitem(sys.modules, "evil_module", raising=False)
    yield path
    sys.modules.pop("evil_module", None)
    gc.collect()  # or its classes would still be found among the subclasses of ours


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A last.ckpt of a run of one epoch."""
    root = tmp_path_factory.mktemp("trained")
    (root / "tiny.yaml").write_text(CONFIG)
    assert main(fit(root / "tiny.yaml", root, epochs=1)) == 0
    return last_path(root)


def refused(answer, marker):
    """The command ended with an error in a few lines, and nothing evil ran."""
    assert not marker.exists()
    assert answer.status == 2, answer.err
    said = [line for line in answer.err.splitlines() if line.startswith("forecastlab: error: ")]
    assert len(said) == 1
    assert len(answer.err.splitlines()) <= 10
    assert "evil_module" not in sys.modules


def test_the_evil_code_would_run_if_it_were_loaded(tmp_path, marker):
    import evil_module

    assert evil_module
    assert marker.exists()
    marker.unlink()
    torch.save({"state_dict": Reduced(marker)}, tmp_path / "evil.ckpt")
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert marker.exists()


def as_pickle(path, checkpoint, marker):
    path.write_bytes(pickle.dumps(Reduced(marker)))


def as_value(path, checkpoint, marker):
    torch.save({**checkpoint, "more": Reduced(marker)}, path)


def as_weights(path, checkpoint, marker):
    torch.save({**checkpoint, "state_dict": {"weight": Reduced(marker)}}, path)


def legacy(path, checkpoint, marker):
    torch.save({**checkpoint, "more": Reduced(marker)}, path, _use_new_zipfile_serialization=False)


PICKLES = [as_pickle, as_value, as_weights, legacy]


@pytest.mark.parametrize("evil", PICKLES)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_evil_pickle_is_not_loaded(tmp_path, config, cli, trained, marker, command, evil):
    last_path(tmp_path).parent.mkdir(parents=True)
    evil(last_path(tmp_path), load(trained), marker)
    place = f"--trainer.default_root_dir={tmp_path}"
    refused(cli(command, "--ckpt_path", last_path(tmp_path)), marker)
    refused(cli(command, "--config", config, place, "--ckpt_path=last"), marker)
    refused(cli(command, "--config", config, place, "--ckpt_path=last", "--weights_only=false"), marker)
    named = tmp_path / "named.yaml"
    named.write_text(f"{CONFIG}\nckpt_path: {last_path(tmp_path)}\nweights_only: false\n")
    refused(cli(command, "--config", named, place), marker)
    refused(cli("export", "--ckpt_path", last_path(tmp_path)), marker)


@pytest.mark.parametrize("evil", PICKLES)
def test_an_evil_best_checkpoint_is_not_loaded_by_a_resumed_run(tmp_path, config, cli, marker, evil):
    assert cli(*fit(config, tmp_path, epochs=1)).status == 0
    best = folder(tmp_path) / "checkpoints" / "best.ckpt"
    evil(best, load(best), marker)
    assert cli(*fit(config, tmp_path, "--ckpt_path=last", epochs=2)).status == 0
    assert not marker.exists()


@pytest.mark.parametrize("evil", PICKLES)
def test_an_evil_checkpoint_is_not_loaded_by_a_fold(tmp_path, config, trained, marker, evil):
    fold = Fold(folder(tmp_path) / "fold_5" / "seed_0", Config.from_args(fit(config, tmp_path, epochs=1)[1:]))
    last = fold.folder / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    evil(last, load(trained), marker)
    fit_and_test(fold, print)  # it begins afresh
    assert not marker.exists()
    assert load(last)["epoch"] == 1


@pytest.mark.parametrize("evil", PICKLES)
def test_an_evil_checkpoint_is_not_loaded_from_python(tmp_path, trained, marker, evil):
    path = tmp_path / "evil.ckpt"
    evil(path, load(trained), marker)
    data = Series(noise(60), fold=2)
    with pytest.raises(Exception, match=r"eights.only|damaged"):
        Forecaster.load_from_checkpoint(path)
    with pytest.raises(Exception, match=r"eights.only|damaged"):
        trainer(max_epochs=1).fit(Forecaster(schema=data.schema), data, ckpt_path=str(path))
    assert not marker.exists()


HYPER_PARAMETERS = [
    {"_class_path": "evil_module.Model"},
    {"_instantiator": "evil_module.call"},
    {"_class_path": "evil_module.Model", "_instantiator": "lightning.pytorch.cli.instantiate_module"},
    {"backbone": {"class_path": "evil_module.Backbone", "init_args": {}}},
    {"loss": {"class_path": "os.system", "init_args": {}}},
]


@pytest.mark.parametrize("evil", HYPER_PARAMETERS, ids=str)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_class_path_in_the_hyper_parameters_is_imported(tmp_path, cli, trained, marker, command, evil):
    checkpoint = load(trained)
    checkpoint["hyper_parameters"] |= evil
    path = tmp_path / "evil.ckpt"
    torch.save(checkpoint, path)
    place = f"--trainer.default_root_dir={tmp_path}"
    answer = cli(command, "--ckpt_path", path, place, *(["--trainer.max_epochs=2"] if command == "fit" else []))
    assert answer.status == 0, answer.err  # they are not read: the network is built from the config
    assert not marker.exists()
    refused(cli("export", "--ckpt_path", path), marker)
    if set(evil) != {"_class_path"}:  # which alone means nothing
        with pytest.raises(Exception, match=r"blocked|not imported|not a subclass"):
            Forecaster.load_from_checkpoint(path)
        assert not marker.exists()


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


CLASS_PATHS = {
    "data": {"class_path": "evil_module.Data"},
    "model.backbone": {"class_path": "evil_module.Backbone"},
    "model.backbone.init_args.branches": [{"class_path": "evil_module.Backbone"}],
    "model.decoder": {"class_path": "evil_module.call"},
    "model.loss": {"class_path": "evil_module.call"},
    "model.optimizer": {"class_path": "evil_module.call"},
    "model.lr_scheduler": {"class_path": "evil_module.call"},
    "model": {"class_path": "evil_module.Model"},
    "trainer.callbacks": [{"class_path": "evil_module.Evil"}],
    "trainer.logger": {"class_path": "evil_module.call"},
    "trainer.strategy": {"class_path": "evil_module.call"},
    "trainer.accelerator": {"class_path": "evil_module.call"},
    "trainer.profiler": {"class_path": "evil_module.call"},
    "trainer.plugins": [{"class_path": "evil_module.call"}],
    "trainer.barebones": {"class_path": "evil_module.call"},
}
LAMBDA = {"class_path": "lightning.pytorch.callbacks.LambdaCallback", "init_args": {"on_fit_start": "evil_module.call"}}


def configs():
    for key, value in CLASS_PATHS.items():
        yield key, nested(key, value)
    yield "a callable of a callback", nested("trainer.callbacks", [LAMBDA])
    series = {"class_path": "Series", "init_args": {"branches": [{"class_path": "evil_module.Backbone"}]}}
    yield "a branch of a hybrid", nested("model.backbone", series)


def merged(ours, theirs):
    """Two nested mappings; the second one wins."""
    if not isinstance(ours, dict) or not isinstance(theirs, dict) or "class_path" in theirs:
        return theirs
    return {**ours, **{key: merged(ours[key], value) if key in ours else value for key, value in theirs.items()}}


QUICK = ("data", "model.backbone", "trainer.callbacks", "a branch of a hybrid")
"""Of the others only `fit` and `test` are tried in the quick tests: a parser takes a tenth of a second."""
EVERYWHERE = [pytest.param(*case, marks=() if case[0] in QUICK else pytest.mark.slow, id=case[0]) for case in configs()]


def evil_checkpoint(tmp_path, trained, evil):
    """A checkpoint with an evil config, which comes from others even more often than a config does."""
    checkpoint = load(trained)
    checkpoint["config"] = yaml.safe_dump(merged(yaml.safe_load(checkpoint["config"]), evil))
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    return tmp_path / "evil.ckpt"


def evil_config(tmp_path, evil):
    config = tmp_path / "evil.yaml"
    config.write_text(yaml.safe_dump(merged(yaml.safe_load(CONFIG), evil)))
    return config


def not_believed(answer, marker, key):
    """The command refused a checkpoint's model or data, or left its trainer out with one note; nothing evil ran."""
    if not key.startswith("trainer") and key != "a callable of a callback":
        refused(answer, marker)
        return
    assert answer.status == 0, answer.err
    assert len([line for line in answer.err.splitlines() if "left out" in line]) == 1
    assert not marker.exists()
    assert "evil_module" not in sys.modules


@pytest.mark.parametrize(("key", "evil"), EVERYWHERE)
def test_no_class_path_in_a_config_is_imported_by_any_command(tmp_path, cli, trained, marker, key, evil):
    config, checkpoint = evil_config(tmp_path, evil), evil_checkpoint(tmp_path, trained, evil)
    place = f"--trainer.default_root_dir={tmp_path}"
    for command in ("fit", "crossval"):
        refused(cli(command, "--config", config, place), marker)
    assert not (tmp_path / "lightning_logs").exists()
    for command in COMMANDS:
        refused(cli(command, "--config", config, "--ckpt_path", trained), marker)
        not_believed(cli(command, "--ckpt_path", checkpoint, place), marker, key)
    if key == "data":
        refused(cli("data", "--config", config), marker)
    not_believed(cli("export", "--ckpt_path", checkpoint), marker, key)


@pytest.mark.parametrize(("key", "evil"), list(configs()), ids=lambda value: value if isinstance(value, str) else "")
def test_no_class_path_in_a_config_is_imported(tmp_path, cli, trained, marker, key, evil):
    place = f"--trainer.default_root_dir={tmp_path}"
    refused(cli("fit", "--config", evil_config(tmp_path, evil), place), marker)
    assert not (tmp_path / "lightning_logs").exists()
    not_believed(cli("test", "--ckpt_path", evil_checkpoint(tmp_path, trained, evil), place), marker, key)


@pytest.mark.parametrize(
    "option",
    ["--model.backbone=evil_module.Backbone", "--data=evil_module.Data", "--trainer.callbacks+=evil_module.Evil"],
)
def test_no_class_path_on_the_command_line_is_imported_unless_it_is_allowed(tmp_path, config, cli, marker, option):
    refused(cli(*fit(config, tmp_path, option, epochs=1)), marker)
    allowed = fit(config, tmp_path, option, "--allow_import=evil_module", epochs=1)
    start(tmp_path / "output", allowed).ended()  # in a process of its own, as what is allowed once stays so
    assert marker.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch {}']", "!!python/name:evil_module.call"])
def test_no_tag_in_a_yaml_file_runs_code(tmp_path, cli, trained, marker, tag):
    evil = tag.format(marker)
    config = tmp_path / "evil.yaml"
    config.write_text(f"{CONFIG}\nexperiment: {evil}\n")
    for command in ("fit", "crossval"):
        refused(cli(command, "--config", config), marker)
    config.write_text(f"data: {evil}\n")
    refused(cli("data", "--config", config), marker)
    torch.save({**load(trained), "config": f"experiment: {evil}\n"}, tmp_path / "evil.ckpt")
    for command in (*COMMANDS, "export"):
        refused(cli(command, "--ckpt_path", tmp_path / "evil.ckpt"), marker)
    refused(cli("predict", "--ckpt_path", tmp_path / "evil.ckpt", "--data.path=x.csv"), marker)
    run = folder(tmp_path)
    run.mkdir(parents=True)
    for name in ("config.yaml", "settings.yaml"):
        (run / name).write_text(f"experiment: {evil}\n")
    for name in ("results.csv", "predictions.csv"):
        (run / name).write_text("model,fold\n")
    cli("compare", run, run)
    cli("crossval", "--config", tmp_path / "tiny.yaml", f"--trainer.default_root_dir={tmp_path}", "--folds=9")
    assert not marker.exists()


def test_a_checkpoint_at_an_address_is_not_fetched(cli, marker):
    for address in ("http://127.0.0.1:9/evil.ckpt", "file:///tmp/evil.ckpt", "s3://bucket/evil.ckpt"):
        for command in (*COMMANDS, "export"):
            refused(cli(command, "--ckpt_path", address), marker)


def test_an_error_of_ours_says_how_to_allow_a_package(tmp_path, config, cli, marker):
    answer = cli(*fit(config, tmp_path, "--model.backbone=evil_module.Backbone", epochs=1))
    refused(answer, marker)
    assert "--allow_import evil_module" in answer.err
