import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecastlab.cli import main
from forecastlab.data.ozone import COLUMNS
from tests.cli.commands import files, fit, folder

MOST_LINES = 10


def assert_refused(answer, *expected):
    """Status 2, and at most ten lines that say what is wrong."""
    assert answer.status == 2, answer
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) <= MOST_LINES, answer.err
    for text in expected:
        assert text in answer.err


@pytest.fixture
def refused(cli, config, tmp_path):
    """Runs `fit` with wrong settings; expects what the error says, and that no run is left behind."""

    def run(given, *expected):
        root = tmp_path / "runs"
        root.mkdir()
        assert_refused(cli(*fit(config, root, *given, epochs=1)), *expected)
        assert files(root) == []

    return run


@pytest.fixture
def refused_config(refused, tmp_path):
    """As `refused`, for a second config."""

    def run(text, *expected):
        path = tmp_path / "wrong.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        refused(["--config", path], *expected)

    return run


# Settings

WRONG = {
    # misspelt
    "--model.hiden=3": ["unknown option --model.hiden"],
    "--model.backbone.hidden_sise=3": ["model.backbone: LSTM has no argument 'hidden_sise'; did you mean hidden_size?"],
    "--model.backbone=LTSM": ["model.backbone: unknown backbone 'LTSM'; did you mean LSTM? Available: ALSTM, "],
    "--model.backbone=lstm": ["model.backbone: unknown backbone 'lstm'; did you mean LSTM?"],
    "--model.decoder=Lineer": ["model.decoder: unknown Decoder 'Lineer'; did you mean Linear?"],
    "--model.loss=MSSE": ["model.loss: unknown Loss 'MSSE'; did you mean MSE?"],
    "--model.optimizer=Addam": ["model.optimizer: unknown Optimizer 'Addam'; did you mean Adam?"],
    "--model.optimizer.l_r=1": ["model.optimizer: Adam has no argument 'l_r'; did you mean lr?"],
    "--model.lr_scheduler=StepLRR": ["model.lr_scheduler: unknown LRScheduler 'StepLRR'; did you mean StepLR?"],
    "--data=OzonDataModule": ["data: unknown ForecastDataModule 'OzonDataModule'; did you mean OzoneDataModule?"],
    "--data.foldd=2": ["data: OzoneDataModule has no argument 'foldd'; did you mean fold?"],
    "--data.target=TPK": ["target: unknown column TPK", "T_PK"],
    "--data.features=[T0, T99]": ["features: unknown column T99"],
    "--trainer.max_epoch=2": ["unknown option --trainer.max_epoch", "did you mean trainer.max_epochs?"],
    "--trainer.callbacks=EarlyStoping": [
        "trainer.callbacks: unknown Callback 'EarlyStoping'; did you mean EarlyStopping?"
    ],
    "--early_stopping.monitor=val_loss": ["early_stopping.monitor: expected val/loss or train/loss, got 'val_loss'"],
    "--checkpoints.monitor=train/loss": ["checkpoints.monitor: expected val/loss, got 'train/loss'"],
    "--experimant=x": ["unknown option --experimant=x; did you mean experiment?"],
    "surplus": ["unknown option surplus"],
    # of a wrong type
    "--model.backbone.hidden_size=many": ["model.backbone.hidden_size: expected int, got many"],
    "--model.backbone.activation=tanhh": ["model.backbone.activation: expected 'tanh', 'sigmoid',", "got tanhh"],
    "--model.optimizer.lr=fast": ["model.optimizer.lr: expected float, got fast"],
    "--model.anchor=first": ["model.anchor: expected 'none', 'last', 'mean', 'seasonal', got first"],
    "--model.linear_skip=maybe": ["model.linear_skip: expected bool, got maybe"],
    "--data.lookback=abc": ["data.lookback: expected int or 'full', got abc"],
    "--data.fold=ten": ["data.fold: expected int or 'last', 'all', got ten"],
    "--data.scaler=standart": ["data.scaler: expected 'standard', 'minmax', 'robust', 'none', got standart"],
    "--data.rows=1e3": ["data.rows: expected int or null, got 1000.0"],
    "--data.features=T0": ["data.features: expected list or null, got T0"],
    "--data.calendar=[week]": ["data.calendar: expected 'hour', 'day_of_week', 'day_of_year', got week"],
    "--trainer.max_epochs=x": ["trainer.max_epochs: expected int or null, got x"],
    "--seed_everything=abc": ["seed_everything: expected bool or int, got abc"],
    "--threads=1.5": ["threads: expected int, got 1.5"],
    "--model=GRU": ["model: expected settings below it, such as --model.NAME VALUE", "got GRU"],
    "--trainer.callbacks=[3]": ["trainer.callbacks: expected a class by its name", "got 3"],
    "--model.backbone=torch.nn.Linear": ["model.backbone: torch.nn.Linear is not a Backbone"],
    # out of range
    "--model.backbone.hidden_size=0": ["model.backbone: hidden_size must be a positive integer, got 0"],
    "--model.backbone.dropout=2": ["model.backbone: dropout must be at least 0 and below 1, got 2.0"],
    "--model.dropout=1.5": ["model.dropout must be at least 0 and below 1, got 1.5"],
    "--model.optimizer.lr=-1": ["model.optimizer: Invalid learning rate: -1.0"],
    "--model.optimizer.lr=.nan": ["model.optimizer: Invalid learning rate: nan"],
    "--model.lr_scheduler=StepLR": ["model.lr_scheduler: missing step_size"],
    "--model.lr_scheduler=ReduceLROnPlateau": ["model.lr_scheduler: missing monitor"],
    "--model.optimizer=Muon": ["model.optimizer: Muon only supports 2D parameters"],
    "--data.fold=9": ["fold must be a number from 1 to 5", "got 9"],
    "--data.fold=0": ["fold must be a number from 1 to 5", "got 0"],
    "--data.lookback=-3": ["lookback must be a positive number of rows", "got -3"],
    "--data.lookback=5000": ["fold 5 trains on rows 0 .. 1249", "5000", "a shorter lookback"],
    "--data.horizon=0": ["horizon must be", "got 0"],
    "--data.horizon=5000": ["the fit range of fold 5", "horizon=5000", "a shorter"],
    "--data.splits=1": ["splits must be", "got 1"],
    "--data.splits=5000": ["1500 rows cannot be split into 5000 folds"],
    "--data.gap=10000": ["gap=10000", "cannot be split into 5 folds"],
    "--data.gap=-1": ["gap must be", "got -1"],
    "--data.test_size=0": ["test_size must be", "got 0"],
    "--data.val_fraction=1.5": ["val_fraction must be between 0 and 1", "got 1.5"],
    "--data.batch_size=0": ["batch_size must be", "got 0"],
    "--data.num_workers=-1": ["num_workers must be", "got -1"],
    "--data.season_length=5000": ["season_length is 5000", "fold 5 trains on 1250 rows only"],
    "--data.rows=0": ["rows must be a positive number", "got 0"],
    "--trainer.devices=0": ["trainer: ", "devices='0'"],
    "--trainer.accelerator=tpuu": ["trainer: ", "accelerator='tpuu'"],
    "--trainer.strategy=foo": ["trainer: ", "strategy='foo'"],
    "--trainer.strategy=ddp_spawn": ["trainer.strategy: ddp_spawn", "use ddp"],
    "--trainer.limit_train_batches=-1": ["trainer: ", "limit_train_batches"],
    "--trainer.gradient_clip_algorithm=foo": ["trainer: ", "`gradient_clip_algorithm` foo is invalid"],
    "--trainer.overfit_batches=2": ["trainer.overfit_batches is not supported", "set trainer.limit_train_batches"],
    "--early_stopping.mode=mini": ["`mode` can be min, max, got mini"],
    "--early_stopping.patience=-1": ["early_stopping.patience must be", "got -1"],
    "--seed_everything=-4": ["seed_everything: -4 is not in bounds"],
    "--threads=0": ["threads must be positive, got 0"],
    "--experiment=": ["experiment: expected a name for a folder", "got ''"],
    "--experiment=../../x": ["experiment: expected a name for a folder", "got '../../x'"],
    "--experiment=a/b": ["experiment: expected a name for a folder", "got 'a/b'"],
    "--ckpt_path=/nowhere.ckpt": ["there is no checkpoint /nowhere.ckpt", "last, or best"],
    "--config=/nowhere.yaml": ["config: File does not exist: '/nowhere.yaml'"],
}


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_option_is_named_with_what_to_do(refused, option):
    refused([option], *WRONG[option])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--data.lookback=full", "--trainer.devices=2"],
            ["lookback: full", "2 devices", "forecastlab crossval --jobs"],
        ),
        (
            ["--data.lookback=full", "--model.backbone=Bidirectional"],
            ["Bidirectional is not causal", "--data.lookback"],
        ),
        (["--data.fold=all", "--data.validation=test"], ["fold: all has no test range", "use validation: tail"]),
        (["--data.fold=1", "--data.lookback=249"], ["fold 1 has 1 training targets"]),
        (["--data.source=uci", "--data.path=/nowhere/x.data"], ["/nowhere/x.data: there is no such file"]),
        (["--ckpt_path"], ["--ckpt_path: expected one argument"]),
        (
            ["--model.lr_scheduler=ReduceLROnPlateau", "--model.lr_scheduler.monitor=val_loss"],
            ["ReduceLROnPlateau conditioned on metric val_loss which is not available", "val/loss"],
        ),
    ],
    ids=lambda value: value[-1] if value[0].startswith("--") else "",
)
def test_options_that_do_not_go_together_are_refused(cli, config, tmp_path, options, expected):
    assert_refused(cli(*fit(config, tmp_path, *options, epochs=1)), *expected)


def test_a_command_line_without_data_says_what_is_missing(cli):
    assert_refused(cli("fit"), "missing data: give --config FILE")


def test_a_folder_that_cannot_be_written_is_named(cli, config, tmp_path):
    (tmp_path / "file").write_text("")
    answer = cli(*fit(config, tmp_path / "file"))
    assert_refused(answer, "cannot make the run folder", str(tmp_path / "file"), "--trainer.default_root_dir")


# Configs

BRANCHES = "model: {backbone: {class_path: Parallel, init_args: {branches: [{class_path: LSTM}, %s]}}}"
WRONG_CONFIGS = {
    "model:\n\tbackbone: LSTM\n": ["wrong.yaml is not valid YAML, line 2: found character '\\t'"],
    "model: {backbone: [a, b\n": ["wrong.yaml is not valid YAML, line 2: expected"],
    "- a\n- b\n": ["wrong.yaml holds no keys and values"],
    "hello\n": ["wrong.yaml holds no keys and values"],
    "": ["wrong.yaml holds no keys and values"],
    "null\n": ["wrong.yaml holds no keys and values"],
    "date: 2001-99-99\n": ["wrong.yaml is not valid YAML", "month"],
    "? [a, b]\n: 1\n": ["wrong.yaml is not valid YAML, line 1: found unhashable key"],
    "a: !!python/object/apply:os.system ['true']\n": ["wrong.yaml is not valid YAML, line 1"],
    "a: 1\n" + "[" * 3000: ["wrong.yaml is not valid YAML"],
    "modell: {dropout: 0.1}\n": ["unknown option modell.dropout; did you mean model.dropout?"],
    "model: {droppout: 0.1}\n": ["unknown option model.droppout; did you mean model.dropout?"],
    "model: GRU\n": ["wrong.yaml: expected settings below model, got 'GRU'"],
    "model: null\n": ["wrong.yaml: expected settings below model, got None"],
    "trainer: 3\n": ["wrong.yaml: expected settings below trainer, got 3"],
    "early_stopping: []\n": ["wrong.yaml: expected settings below early_stopping, got []"],
    "experiment: a/b\n": ["experiment: expected a name for a folder", "got 'a/b'"],
    "experiment: 5\n": ["experiment: expected str or null, got 5"],
    "1: 2\n": ["Key must be a string, got: 1"],
    "data: {class_path: 3}\n": ["data: expected a class by its name, or its class_path and init_args"],
    "model: {backbone: {class_path: LSTM, hidden_size: 3}}\n": ["model.backbone: ", "below init_args"],
    BRANCHES % "{class_path: ALSMT}": ["model.backbone.branches: unknown backbone 'ALSMT'; did you mean ALSTM?"],
    BRANCHES % "{class_path: ALSTM, init_args: {num_head: 2}}": [
        "ALSTM has no argument 'num_head'; did you mean num_heads?"
    ],
    BRANCHES % "{class_path: GRU, init_args: {hidden_size: big}}": ["branches.hidden_size: expected int, got big"],
    "model: {backbone: {class_path: Parallel, init_args: {branches: []}}}": [
        "branches must name at least one backbone"
    ],
}


@pytest.mark.parametrize("text", WRONG_CONFIGS, ids=lambda text: text[:40].replace("\n", " ").strip() or "empty")
def test_a_wrong_config_is_named_with_its_line_or_key(refused_config, text):
    refused_config(text, *WRONG_CONFIGS[text])


def test_a_config_that_is_no_text_or_a_folder_is_refused(cli, tmp_path, refused_config):
    refused_config(b"\x80\x81", "wrong.yaml is not valid YAML")
    assert_refused(cli("fit", "--config", tmp_path), "config: Path is not a file")


@given(content=st.binary(max_size=60))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_as_a_config_are_refused(tmp_path, content):
    path = tmp_path / "random.yaml"
    path.write_bytes(content)
    assert main(["fit", "--config", str(path), f"--trainer.default_root_dir={tmp_path}"]) == 2


KEYS = st.sampled_from(["data", "model", "trainer", "backbone", "class_path", "init_args", "branches", "threads", "x"])
LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "LSTM", "x", "Parallel", "1e3", "null"])
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3))


@given(tree=st.dictionaries(KEYS, TREES, max_size=3))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_keys_and_values_as_a_config_are_refused(tmp_path, tree):
    path = tmp_path / "random.yaml"
    path.write_text(yaml.safe_dump(tree))  # none of them names a data module
    assert main(["fit", "--config", str(path), f"--trainer.default_root_dir={tmp_path}"]) == 2
    assert files(tmp_path) == ["random.yaml"]


# The data file

LINE = ",".join(["1/{day}/1998", *(["1.5"] * (len(COLUMNS) - 1))])
LINES = [LINE.format(day=day) for day in range(1, 32)]
WRONG_FILES = {
    "empty": ("", ["the file is empty"]),
    "columns": ("\n".join([*LINES[:4], LINES[4] + ",1"]), ["line 5: expected 74 columns", "got 75"]),
    "text": ("\n".join([*LINES[:2], LINES[2].replace("1.5", "warm", 1)]), ["line 3, column 2 (WSR0)", "'warm'"]),
    "order": ("\n".join([LINES[1], LINES[0]]), ["line 2: expected dates in order"]),
    "double": ("\n".join([LINES[0], LINES[0]]), ["line 2: expected one row per date", "line 1 too"]),
    "date": ("\n".join(["31" + LINES[0]]), ["line 1, column 1 (Date): expected a date"]),
    "header": ("\n".join([",".join(COLUMNS), *LINES]), ["line 1: expected data, got a header row"]),
    "binary": ("\0\1\2", ["expected text"]),
    "short": ("\n".join(LINES), ["the file has 31 rows, but rows is 1500", "--data.rows"]),
}


def given_file(tmp_path, text):
    (tmp_path / "ozone.data").write_text(text)
    return ["--data.source=uci", f"--data.path={tmp_path / 'ozone.data'}"]


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_a_malformed_data_file_is_named_with_its_row(refused, tmp_path, kind):
    text, expected = WRONG_FILES[kind]
    refused(given_file(tmp_path, text), *expected)


def test_values_that_nothing_can_fill_are_named(refused, tmp_path):
    lines = [LINES[0].replace("1.5", "?", 1), *LINES[1:]]
    refused([*given_file(tmp_path, "\n".join(lines)), "--data.rows=31"], "begin with missing values", "WSR0 (1)")


# Checkpoints


@pytest.mark.parametrize("command", ["test", "predict", "validate", "fit"])
@pytest.mark.parametrize("kind", ["text", "empty", "cut", "flipped", "zip", "foreign", "folder"])
def test_a_damaged_or_foreign_checkpoint_is_refused(cli, trained, tmp_path, command, kind):
    path = tmp_path / "model.ckpt"
    whole = (folder(trained) / "checkpoints" / "last.ckpt").read_bytes()
    content = {"text": b"hello\n", "empty": b"", "cut": whole[: len(whole) // 2], "flipped": flipped(whole)}
    if kind in content:
        path.write_bytes(content[kind])
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "hello")
    elif kind == "foreign":
        torch.save({"state_dict": {}, "epoch": 3}, path)
    else:
        path.mkdir()
    answer = cli(command, "--ckpt_path", path)
    assert_refused(answer, str(path))
    assert files(tmp_path) == ["model.ckpt"]


def flipped(content):
    """The same bytes but for one bit, in the middle of the weights."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


# Code that was not asked for


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_checkpoint_runs_no_code(cli, trained, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "model.ckpt"
    checkpoint = torch.load(folder(trained) / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save({**checkpoint, "evil": Evil(marker)}, path, pickle_module=pickle)
    for command in ("test", "fit"):
        assert_refused(cli(command, "--ckpt_path", path), "is not a readable checkpoint")
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # it would have


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A package that writes a file when it is imported; its name, and the file."""
    package = f"foreign_{os.urandom(4).hex()}"
    marker = tmp_path / "marker"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / package / "cells.py").write_text(
        "from pathlib import Path\n"
        "from lightning.pytorch import Callback\n"
        "from forecastlab.backbones.lstm import LSTM\n"
        f"Path({str(marker)!r}).touch()\n"
        "class Cell(LSTM):\n    pass\n"
        "class Hook(Callback):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return package, marker


@pytest.mark.parametrize(
    "text",
    [
        "model: {backbone: {class_path: %s.cells.Cell}}",
        "model: {backbone: {class_path: Parallel, init_args: {branches: [{class_path: %s.cells.Cell}]}}}",
        "model: {optimizer: {class_path: %s.cells.Cell}}",
        "model: {lr_scheduler: {class_path: %s.cells.Cell}}",
        "model: {loss: {class_path: %s.cells.Cell}}",
        "data: {class_path: %s.cells.Cell}",
        "trainer: {callbacks: [{class_path: %s.cells.Hook}]}",
        "trainer: {callbacks: {class_path: %s.cells.Hook}}",
        "trainer: {strategy: {class_path: %s.cells.Hook}}",
        "trainer: {plugins: [{class_path: %s.cells.Hook}]}",
    ],
)
def test_a_config_imports_no_package_that_was_not_allowed(refused_config, foreign, text):
    package, marker = foreign
    refused_config(text % package, f"{package}.cells", f"--allow_import {package}")
    assert not marker.exists()


def test_the_message_about_another_mistake_imports_nothing_either(refused_config, foreign):
    package, marker = foreign
    cell = f"{{class_path: {package}.cells.Cell}}"
    text = f"model: {{backbone: {{init_args: {{branchs: [{cell}]}}, class_path: Parallel}}}}"
    refused_config(text, "Parallel has no argument 'branchs'; did you mean branches?")
    assert not marker.exists()


@pytest.mark.parametrize("option", ["--model.backbone=%s.cells.Cell", "--trainer.callbacks=%s.cells.Hook"])
def test_an_option_imports_no_package_that_was_not_allowed(refused, foreign, option):
    package, marker = foreign
    refused([option % package], f"{package}.cells", f"--allow_import {package}")
    assert not marker.exists()


def test_a_checkpoint_imports_no_package_that_was_not_allowed(cli, trained, tmp_path, foreign):
    package, marker = foreign
    checkpoint = torch.load(folder(trained) / "checkpoints" / "best.ckpt", weights_only=True)
    config = yaml.safe_load(checkpoint["config"])
    config["model"]["backbone"]["class_path"] = f"{package}.cells.Cell"
    torch.save({**checkpoint, "config": yaml.safe_dump(config)}, tmp_path / "model.ckpt")
    assert_refused(cli("test", "--ckpt_path", tmp_path / "model.ckpt"), f"--allow_import {package}")
    assert not marker.exists()


def test_a_package_that_is_allowed_is_imported(cli, config, tmp_path, foreign):
    package, marker = foreign
    given = [f"--model.backbone={package}.cells.Cell", f"--trainer.callbacks={package}.cells.Hook"]
    answer = cli(*fit(config, tmp_path / "runs", "--allow_import", package, *given, epochs=1))
    assert answer.status == 0, answer.err
    assert marker.exists()


def test_a_failed_start_leaves_earlier_runs_alone(cli, config, root):
    before = files(root)
    assert cli(*fit(config, root, "--model.optimizer.lr=-1")).status == 2
    assert files(root) == before


def test_a_bug_keeps_its_traceback(config, tmp_path, monkeypatch):
    def broken(self):
        raise ValueError("a bug")

    monkeypatch.setattr("forecastlab.training.forecaster.Forecaster.on_train_epoch_end", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(fit(config, tmp_path, epochs=1))
