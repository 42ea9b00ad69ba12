import contextlib
import io
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forecastlab.cli import main
from forecastlab.data.ozone_datamodule import OzoneDataModule
from tests.cli.commands import files, fit, folder

QUICK = ("--repeats=1", "--origins=2", "--steps=4")
NAMES = ["gates_layer_0", "gradients", "gradients_by_lag", "permutation", "states_layer_0"]


@pytest.fixture
def explain(cli, root, monkeypatch):
    """Runs `explain` in the folder that has `lightning_logs`."""
    monkeypatch.chdir(root)

    def run(*args):
        return cli("explain", *args, *QUICK)

    return run


@pytest.fixture(scope="module")
def explained(trained, tmp_path_factory):
    """The folder of a run that was explained, what it was before, and what the command said."""
    root = shutil.copytree(trained, tmp_path_factory.mktemp("explained") / "root")
    before = {path: path.read_bytes() for path in folder(root).rglob("*") if path.is_file()}
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(root)
        patch.setenv("PL_GLOBAL_SEED", "0")
        assert main(["explain", "--ckpt_path", "best", *QUICK]) == 0
    return folder(root), before, said.getvalue()


def test_figures_and_their_tables_lie_in_the_run_folder(explained):
    run, before, said = explained
    written = sorted(path.name for path in (run / "explain").iterdir())
    assert written == sorted([*(f"{name}.{ending}" for name in NAMES for ending in ("csv", "png")), "summary.txt"])
    for name in NAMES:
        with Image.open(run / "explain" / f"{name}.png") as image:
            assert image.width == 966
    assert (run / "explain" / "summary.txt").read_text().strip() in said
    assert said.endswith("figures    lightning_logs/tiny/version_0/explain\n")
    assert all(path.read_bytes() == content for path, content in before.items())


def test_the_summary_says_what_the_network_has_and_looks_at(explained):
    _, _, said = explained
    assert "test rows of fold 5: 250 forecasts of T_PK, series ozone" in said
    assert "do not choose features or sizes by it" in said
    assert "LSTM has no attention" in said
    assert "backbone, layer 0: each of the 4 units exceeds 0.01 at some step" in said
    assert "WSR" in said
    assert "completeness gap at most" in said


def test_the_forecasts_are_those_of_test(cli, explained):
    run, _, _ = explained
    assert cli("test", "--ckpt_path", run / "checkpoints" / "best.ckpt").status == 0
    expected = pd.read_csv(run / "predictions.csv")
    found = pd.read_csv(run / "explain" / "gates_layer_0.csv")
    np.testing.assert_allclose(found["forecast"], expected["forecast"], rtol=1e-6)
    assert list(found["ds"]) == list(expected["ds"])
    assert list(found["cutoff"]) == list(expected["cutoff"])
    assert found.filter(like="forget_gate").shape == (250, 4)


def test_tensorboard_shows_the_figures(explained):
    run, _, _ = explained
    events = EventAccumulator(str(run))
    events.Reload()
    assert {f"explain/{name}" for name in NAMES} <= set(events.Tags()["images"])
    (image,) = events.Images("explain/permutation")
    step = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] - 1
    assert (image.width, image.step) == (966, step)


def test_the_command_line_wins_and_a_later_explanation_replaces_an_earlier_one(explain, root):
    (folder(root) / "explain").mkdir()
    (folder(root) / "explain" / "gates_branches_0_layer_0.png").write_text("of another network")
    assert explain("--ckpt_path=best", "--data.fold=2", "--stage", "validation").status == 0
    gates = pd.read_csv(folder(root) / "explain" / "gates_layer_0.csv", parse_dates=["ds"])
    module = OzoneDataModule(source="sample", lookback=4, fold=2)
    assert list(gates["ds"]) == list(module.table.times[module.ranges.validation.start : module.ranges.validation.stop])
    assert len(list((folder(root) / "explain").iterdir())) == 11


def test_a_checkpoint_that_lies_elsewhere_gets_a_run_of_its_own(cli, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder(trained) / "checkpoints" / "best.ckpt", tmp_path / "model.ckpt")
    given = ["--ckpt_path=model.ckpt", f"--trainer.default_root_dir={tmp_path}", *QUICK]
    assert cli("explain", *given).status == 0
    assert "lightning_logs/model/version_0/explain/permutation.png" in files(tmp_path)


def test_without_a_board_figures_are_written_all_the_same(explain, root):
    assert not (folder(root) / "explain").exists()
    answer = explain("--ckpt_path=best", "--trainer.logger=false", f"--trainer.default_root_dir={root}")
    assert answer.status == 0
    assert (folder(root) / "explain" / "permutation.png").exists()


# What cannot be explained


def test_untrained_weights_are_not_explained(cli, config, tmp_path):
    answer = cli("explain", "--config", config, f"--trainer.default_root_dir={tmp_path}")
    assert (answer.status, answer.out) == (2, "")
    assert "explain needs trained weights: --ckpt_path best" in answer.err
    assert files(tmp_path) == []


def test_weights_of_no_step_are_not_explained(cli, root):
    path = folder(root) / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {"global_step": 0}, path)
    answer = cli("explain", "--ckpt_path", path)
    assert (answer.status, answer.out) == (2, "")
    assert "are not trained" in answer.err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--repeat=3", "unknown option --repeat"),
        ("--stage=train", "invalid choice: 'train'"),
        ("--target=ozone", "there is no target 'ozone'; there are T_PK"),
        ("--series=oslo", "there is no series 'oslo'; there are ozone"),
        ("--threshold=-1", "threshold must be 0 or more"),
        ("--model.backbone.hidden_size=5", "do not fit this network"),
        ("--data.horizon=2", "the network was built for horizon=1, but the data have 2"),
    ],
)
def test_options_that_cannot_be_used_end_in_a_short_error(explain, option, message):
    answer = explain("--ckpt_path=best", option)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_help_answers_without_a_checkpoint(cli):
    answer = cli("explain", "--help")
    assert answer.status == 0
    assert "--stage" in answer.out
    assert "all options of test" in " ".join(answer.out.split())


@pytest.mark.slow
def test_a_whole_sequence_with_attention_is_explained(cli, config, tmp_path):
    given = ["--data.lookback=full", "--model.backbone=ALSTM", "--model.backbone.hidden_size=4", "--data.rows=400"]
    assert cli(*fit(config, tmp_path, *given, epochs=2)).status == 0
    answer = cli("explain", "--ckpt_path=best", f"--trainer.default_root_dir={tmp_path}", *QUICK)
    assert answer.status == 0
    assert "ALSTM has no gates" in answer.out
    table = pd.read_csv(folder(tmp_path) / "explain" / "attention_layer_0.csv")
    np.testing.assert_allclose(table.iloc[:, 2:].sum(axis=1), 1, rtol=1e-3)
