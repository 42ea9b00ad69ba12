import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forecastlab.training.callbacks import RunLogger, run_logger


def logged(root, steps, resumed_step=None, version=0, **more):
    """A session that logs a loss of ten times the step, and whatever else."""
    logger = RunLogger(root, "run", version, resumed_step)
    for step in steps:
        logger.log_metrics({"epoch": step // 2, "loss": 10.0 * step, **more}, step)
        logger.flush()
    logger.finalize("success")
    return logger


def rows(root, version=0):
    with (root / "run" / f"version_{version}" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def curve(root, name="loss", version=0):
    """Steps and values that TensorBoard shows."""
    events = EventAccumulator(str(root / "run" / f"version_{version}"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_runs_are_numbered(tmp_path):
    folders = [logged(tmp_path, [0], version=None).log_dir for _ in range(2)]
    assert folders == [str(tmp_path / "run" / name) for name in ("version_0", "version_1")]


def test_metrics_of_a_step_are_one_row_and_points_of_their_curves(tmp_path):
    logger = RunLogger(tmp_path, "run", 0)
    logger.log_metrics({"epoch": 0, "val/loss": 0.5}, 7)
    logger.log_metrics({"train/loss": 0.25}, 7)
    logger.log_metrics({"epoch": 1, "val/loss": 0.1 + 0.2}, 9)
    logger.finalize("success")
    assert (tmp_path / "run" / "version_0" / "metrics.csv").read_text() == (
        "step,epoch,train/loss,val/loss\n7,0.0,0.25,0.5\n9,1.0,,0.30000000000000004\n"
    )
    assert curve(tmp_path, "val/loss") == [(7, 0.5), (9, pytest.approx(0.3))]
    assert curve(tmp_path, "train/loss") == [(7, 0.25)]


def test_metrics_that_come_later_get_a_column_of_their_own(tmp_path):
    logged(tmp_path, [0, 1])
    logged(tmp_path, [2], extra=5.0)
    assert rows(tmp_path) == [
        {"step": "0", "epoch": "0.0", "loss": "0.0", "extra": ""},
        {"step": "1", "epoch": "0.0", "loss": "10.0", "extra": ""},
        {"step": "2", "epoch": "1.0", "loss": "20.0", "extra": "5.0"},
    ]


def test_evaluating_a_run_appends_to_its_log(tmp_path):
    logged(tmp_path, [0, 1])
    logged(tmp_path, [2])
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "2"]
    assert curve(tmp_path) == [(0, 0), (1, 10), (2, 20)]


@given(
    sessions=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    every=st.integers(1, 5),
)
@settings(max_examples=15)
def test_resumed_curves_go_on_without_gaps_or_doubled_steps(tmp_path_factory, sessions, every):
    root = tmp_path_factory.mktemp("runs")
    start = 0
    for number, length in enumerate(sessions):
        logged(root, range(start, start + length), resumed_step=start if number else None)
        done = start + length
        start = done - done % every  # the newest checkpoint is some steps old
    logged(root, range(start, start + 3), resumed_step=start)
    expected = range(start + 3)
    assert [int(row["step"]) for row in rows(root)] == list(expected)
    assert [float(row["loss"]) for row in rows(root)] == [10.0 * step for step in expected]
    assert curve(root) == [(step, 10.0 * step) for step in expected]


@pytest.mark.parametrize("cut", range(1, 12))
@pytest.mark.parametrize("resumed_step", [None, 2])
def test_a_line_that_a_killed_process_left_unfinished_is_dropped(tmp_path, cut, resumed_step):
    logged(tmp_path, [0, 1, 20])
    path = tmp_path / "run" / "version_0" / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-cut])  # the last line is 20,10.0,200.0
    logged(tmp_path, [2, 3], resumed_step)
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [
        ("0", "0.0"),
        ("1", "10.0"),
        ("2", "20.0"),
        ("3", "30.0"),
    ]


def test_a_run_that_failed_before_it_logged_anything_leaves_no_metrics(tmp_path):
    logger = RunLogger(tmp_path, "run", 0)
    logger.finalize("failed")
    assert not (tmp_path / "run" / "version_0" / "metrics.csv").exists()


def test_hyper_parameters_are_shown_beside_the_metrics(tmp_path):
    logger = RunLogger(tmp_path, "run", 0)
    logger.log_hyperparams({"model.lr": 0.01, "model.backbone": "LSTM"}, {"test/mae": 0.0})
    logger.log_metrics({"test/mae": 1.5}, 3)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "run" / "version_0"))
    events.Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"model.backbone" in content
    assert b"LSTM" in content
    assert curve(tmp_path, "test/mae") == [(3, 1.5)]


def test_the_scores_of_an_evaluation_join_the_row_of_the_step_that_was_trained_last(tmp_path):
    logged(tmp_path, [0, 1])
    for score in (2.5, 1.5):
        logger = RunLogger(tmp_path, "run", 0, evaluated_step=1)
        logger.log_metrics({"epoch": 9, "test/mae": score, "val/loss": 99.0}, 7)
        logger.finalize("success")
    assert rows(tmp_path) == [
        {"step": "0", "epoch": "0.0", "loss": "0.0", "test/mae": ""},
        {"step": "1", "epoch": "0.0", "loss": "10.0", "test/mae": "1.5"},
    ]
    assert curve(tmp_path) == [(0, 0), (1, 10)]
    assert curve(tmp_path, "test/mae") == [(1, 2.5), (1, 1.5)]


def test_the_scores_of_a_checkpoint_without_a_log_get_a_row_of_their_own(tmp_path):
    logger = RunLogger(tmp_path, "run", 0, evaluated_step=5)
    logger.log_metrics({"test/mae": 1.5}, 0)
    logger.finalize("success")
    assert rows(tmp_path) == [{"step": "5", "epoch": "", "test/mae": "1.5"}]


def test_what_was_logged_is_written_after_some_seconds_without_being_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(run_logger, "FLUSH_INTERVAL", 0.0)
    logger = RunLogger(tmp_path, "run", 0)
    for step in range(3):
        logger.log_metrics({"loss": 10.0 * step}, step)
        logger.log_metrics({"other": 1.0}, step)
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1"]
    logger.finalize("success")
    assert [(row["step"], row["loss"], row["other"]) for row in rows(tmp_path)] == [
        (str(step), str(10.0 * step), "1.0") for step in range(3)
    ]
    assert curve(tmp_path) == [(step, 10.0 * step) for step in range(3)]
