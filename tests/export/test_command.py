"""The command `forecastlab export`."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from forecastlab.cli import main
from forecastlab.export import load_safetensors
from forecastlab.training.forecaster import Forecaster
from tests.export.networks import forecasts, inputs

CONFIG = """
data:
  class_path: OzoneDataModule
  init_args: {source: sample, lookback: 4, fold: 5, batch_size: 200}
model:
  backbone:
    class_path: LSTM
    init_args: {hidden_size: 4}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of one epoch."""
    root = tmp_path_factory.mktemp("run")
    (root / "tiny.yaml").write_text(CONFIG)
    place = f"--trainer.default_root_dir={root}"
    assert main(["fit", "--config", str(root / "tiny.yaml"), place, "--trainer.max_epochs=1"]) == 0
    return root / "lightning_logs" / "tiny" / "version_0"


def of_run(run, *more):
    return ["export", f"--trainer.default_root_dir={run.parents[2]}", *map(str, more)]


@pytest.mark.parametrize(("given", "name"), [([], "best"), (["--ckpt_path=last", "--experiment=tiny"], "last")])
def test_the_command_exports_the_network_of_a_checkpoint(run, capsys, given, name):
    assert main(of_run(run, *given)) == 0
    weights = run / "export" / f"{name}.safetensors"
    assert capsys.readouterr().out.split() == [str(weights), str(weights.with_suffix(".json"))]
    checkpoint = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    loaded = load_safetensors(weights)
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in checkpoint["state_dict"].items())
    about = json.loads(weights.with_suffix(".json").read_text())
    assert about["config"]["data"]["init_args"]["fold"] == 5


def test_the_command_writes_where_it_is_told(run, tmp_path):
    checkpoint = run / "checkpoints" / "best.ckpt"
    output = tmp_path / "new" / "mine.safetensors"
    assert main(["export", f"--ckpt_path={checkpoint}", "--format=safetensors", f"--output={output}"]) == 0
    assert sorted(path.name for path in output.parent.iterdir()) == ["mine.json", "mine.safetensors"]


def test_a_checkpoint_that_lies_elsewhere_is_exported_beside_itself(run, tmp_path):
    (tmp_path / "a.ckpt").write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    assert main(["export", f"--ckpt_path={tmp_path / 'a.ckpt'}"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "a.json", "a.safetensors"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"global_step": 0}, "are not trained"),
        ({"hyper_parameters": 3}, "odd.ckpt"),
        ({"config": "a: [1"}, "cannot be exported"),
        ({"state_dict": {"weight": torch.zeros(2)}}, "no network can be built from them"),
    ],
)
def test_the_command_refuses_a_checkpoint_that_is_no_trained_network(run, tmp_path, capsys, changes, message):
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save(checkpoint | changes, tmp_path / "odd.ckpt")
    assert main(["export", f"--ckpt_path={tmp_path / 'odd.ckpt'}"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["odd.ckpt"]


@pytest.mark.parametrize("more", [["--format=onxn"], ["--ckpt_path=none.ckpt"], ["--output=a.txt"], ["--experimnt=a"]])
def test_wrong_options_are_refused(run, capsys, more):
    assert main(of_run(run, *more)) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_help_says_how_to_load_it_back(capsys):
    assert main(["export", "--help"]) == 0
    assert "forecastlab.export.load_safetensors" in "".join(capsys.readouterr().out.split())


def test_onnx_and_torch_say_what_they_wrote_and_which_axes_are_dynamic(run, capsys):
    assert main(of_run(run, "--format=onnx")) == 0
    file, *said = capsys.readouterr().out.splitlines()
    assert file == str(run / "export" / "best.onnx")
    columns = len(Forecaster.load(run / "checkpoints" / "best.ckpt").schema.features)
    assert said[:3] == [
        f"inputs: history (batch, time, {columns})",
        "outputs: forecast (batch, 1, 1)",
        "dynamic axes: batch, time",
    ]
    assert said[3].startswith("largest difference from the network: ")
    assert main(of_run(run, "--format=torch", "--ckpt_path=last", "--experiment=tiny")) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [str(run / "export" / f"last.{end}") for end in ("pt2", "json")]


def test_a_network_of_whole_sequences_is_exported_step_by_step(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    place = f"--trainer.default_root_dir={tmp_path}"
    whole = ["--data.lookback=full", "--data.batch_size=1", "--trainer.max_epochs=1"]
    assert main(["fit", "--config", str(tmp_path / "tiny.yaml"), place, *whole]) == 0
    capsys.readouterr()
    assert main(["export", place, "--format=onnx", "--step"]) == 0
    file, read, given, *_ = capsys.readouterr().out.splitlines()
    assert file.endswith("/export/best.step.onnx")
    assert read.endswith("), state_0 (batch, 1, 4), state_1 (batch, 1, 4)")
    assert given.endswith("), next_state_0 (batch, 1, 4), next_state_1 (batch, 1, 4)")


def test_an_exported_checkpoint_forecasts_as_the_checkpoint_does(run, capsys):
    assert main(of_run(run, "--format=onnx")) == 0
    model = Forecaster.load(run / "checkpoints" / "best.ckpt")
    given = inputs(model, 3, 4)
    session = onnxruntime.InferenceSession(capsys.readouterr().out.splitlines()[0])
    (found,) = session.run(None, {"history": given["history"].numpy()})
    np.testing.assert_allclose(found, forecasts(model, given)["forecast"], rtol=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--step"], "--step is for onnx and torch: safetensors holds weights"),
        (["--step", "--format=onnx"], "forecasts from windows of 4 rows"),
        (["--format=onnx", "--output=a.pt2"], "ends in .onnx"),
    ],
)
def test_what_cannot_be_written_is_said(run, capsys, more, message):
    assert main(of_run(run, *more)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
