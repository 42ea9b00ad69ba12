"""Promise: whatever a part of a checkpoint is replaced by, loading and resuming end in a few lines, or work."""

import copy
import random
import re
from dataclasses import fields
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from forecastlab.backbones.rnn import RNN
from forecastlab.batch import Schema
from forecastlab.cli import main
from forecastlab.data.recipe import Recipe
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.data.trained_on import TrainedOn
from forecastlab.errors import DataError, ForecastlabError
from forecastlab.runs.checkpoint_schema import require_structure
from forecastlab.training.callbacks import AtomicCheckpointIO, Checkpoints, EarlyStopping, GivenSettings, RandomState
from forecastlab.training.forecaster import Forecaster
from tests.series import trainer

VALUES = {
    "null": None,
    "-1": -1,
    "10**30": 10**30,
    "a text": "x",
    "an empty list": [],
    "an empty mapping": {},
    "3.5": 3.5,
    "a tensor": torch.arange(3.0),
    "nan": float("nan"),
}
MISSING = object()
FEW = 15
"""How many that the structure allows are tried in a quick run; all of them take minutes."""


def frame():
    rows = np.arange(60.0)
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d")
    return pd.DataFrame({"ds": days, "y": np.sin(rows / 3) + rows / 50, "x": np.cos(rows / 3)})


DATA = {"horizon": 2, "lookback": 3, "features": ["y", "x"], "splits": 2, "fold": 2}
MODEL = {
    "backbone": partial(RNN, hidden_size=2),
    "intervals": [0.5],
    "lr_scheduler": partial(ReduceLROnPlateau, monitor="val/loss"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the last checkpoint of a run holds that has every part that a checkpoint can have."""
    root = tmp_path_factory.mktemp("whole")
    frame().to_csv(root / "data.csv", index=False)
    given = [
        *("--data", "TableDataModule", f"--data.path={root / 'data.csv'}", "--data.features=[y,x]"),
        *(f"--data.{name}={DATA[name]}" for name in ("horizon", "lookback", "splits", "fold")),
        *("--model.backbone=RNN", "--model.backbone.hidden_size=2", "--model.intervals=[0.5]"),
        *("--model.lr_scheduler=ReduceLROnPlateau", "--model.lr_scheduler.monitor=val/loss"),
        *("--experiment=whole", "--trainer.max_epochs=2", f"--trainer.default_root_dir={root}"),
    ]
    assert main(["fit", *given]) == 0
    last = root / "lightning_logs" / "whole" / "version_0" / "checkpoints" / "last.ckpt"
    return torch.load(last, weights_only=True)


def places(value, path=()):
    """Where the parts of a checkpoint are; of a list its first and its last."""
    if path:
        yield path
    inner = {}
    if isinstance(value, dict):
        inner = value
    elif isinstance(value, list | tuple) and value:
        inner = {number: value[number] for number in {0, len(value) - 1}}
    for key, one in inner.items():
        yield from places(one, (*path, key))


def replaced(checkpoint, path, value):
    """A copy of a checkpoint in which one part is another, or missing; parts that stay are not copied."""
    if not path:
        return value
    key, *rest = path
    changed = copy.copy(checkpoint) if isinstance(checkpoint, dict) else list(checkpoint)
    if value is MISSING and not rest:
        del changed[key]
        return changed
    changed[key] = replaced(checkpoint[key], rest, value)
    return tuple(changed) if isinstance(checkpoint, tuple) else changed


def damages(checkpoint):
    """Each part replaced by each value: a name, and the checkpoint."""
    for path in places(checkpoint):
        for name, value in {**VALUES, "nothing": MISSING}.items():
            yield f"{'.'.join(map(str, path))} = {name}", replaced(checkpoint, path, value)


def refusal(call, *args, kinds=ForecastlabError):
    """The error of ours that a call ends in, if it ends in one."""
    try:
        call(*args)
    except kinds as error:
        return str(error)
    return None


def allowed(checkpoint):
    """Those in which the structure is as it must be; of the others it is said which part is not."""
    for name, damaged in damages(checkpoint):
        said = refusal(require_structure, damaged, "x.ckpt")
        if said is None:
            yield name, damaged
        else:
            assert said.startswith("x.ckpt: "), name
            assert len(said.splitlines()) == 1, name


def loaded(path):
    assert np.isfinite(Forecaster.load(path).forecast(frame())["forecast"]).all()


def resumed(path):
    """Goes on with the callbacks of the command line."""
    data = TableDataModule(path=str(path.with_name("data.csv")), **DATA)
    model = Forecaster(**MODEL, schema=data.schema)
    callbacks = [GivenSettings(), RandomState(), EarlyStopping("val/loss", patience=20), Checkpoints()]
    quiet = {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()], "default_root_dir": path.parent / "again"}
    trainer(max_epochs=3, callbacks=callbacks, **quiet).fit(model, data, ckpt_path=str(path))


def assert_is_used_or_refused(path, name):
    """Loaded and resumed; an error of any other kind is let through."""
    for use in (loaded, resumed):
        said = refusal(use, path, kinds=(ForecastlabError, MisconfigurationException))
        assert said is None or len(said.splitlines()) <= 10, name


def assert_command_ends_well(capsys, path, name):
    """`main` lets an error of any other kind through."""
    capsys.readouterr()
    given = [f"--trainer.default_root_dir={path.parent}", "--trainer.max_epochs=3"]
    status = main(["fit", "--ckpt_path", str(path), *given])
    said = capsys.readouterr().err
    assert status in (0, 2), name
    if status == 2:
        error = said[said.index("forecastlab: error: ") :]
        assert len(error.splitlines()) <= 10, (name, error)


def test_the_whole_checkpoint_has_the_structure_and_every_part_that_is_read(run):
    checkpoint = run
    require_structure(checkpoint, "x.ckpt")
    for part in ("hyper_parameters", "loops", "callbacks", "optimizer_states", "lr_schedulers", "random_state"):
        assert checkpoint[part]


@pytest.mark.parametrize("part", [None, 7, "x", [], {}])
def test_what_is_no_checkpoint_at_all_is_refused(part):
    with pytest.raises(DataError, match=r"^x\.ckpt: (the whole is|state_dict is missing)"):
        require_structure(part, "x.ckpt")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("hyper_parameters",), None, "hyper_parameters is null, expected a mapping"),
        (
            ("hyper_parameters", "schema", "horizon"),
            -1,
            "hyper_parameters.schema.horizon is -1, expected a whole number",
        ),
        (("hyper_parameters", "schema", "step"), "x", "schema.step is the text 'x', expected a step of a calendar"),
        (("global_step",), "7", "global_step is the text '7', expected a whole number from 0"),
        (("global_step",), True, "global_step is True, expected a whole number from 0"),
        (("pytorch-lightning_version",), "x", "pytorch-lightning_version is the text 'x', expected a version"),
        (("pytorch-lightning_version",), "1.9.0", "expected version 2.0 of Lightning or later"),
        (("loops", "fit_loop"), MISSING, "loops.fit_loop is missing"),
        (("loops", "fit_loop", "epoch_progress", "total", "ready"), 10**30, "epoch_progress.total.ready is 1000000000"),
        (("callbacks", "Checkpoints", "best_score"), "x", "callbacks.Checkpoints.best_score is the text 'x'"),
        (("optimizer_states",), {}, "optimizer_states is a mapping of 0, expected a list"),
        (("lr_schedulers", 0, "last_epoch"), 3, "lr_schedulers.0.last_epoch is 3, but only 2 epochs were trained"),
        (("random_state", 0, "torch"), torch.zeros(4), "random_state.0.torch is no state of a generator"),
        (("random_state", 0, "numpy", 0), "MT", "random_state.0.numpy is no state of a generator"),
        (("state_dict", "decoder.linear.bias"), 3.5, "state_dict.decoder.linear.bias is 3.5, expected a tensor"),
        (
            ("state_dict", "decoder.linear.bias"),
            torch.ones(2).to_sparse(),
            "state_dict.decoder.linear.bias is a tensor of shape (2,) and torch.float32, expected a dense tensor",
        ),
        (
            ("state_dict", "decoder.linear.bias"),
            torch.ones(1).expand(10**9),
            "but the file does not hold that many values",
        ),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_part_of_another_form_is_named_with_what_was_expected(run, path, value, expected):
    with pytest.raises(DataError) as refused:
        require_structure(replaced(run, path, value), "x.ckpt")
    assert expected in str(refused.value)
    assert str(refused.value).endswith("use another checkpoint of the run")


@pytest.mark.parametrize(
    ("owner", "path"),
    [
        (Schema, ("hyper_parameters", "schema")),
        (Recipe, ("hyper_parameters", "schema", "recipe")),
        (TrainedOn, ("trained_on", 0)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_number_is_refused_as_any_field_of_what_is_known_of_the_data(run, owner, path):
    for field in fields(owner):
        whole = replaced(run, (*path, field.name), 0.5)
        with pytest.raises(DataError, match=rf"^x\.ckpt: {re.escape('.'.join(map(str, path)))}\.{field.name} is 0\.5"):
            require_structure(whole, "x.ckpt")


def test_a_trainer_that_reads_files_in_its_own_way_is_refused_a_damaged_one_too(run, tmp_path):
    data = TableDataModule(path=str(saved(tmp_path, run).with_name("data.csv")), **DATA)
    for path in (("loops", "fit_loop"), ("callbacks", "Checkpoints", "best_epoch"), ("hyper_parameters",)):
        torch.save(replaced(run, path, None), tmp_path / "damaged.ckpt")
        with pytest.raises(DataError, match=rf"^the checkpoint: {'.'.join(path)} is null, expected a "):
            trainer(max_epochs=3).fit(
                Forecaster(**MODEL, schema=data.schema),
                data,
                ckpt_path=str(tmp_path / "damaged.ckpt"),
                weights_only=True,
            )
        with pytest.raises(DataError, match=rf"{'.'.join(path)} is null"):
            Forecaster.load(tmp_path / "damaged.ckpt")


def saved(folder, checkpoint):
    frame().to_csv(folder / "data.csv", index=False)
    torch.save(checkpoint, folder / "damaged.ckpt")
    return folder / "damaged.ckpt"


def test_any_part_replaced_ends_in_a_few_lines_or_works(run, tmp_path, capsys):
    found = list(allowed(run))
    assert len(found) > FEW
    for name, damaged in random.Random(0).sample(found, FEW):
        path = saved(tmp_path, damaged)
        assert_is_used_or_refused(path, name)
    assert_command_ends_well(capsys, path, name)


@pytest.mark.slow
def test_every_part_replaced_ends_in_a_few_lines_or_works(run, tmp_path):
    for name, damaged in allowed(run):
        path = saved(tmp_path, damaged)
        assert_is_used_or_refused(path, name)


def test_the_parts_that_are_replaced_reach_every_tensor_and_number(run):
    leaves = [path for path in places(run) if path[0] == "optimizer_states"]
    assert any(path[-1] == "exp_avg" for path in leaves)
    assert isinstance(run["optimizer_states"][0]["state"][0]["exp_avg"], Tensor)
