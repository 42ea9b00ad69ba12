"""What an experiment is, as a value, beside what the command line makes of the same settings."""

import pickle

import pytest
import torch
import yaml

from forecastlab.cli import main
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.errors import ConfigError
from forecastlab.experiment.config import Config
from forecastlab.experiment.experiment import Experiment
from tests.cli.commands import CONFIG, fit, folder

REPLACED = [
    {"data.fold": 2, "seed_everything": 5, "trainer.logger": False},
    {"model.backbone": "GRU"},
    {"model.backbone": "GRU", "model.backbone.hidden_size": 7},
    {"model.backbone": "GRU", "model.backbone.init_args.hidden_size": 7, "model.dropout": 0.2},
    {
        "model.backbone": {
            "class_path": "Parallel",
            "init_args": {"branches": [{"class_path": "LSTM"}, {"class_path": "GRU"}]},
        }
    },
    {"model.optimizer": "SGD", "model.optimizer.lr": 0.5},
    {"model.optimizer.lr": 0.1},
    {"trainer.max_time": None, "trainer.max_epochs": 3, "trainer.limit_val_batches": 0},
    {"data.lookback": "full", "data.fold": "all"},
    {"model.lr_scheduler": {"class_path": "StepLR", "init_args": {"step_size": 2}}},
    {"experiment": "other"},
]
REFUSED = [
    {"model.backbone": "LTSM"},
    {"model.backbone.nothing": 3},
    {"data.fold": "x"},
    {"model.dropout": "a"},
    {"data.nonsense": 2},
]


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch):
    """Takes back what a command sets for its whole process."""
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "0")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def tiny(path):
    return Config.of(path)


def options(values):
    return [
        f"--{name}={yaml.safe_dump(value, default_flow_style=True).split(chr(10))[0]}" for name, value in values.items()
    ]


def test_it_is_what_a_training_writes_to_its_folder(path, tmp_path):
    args = fit(path, tmp_path, "--model.dropout=0.2", epochs=1)
    assert main(args) == 0
    assert Config.from_args(args[1:]).to_yaml() == (folder(tmp_path) / "config.yaml").read_text()


def test_a_training_of_a_config_writes_the_same_text(tiny, tmp_path):
    config = tiny.with_values({"trainer.default_root_dir": str(tmp_path), "trainer.max_epochs": 1})
    Experiment(config.arguments("fit")).execute()
    assert (folder(tmp_path) / "config.yaml").read_text() == config.to_yaml()


@pytest.mark.parametrize("values", REPLACED, ids=str)
def test_replaced_values_are_those_of_a_command_line(tiny, path, values):
    assert tiny.with_values(values) == Config.from_args(["--config", str(path), *options(values)])


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_what_a_command_line_refuses_cannot_be_set(tiny, path, values):
    with pytest.raises(ConfigError) as given:
        Config.from_args(["--config", str(path), *options(values)])
    with pytest.raises(ConfigError) as replaced:
        tiny.with_values(values)
    assert str(replaced.value) == str(given.value)


def test_an_unknown_key_is_named(tiny):
    with pytest.raises(ConfigError, match=r"unknown option trainer\.max_epoch; did you mean trainer\.max_epochs"):
        tiny.with_values({"trainer.max_epoch": 3})
    with pytest.raises(ConfigError, match=r"unknown option trainr\.max_epochs"):
        Config.of({**yaml.safe_load(CONFIG), "trainr": {"max_epochs": 1}})


def test_keys_and_values_are_a_config_without_a_name(tiny):
    values = yaml.safe_load(CONFIG)
    config = Config.of(values)
    assert config == tiny.with_values({"experiment": None})
    assert config.experiment == "default"
    assert values == yaml.safe_load(CONFIG)


def test_a_shipped_config_has_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = Config.of("quickstart")
    assert config.experiment == "quickstart"
    assert Config.of(config) is config
    with pytest.raises(ConfigError, match="did you mean quickstart"):
        Config.of("quikstart")
    with pytest.raises(ConfigError, match="there is no config"):
        Config.of(tmp_path / "none.yaml")


def test_it_does_not_change_and_travels_between_processes(tiny):
    before = tiny.to_yaml()
    tiny.values["data"]["init_args"]["fold"] = 1
    tiny.arguments("fit")["fit"]["model"]["dropout"] = 0.9
    tiny.settings()["trainer"]["max_epochs"] = 7
    value = {"class_path": "GRU", "init_args": {"hidden_size": 3}}
    other = tiny.with_values({"model.backbone": value})
    value["init_args"]["hidden_size"] = 4
    assert other.values["model"]["backbone"]["init_args"]["hidden_size"] == 3
    assert tiny.to_yaml() == before
    assert pickle.loads(pickle.dumps(tiny)) == tiny != other
    with pytest.raises(AttributeError):
        tiny.baselines = ("ridge",)


def test_a_cross_validation_goes_on_whatever_its_fold_its_seed_and_its_place_are(tiny):
    settings = tiny.settings()
    others = {"data.fold": 2, "seed_everything": 3, "trainer.default_root_dir": "elsewhere"}
    assert tiny.with_values(others).settings() == settings
    expected = yaml.safe_load(tiny.to_yaml())
    expected["seed_everything"] = expected["data"]["init_args"]["fold"] = None
    expected["trainer"]["default_root_dir"] = None
    assert settings == expected
    assert tiny.settings(allow_seen=True) == {**expected, "allow_seen": True}
    assert tiny.with_values({"model.dropout": 0.3}).settings() != settings


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--threads=0", "threads must be positive, got 0"),
        ("--seed_everything=-1", "seed_everything: -1 is not in bounds"),
        ("--lr_find", "--lr_find belongs to fit: leave it out"),
    ],
)
def test_what_no_experiment_can_have_is_refused(path, option, said):
    with pytest.raises(ConfigError, match=said):
        Config.from_args(["--config", str(path), option])


def test_the_threads_and_the_seed_of_another_config_are_checked_too(tiny):
    with pytest.raises(ConfigError, match="threads must be positive"):
        tiny.with_values({"threads": 0})
    with pytest.raises(ConfigError, match="seed_everything: 4294967296 is not in bounds"):
        tiny.with_values({"seed_everything": 2**32})


def test_nothing_is_built_drawn_or_set(path, tiny, monkeypatch):
    monkeypatch.setattr(ForecastDataModule, "__init__", None)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    Config.from_args(["--config", str(path), "--threads=7"])
    tiny.with_values({"seed_everything": 3})
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_a_command_line_that_asks_for_its_config_is_answered(path, capsys):
    with pytest.raises(SystemExit) as ended:
        Config.from_args(["--config", str(path), "--print_config"])
    assert ended.value.code in (0, None)
    assert "hidden_size: 4" in capsys.readouterr().out


def test_the_data_of_a_fold_are_built_alone(tiny):
    assert tiny.data_module().fold == 5
    assert tiny.data_module(2).fold == 2
    assert tiny.data_module("all").fold == "all"
    with pytest.raises(ConfigError, match=r"data\.fold"):
        tiny.data_module("x")


def test_the_baselines_of_a_config_are_kept(path, tiny):
    assert tiny.baselines is None
    config = Config.from_args(["--config", str(path), "--baselines=[ridge]"])
    assert config.baselines == config.with_values({"data.fold": 1}).baselines == ("ridge",)
