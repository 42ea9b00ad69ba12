"""Promise: a checkpoint, an export or a config of somebody else is data, never a program."""

import inspect
import json
import os
import subprocess
import sys

import jsonargparse
import pytest
import torch
import yaml

from forecastlab.errors import ConfigError, DataError, ForecastlabError
from forecastlab.experiment.believed import believed
from forecastlab.experiment.environment import prepare
from forecastlab.export import load_safetensors, save_safetensors
from forecastlab.network import factory
from forecastlab.runs.run import Run
from forecastlab.training.forecaster import Forecaster
from tests.reliability.processes import CONFIG, fit, folder, last_path, load
from tests.reliability.test_loading_runs_no_code import merged, nested

POPEN = "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler"
DANGEROUS = (
    POPEN,
    "torch.distributed.elastic.multiprocessing.SubprocessHandler",
    "torch.hub.load",
    "torch.load",
    "torch.utils.cpp_extension.load",
    "torch.utils.model_zoo.load_url",
    "torch.nn.Sequential",
    "torch.optim.swa_utils.AveragedModel",
    "torch.distributed.optim.ZeroRedundancyOptimizer",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.profilers.AdvancedProfiler",
    "lightning.fabric.utilities.cloud_io.get_filesystem",
    "forecastlab.__main__.X",
    "forecastlab.cli.main",
    "forecastlab.data.cache.locate",
    "forecastlab.training.forecaster.Forecaster",
    "forecastlab.training.callbacks.PredictionWriter",
    "subprocess.Popen",
    "os.system",
    "builtins.open",
    "pathlib.Path",
    "socket.socket",
    "pickle.Unpickler",
    "ctypes.CDLL",
    "fsspec.open",
    "urllib.request.urlopen",
    "multiprocessing.Process",
    "shutil.rmtree",
    "http.server.HTTPServer",
)
"""What would start a process, open a file or an address, unpickle, or load a library, if it were built."""


def evil(path=POPEN):
    return {"class_path": path, "init_args": {}}


def bases(roles):
    for role in roles:
        module, _, name = role.rpartition(".")
        yield getattr(sys.modules[module], name)


def parameters(cls):
    return [name for name in inspect.signature(cls).parameters if name not in ("args", "kwargs", "input_size")]


@pytest.fixture(scope="module", autouse=True)
def _prepared():
    prepare()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of one epoch."""
    from forecastlab.cli import main

    root = tmp_path_factory.mktemp("trained")
    (root / "tiny.yaml").write_text(CONFIG)
    assert main(fit(root / "tiny.yaml", root, epochs=1)) == 0
    return folder(root)


@pytest.mark.parametrize("base", list(bases(factory.ROLES)), ids=lambda base: base.__name__)
def test_no_dangerous_class_plays_a_role(base):
    before = set(sys.modules)
    for path in DANGEROUS:
        with pytest.raises(ValueError, match=r"there is no|not imported|not a subclass"):
            factory.find_class(path, base)
    assert set(sys.modules) == before


@pytest.mark.parametrize("base", list(bases(factory.ROLES)), ids=lambda base: base.__name__)
def test_no_argument_of_any_part_builds_a_dangerous_class(base):
    for path, cls in factory.known_classes(base).items():
        for name in parameters(cls):
            for value in (evil(), [evil()], {"a": [evil("subprocess.Popen")]}):
                with pytest.raises(ValueError, match=r"there is no|not a subclass"):
                    factory.build({"class_path": path, "init_args": {name: value}}, base, 3)


def test_a_class_of_another_role_is_not_built_below_a_backbone():
    for other in ("forecastlab.losses.MSE", "torch.nn.Linear", "torch.optim.Adam", "forecastlab.decoders.Linear"):
        described = {"class_path": "forecastlab.hybrids.stack.Stack", "init_args": {"branches": [evil(other)]}}
        with pytest.raises(ValueError, match="there is no Backbone"):
            factory.build(described, next(bases(factory.ROLES)), 3)


@pytest.mark.slow
@pytest.mark.parametrize("base", [*bases(factory.ROLES), *bases(factory.TRAINER_ROLES)], ids=lambda base: base.__name__)
def test_no_argument_of_any_class_that_a_config_may_name_builds_a_dangerous_one(base):
    classes = {cls: path for path, cls in factory.known_classes(base).items()}
    for cls, path in classes.items():
        for name in parameters(cls):
            for value in (evil(), [evil()], {"a": evil()}):
                parser = jsonargparse.ArgumentParser(exit_on_error=False)
                parser.add_argument("--part", type=base)
                with pytest.raises((jsonargparse.ArgumentError, ForecastlabError, TypeError)):
                    parser.instantiate(parser.parse_object({"part": {"class_path": path, "init_args": {name: value}}}))


def test_an_argument_without_a_type_builds_nothing_even_of_the_tables(cli, tmp_path):
    state = {"ddp_comm_state": {"class_path": "forecastlab.losses.MSE"}}
    strategy = {"class_path": "lightning.pytorch.strategies.DDPStrategy", "init_args": state}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(merged(yaml.safe_load(CONFIG), nested("trainer.strategy", strategy))))
    answer = cli("fit", "--config", path, f"--trainer.default_root_dir={tmp_path}")
    assert answer.status == 2
    assert "of no certain type" in answer.err


def test_a_config_of_the_users_own_may_name_classes_of_lightning(cli, tmp_path):
    path = tmp_path / "tiny.yaml"
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(tmp_path)}}
    path.write_text(yaml.safe_dump(merged(yaml.safe_load(CONFIG), nested("trainer.logger", logger))))
    assert cli(*fit(path, tmp_path, "--trainer.callbacks+=LearningRateMonitor", epochs=1)).status == 0
    assert list(tmp_path.glob("lightning_logs/version_*/metrics.csv"))


@pytest.mark.parametrize("path", DANGEROUS)
def test_an_export_builds_no_dangerous_class(tmp_path, trained, path):
    save_safetensors(Forecaster.load(trained / "checkpoints" / "best.ckpt"), tmp_path / "x.safetensors")
    about = json.loads((tmp_path / "x.json").read_text())
    about["model"]["backbone"] = evil(path)
    (tmp_path / "x.json").write_text(json.dumps(about))
    with pytest.raises(ForecastlabError, match=r"there is no|not imported|not a subclass"):
        load_safetensors(tmp_path / "x.safetensors")


def config_with(trained, **changes):
    config = yaml.safe_load((trained / "config.yaml").read_text())
    for key, value in changes.items():
        config = merged(config, nested(key.replace("__", "."), value))
    return yaml.safe_dump(config)


def test_only_the_model_the_data_and_plain_numbers_of_a_checkpoint_are_believed(trained):
    text = config_with(
        trained,
        experiment="../../x",
        trainer__logger=evil("lightning.pytorch.loggers.CSVLogger"),
        trainer__callbacks=[evil("lightning.pytorch.callbacks.ModelCheckpoint")],
        trainer__profiler="advanced",
        trainer__default_root_dir="/tmp/elsewhere",
        trainer__max_epochs=7,
        early_stopping__patience=3,
        threads=10**6,
    )
    config, left_out = believed(text, resumes=False, in_its_run=False)
    assert set(config) == {"model", "data", "seed_everything"}
    assert {"experiment", "threads", "trainer.logger", "trainer.callbacks"} <= set(left_out)
    assert {"trainer.profiler", "trainer.default_root_dir"} <= set(left_out)
    config, left_out = believed(text, resumes=True, in_its_run=True, given=["trainer.logger"])
    assert config["trainer"]["max_epochs"] == 7
    assert config["early_stopping"]["patience"] == 3
    assert not {"logger", "callbacks", "profiler", "default_root_dir"} & set(config["trainer"])
    assert "experiment" not in config
    assert sorted(left_out) == ["threads", "trainer.callbacks", "trainer.profiler"]


def test_an_honest_checkpoint_is_believed_without_a_note(trained):
    text = (trained / "config.yaml").read_text()
    whole = yaml.safe_load(text)
    config, left_out = believed(text, resumes=True, in_its_run=True)
    assert left_out == []
    for part in ("model", "data", "early_stopping", "checkpoints"):
        assert config[part].items() <= whole[part].items()
    assert config["trainer"]["max_epochs"] == 1
    assert believed(text, resumes=False, in_its_run=True)[1] == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("data__init_args__path", "http://127.0.0.1:9/x.csv", "names an address as data.init_args.path"),
        ("data__init_args__path", "s3://bucket/x.csv", "names an address"),
        ("data__init_args__path", "simplecache::http://127.0.0.1/x.csv", "names an address"),
        ("data__init_args__path", r"\\server\share\x.csv", "names an address"),
        ("model__weights_from", "https://127.0.0.1/x.ckpt", "names an address"),
        ("model__backbone", "elsewhere/backbone.yaml", "names a file as model.backbone"),
        ("model__backbone__init_args__activation", "x.yaml", "names a file"),
        ("model__lr_scheduler__init_args__monitor", "val/loss.yaml", "names a file"),
        ("model", "model.yaml", "has no settings below model"),
        ("data", "memory://x.yaml", "has no settings below data"),
        ("model__backbone__init_args__hidden_size", 10**9, "at most 10,000,000"),
        ("data__init_args__horizon", 10**12, "at most 10,000,000"),
    ],
)
def test_a_checkpoint_that_names_an_address_a_file_or_an_absurd_size_is_refused(trained, key, value, words):
    with pytest.raises(DataError, match=words):
        believed(config_with(trained, **{key: value}), resumes=False, in_its_run=True)


def test_what_text_means_to_a_class_of_an_allowed_package_is_its_own_affair(trained, monkeypatch):
    text = config_with(trained, model__backbone={"class_path": "mine.Cell", "init_args": {"table": "a/b.json"}})
    with pytest.raises(DataError, match=r"may not be built, mine.Cell.*--allow_import mine"):
        believed(text, resumes=False, in_its_run=True)
    monkeypatch.setattr(factory, "_ALLOWED", ["mine"])
    assert believed(text, resumes=False, in_its_run=True)[0]["model"]["backbone"]["init_args"] == {"table": "a/b.json"}


def test_a_number_of_processes_is_believed_only_as_far_as_this_machine_has_them(trained):
    config, left_out = believed(config_with(trained, data__init_args__num_workers=10**6), False, True)
    assert "num_workers" not in config["data"]["init_args"]
    assert left_out == ["data.num_workers"]
    config, left_out = believed(config_with(trained, trainer__devices=10**4), True, True)
    assert "devices" not in config["trainer"]
    assert left_out == ["trainer.devices"]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", "a\nb", "a\0b", "x" * 300])
def test_no_name_leads_out_of_the_folder_of_runs(tmp_path, name):
    with pytest.raises(ConfigError, match="expected a name for a folder"):
        Run.new(tmp_path / "lightning_logs", name)
    assert list(tmp_path.iterdir()) == []


def test_no_setting_is_read_from_an_address(cli, tmp_path):
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem().pipe("/evil.yaml", CONFIG.encode())
    answer = cli("fit", "--config", "memory://evil.yaml", f"--trainer.default_root_dir={tmp_path}")
    assert answer.status == 2
    answer = cli("fit", "--config=memory://evil.yaml", "--model=memory://evil.yaml", "--data=memory://evil.yaml")
    assert answer.status == 2


SPY = """
import os, sys
here, seen, watching = os.path.realpath(sys.argv[1]), [], False
NULL = ("/dev/null", "/dev/shm", "/dev/urandom")
def spy(event, args):
    if not watching:
        return
    if event == "open" and isinstance(args[0], (str, bytes)):
        path, mode, flags = os.fsdecode(args[0]), args[1] or "", args[2] or 0
        writes = any(letter in str(mode) for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        inside = os.path.realpath(path).startswith((here + os.sep, os.path.join(os.path.realpath(sys.argv[2]), "")))
        if writes and not inside and not path.startswith(NULL) and "__pycache__" not in path:
            seen.append((event, path))
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "pty.spawn",
                   "socket.connect", "socket.sendto", "urllib.Request", "ctypes.dlopen.evil", "shutil.rmtree"):
        seen.append((event, str(args)[:200]))
sys.addaudithook(spy)
from forecastlab.cli import main
from forecastlab.cli import dispatch
watching = True
import forecastlab
for command in sys.argv[3:]:
    status = main(command.split())
    print("status", status, command, file=sys.stderr)
for path in ("evil.ckpt", "worse.ckpt"):
    try:
        forecastlab.Forecaster.load(path)
    except Exception as error:
        print("refused", path, str(error)[:100], file=sys.stderr)
watching = False
print(seen)
sys.exit(1 if seen else 0)
"""


def test_audit_hooks_see_no_program_no_address_and_no_file_outside_the_run(tmp_path, trained):
    here, temporary = tmp_path / "here" / "deeper", tmp_path / "temporary"
    here.mkdir(parents=True)
    temporary.mkdir()
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "metrics.csv").write_text("mine")
    checkpoint = load(trained / "checkpoints" / "last.ckpt")
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(victim), "name": ""}}
    profiler = {
        "class_path": "lightning.pytorch.profilers.AdvancedProfiler",
        "init_args": {"dirpath": str(victim), "filename": "x"},
    }
    saver = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"dirpath": str(victim)}}
    trainer = {"logger": logger, "profiler": profiler, "callbacks": [saver], "default_root_dir": str(victim)}
    trainer |= {"strategy": {"class_path": "DDPStrategy", "init_args": {"ddp_comm_state": evil()}}, "devices": 2}
    config = {**yaml.safe_load(checkpoint["config"]), "experiment": "../../escaped"}
    config["trainer"] |= trainer
    torch.save({**checkpoint, "config": yaml.safe_dump(config)}, here / "evil.ckpt")
    settings = {**checkpoint["hyper_parameters"], "backbone": evil()}
    config["model"]["backbone"] = evil()
    worse = {**checkpoint, "config": yaml.safe_dump(config), "hyper_parameters": settings}
    torch.save(worse, here / "worse.ckpt")
    (here / "evil.yaml").write_text(yaml.safe_dump({**config, "experiment": "x", "trainer": {"max_epochs": 1}}))
    commands = [
        *(f"{command} --ckpt_path evil.ckpt" for command in ("test", "validate", "predict", "export")),
        "explain --ckpt_path evil.ckpt --repeats 1 --origins 1 --steps 2",
        *(f"{command} --ckpt_path worse.ckpt" for command in ("test", "export", "fit")),
        *(f"{command} --config evil.yaml" for command in ("fit", "crossval", "data")),
        "tune --config evil.yaml --space evil.yaml",
        "test --ckpt_path evil.ckpt --ckpt_path worse.ckpt",
    ]
    (tmp_path / "spy.py").write_text(SPY)
    run = subprocess.run(
        [sys.executable, tmp_path / "spy.py", here, temporary, *commands],
        cwd=here,
        env={**os.environ, "TMPDIR": str(temporary), "MPLCONFIGDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    said = run.stderr.splitlines()
    good = [line for line in said if line.startswith("status 0")]
    assert len(good) == 6, run.stderr  # evil.ckpt's trainer and names are left out; data reads its part of evil.yaml
    assert len([line for line in said if line.startswith("status 2")]) == len(commands) - 6, run.stderr
    assert "Traceback" not in run.stderr
    assert (victim / "metrics.csv").read_text() == "mine"
    assert sorted(path.name for path in victim.iterdir()) == ["metrics.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "spy.py", "temporary", "victim"]


def test_importing_the_module_of_the_command_line_runs_nothing():
    code = "import sys; sys.argv = ['x']; import forecastlab.__main__; print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "alive\n"


def test_a_file_in_the_working_folder_is_not_run_in_place_of_a_package(tmp_path):
    for name in ("torch", "yaml", "lightning", "jsonargparse"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\n")
    done = subprocess.run(
        [sys.executable, "-m", "forecastlab", "runs"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_package_that_was_allowed_is_found_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "package_of_mine").mkdir()
    (tmp_path / "package_of_mine" / "leaky.py").write_text(
        "from forecastlab.backbones.lstm import LSTM\nclass Leaky(LSTM):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    prepare(["package_of_mine"])
    found = factory.find_class("package_of_mine.leaky.Leaky", next(bases(factory.ROLES)))
    assert found.__name__ == "Leaky"


@pytest.mark.parametrize("package", ["jsonargparse", "my-package", "", "a..b", "*"])
def test_what_cannot_be_a_package_is_not_allowed(package):
    with pytest.raises(ConfigError, match="--allow_import"):
        prepare([package])


def test_a_resumed_run_goes_on_with_its_own_settings_and_says_what_must_be_given_again(cli, tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    once = (
        "--trainer.gradient_clip_val=0.5",
        "--trainer.callbacks+=LearningRateMonitor",
        "--trainer.max_time=00:01:00:00",
    )
    assert cli(*fit(tmp_path / "tiny.yaml", tmp_path, *once, epochs=1)).status == 0
    answer = cli("fit", "--ckpt_path", last_path(tmp_path), "--trainer.max_epochs=2")
    assert answer.status == 0, answer.err
    assert [line for line in answer.err.splitlines() if "left out" in line and "trainer.callbacks" in line]
    config = yaml.safe_load((folder(tmp_path) / "config.yaml").read_text())
    assert config["trainer"]["gradient_clip_val"] == 0.5
    assert config["trainer"]["max_time"] == "00:01:00:00"
    assert config["experiment"] == "tiny"
    assert load(last_path(tmp_path))["epoch"] == 2
