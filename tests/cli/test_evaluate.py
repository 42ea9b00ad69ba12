import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.training.forecaster import Forecaster
from tests.cli.commands import files, fit, folder

COLUMNS = ["unique_id", "target", "ds", "cutoff", "y", "forecast"]
METRICS = ("mse_scaled", "mae", "rmse", "mase", "skill", "rmsse", "mape", "smape", "wape")


@pytest.fixture
def evaluate(cli, root, monkeypatch):
    """Runs a command in the folder that has `lightning_logs`."""
    monkeypatch.chdir(root)

    def run(command, *args):
        return cli(command, *args)

    return run


def predictions(run, name="predictions.csv"):
    return pd.read_csv(run / name, parse_dates=["ds", "cutoff"])


def board(run):
    """The curves that TensorBoard shows."""
    events = EventAccumulator(str(run))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def scores(run):
    """The last test metrics in the run's log."""
    log = pd.read_csv(run / "metrics.csv").dropna(subset="test/mae")
    return {name: log[f"test/{name}"].iloc[-1] for name in METRICS}


@pytest.fixture(scope="module")
def data():
    """The data of the tiny experiment."""
    module = OzoneDataModule(source="sample", lookback=4, fold=5, batch_size=200)
    module.setup("test")
    return module


@pytest.fixture(scope="module")
def model(trained):
    return Forecaster.load_from_checkpoint(folder(trained) / "checkpoints" / "best.ckpt", weights_only=True).eval()


def by_hand(model, module, origins):
    """Forecasts from origins, one window at a time."""
    table = module.table.values
    last, features = (torch.tensor(table[name].to_numpy()) for name in ("T_PK", module.features))
    found = []
    with torch.no_grad():
        for row in origins:
            x = (features[row - 3 : row + 1] - model.scaling.feature_center) / model.scaling.feature_scale
            encoded, _ = model.backbone.rnn(x[None].float())
            change = model.decoder.linear(encoded[0, -1])
            found.append(float(last[row] + change * model.scaling.target_scale))
    return np.array(found)


# Forecasts


def test_test_scores_every_row_of_the_test_range(evaluate, root, data, model):
    assert evaluate("test", "--ckpt_path", "best").status == 0
    table = predictions(folder(root))
    assert list(table) == COLUMNS
    assert len(table) == 250
    assert set(table["unique_id"]) == {"ozone"}
    assert set(table["target"]) == {"T_PK"}
    assert list(table["ds"]) == list(data.table.times[1250:])
    assert list(table["cutoff"]) == list(data.table.times[1249:-1])
    np.testing.assert_allclose(table["y"], data.table.values["T_PK"].iloc[1250:], rtol=1e-6)
    np.testing.assert_allclose(table["forecast"], by_hand(model, data, range(1249, 1499)), rtol=1e-5)


def test_test_metrics_are_those_of_the_predictions(evaluate, root, data):
    answer = evaluate("test", "--ckpt_path", "best")
    table = predictions(folder(root))
    known = data.table.values["T_PK"].to_numpy()[:1250]
    error = table["forecast"] - table["y"]
    change = table["y"] - data.table.values["T_PK"].to_numpy()[1249:-1]
    expected = {
        "mse_scaled": (error**2).mean() / known.var(),
        "mae": error.abs().mean(),
        "rmse": (error**2).mean() ** 0.5,
        "mase": error.abs().mean() / np.abs(np.diff(known)).mean(),
        "skill": 1 - (error**2).mean() / (change**2).mean(),
        "rmsse": ((error**2).mean() / (np.diff(known) ** 2).mean()) ** 0.5,
        "mape": 100 * (error / table["y"]).abs().mean(),
        "smape": 200 * (error.abs() / (table["y"].abs() + table["forecast"].abs())).mean(),
        "wape": 100 * error.abs().sum() / table["y"].abs().sum(),
    }
    assert scores(folder(root)) == pytest.approx(expected, rel=1e-5)
    assert all(f"test/{name}" in answer.out for name in METRICS)
    assert "\npredictions lightning_logs/tiny/version_0/predictions.csv\n" in answer.out


def test_predict_forecasts_beyond_the_data(evaluate, root, data, model):
    answer = evaluate("predict", "--ckpt_path", "best")
    assert answer.status == 0
    table = predictions(folder(root), "forecast.csv")
    assert list(table) == COLUMNS
    assert list(table["cutoff"]) == [data.table.times[-1]]
    assert list(table["ds"]) == [data.table.times[-1] + pd.Timedelta(days=1)]
    assert table["y"].isna().all()
    np.testing.assert_allclose(table["forecast"], by_hand(model, data, [1499]), rtol=1e-5)
    where = "lightning_logs/tiny/version_0"
    assert answer.out.endswith(f"forecast    {where}/forecast.csv\nfigure      {where}/forecast.png\n")
    with Image.open(folder(root) / "forecast.png") as image:
        assert np.asarray(image).std() > 10, "the image is not empty"


def test_validate_gives_the_validation_loss_of_the_training(evaluate, root):
    answer = evaluate("validate", "--ckpt_path", "last")
    assert answer.status == 0
    shown = float(answer.out.partition("val/loss")[2].split()[0])
    trained = pd.read_csv(folder(root) / "metrics.csv")["val/loss"].iloc[-1]
    assert shown == pytest.approx(trained, rel=1e-5)  # six digits are shown


def test_longer_horizons_are_ordered_by_origin_and_step(cli, config, tmp_path):
    three = ["--data.horizon=3", "--data.rows=301", "--data.splits=2", "--data.fold=2"]
    assert cli(*fit(config, tmp_path, *three, epochs=1)).status == 0
    given = ["--ckpt_path", "best", f"--trainer.default_root_dir={tmp_path}"]
    assert cli("test", *given).status == 0
    table = predictions(folder(tmp_path))
    assert len(table) == 3 * (100 - 2)  # only origins all of whose targets lie in the range
    assert table["cutoff"].is_monotonic_increasing
    assert (table.groupby("cutoff")["ds"].diff().dropna() > pd.Timedelta(0)).all()
    assert cli("predict", *given).status == 0
    table = predictions(folder(tmp_path), "forecast.csv")
    assert table["cutoff"].nunique() == 1
    assert list(table["ds"]) == list(table["cutoff"] + pd.to_timedelta([1, 2, 3], unit="D"))
    assert table["y"].isna().all()


def test_a_forecast_leaves_the_scored_rows_of_the_test_and_forecasts_before_it(evaluate, root):
    assert evaluate("test", "--ckpt_path=best").status == 0
    scored = predictions(folder(root))
    assert evaluate("predict", "--ckpt_path=best").status == 0
    answer = evaluate("predict", "--ckpt_path=best", "--data.rows=1450")
    assert "before it   lightning_logs/tiny/version_0/forecast-1.csv\n" in answer.out
    pd.testing.assert_frame_equal(predictions(folder(root)), scored)
    first, second = (predictions(folder(root), name) for name in ("forecast-1.csv", "forecast.csv"))
    assert first["forecast"].item() != second["forecast"].item()
    assert {path.name for path in folder(root).glob("forecast*.png")} == {"forecast-1.png", "forecast.png"}


# Which checkpoint


@pytest.mark.parametrize("named", ["best", "last"])
def test_a_checkpoint_is_named_by_its_kind_or_its_path(evaluate, root, named):
    assert evaluate("test", "--ckpt_path", named).status == 0
    by_kind = predictions(folder(root))
    (folder(root) / "predictions.csv").unlink()
    path = folder(root) / "checkpoints" / f"{named}.ckpt"
    assert evaluate("test", f"--ckpt_path={path}").status == 0
    pd.testing.assert_frame_equal(predictions(folder(root)), by_kind)


def test_best_and_last_are_of_the_newest_run_of_the_experiment(cli, config, root):
    given = ["--ckpt_path=last", f"--trainer.default_root_dir={root}"]
    assert cli(*fit(config, root, epochs=1)).status == 0
    assert cli(*fit(config, root, "--experiment=other", epochs=1)).status == 0
    assert cli("predict", *given).status == 0
    assert cli("predict", *given, "--experiment=tiny").status == 0
    assert [(path.parent.parent.name, path.parent.name) for path in sorted(root.rglob("forecast.csv"))] == [
        ("other", "version_0"),
        ("tiny", "version_1"),
    ]


def test_a_path_is_enough_from_any_folder(cli, root, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    answer = cli("test", "--ckpt_path", folder(root) / "checkpoints" / "best.ckpt")
    assert answer.status == 0
    assert len(predictions(folder(root))) == 250
    assert files(elsewhere) == []


def test_a_checkpoint_alone_is_enough_wherever_it_lies(cli, trained, root, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(folder(trained) / "checkpoints" / "best.ckpt", elsewhere / "model.ckpt")
    monkeypatch.chdir(elsewhere)
    answer = cli("predict", "--ckpt_path", "model.ckpt", f"--trainer.default_root_dir={elsewhere}")
    assert answer.status == 0
    assert files(elsewhere) == [
        "lightning_logs/model/version_0/events.out",
        "lightning_logs/model/version_0/forecast.csv",
        "lightning_logs/model/version_0/forecast.png",
        "lightning_logs/model/version_0/predictions.csv",
        "model.ckpt",
    ]
    assert "experiment" in answer.err  # which is not believed of a checkpoint
    given = ["--ckpt_path", "best", f"--trainer.default_root_dir={root}"]
    assert cli("predict", *given).status == 0
    pd.testing.assert_frame_equal(predictions(folder(elsewhere, "model")), predictions(folder(root)))


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
@pytest.mark.parametrize("with_config", [False, True])
def test_untrained_weights_are_never_scored(cli, config, tmp_path, command, with_config):
    given = ["--config", config, f"--trainer.default_root_dir={tmp_path}"] if with_config else []
    answer = cli(command, *given)
    assert (answer.status, answer.out) == (2, "")
    assert f"{command} needs trained weights: --ckpt_path best" in answer.err
    assert files(tmp_path) == []


def test_a_checkpoint_may_be_named_in_a_config(cli, config, root):
    named = root / "named.yaml"
    named.write_text(f"ckpt_path: {folder(root) / 'checkpoints' / 'best.ckpt'}\n")
    given = ["--config", config, "--config", named, f"--trainer.default_root_dir={root}"]
    assert cli("test", *given).status == 0
    by_config = predictions(folder(root))
    assert cli("test", "--ckpt_path=best", f"--trainer.default_root_dir={root}").status == 0
    pd.testing.assert_frame_equal(predictions(folder(root)), by_config)


# What the command line says wins over what the checkpoint says


def test_another_fold_scores_other_rows(evaluate, root, data):
    assert evaluate("test", "--ckpt_path=best", "--data.fold=2", "--allow_seen").status == 0
    assert list(predictions(folder(root))["ds"]) == list(data.table.times[500:750])


def test_the_scaling_of_the_training_is_kept_for_other_rows(evaluate, root, model):
    assert evaluate("test", "--ckpt_path=best", "--data.fold=2", "--allow_seen").status == 0
    module = OzoneDataModule(source="sample", lookback=4, fold=2)
    expected = by_hand(model, module, range(499, 749))
    np.testing.assert_allclose(predictions(folder(root))["forecast"], expected, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_scores_do_not_depend_on_the_batch_size(evaluate, root, size):
    assert evaluate("test", "--ckpt_path=best").status == 0
    before, table = scores(folder(root)), predictions(folder(root))
    assert evaluate("test", "--ckpt_path=best", f"--data.batch_size={size}").status == 0
    assert scores(folder(root)) == pytest.approx(before, rel=1e-5)
    pd.testing.assert_frame_equal(predictions(folder(root)), table, rtol=1e-5)


def test_a_config_wins_over_the_checkpoint_and_the_command_line_over_both(evaluate, root, data):
    own = root / "own.yaml"
    own.write_text("data: {init_args: {fold: 2}}\n")
    more = ["--experiment=tiny", "--allow_seen"]
    assert evaluate("test", "--ckpt_path=best", "--config", own, *more).status == 0
    assert predictions(folder(root))["ds"].iloc[0] == data.table.times[500]
    assert evaluate("test", "--ckpt_path=best", "--config", own, *more, "--data.fold=3").status == 0
    assert predictions(folder(root))["ds"].iloc[0] == data.table.times[750]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("--model.backbone.hidden_size=5", "backbone.rnn.weight_hh_l0: (16, 4) in the checkpoint, (20, 5) now"),
        ("--model.backbone=GRU", "backbone.rnn.weight_hh_l0: (16, 4) in the checkpoint, (12, 4) now"),
        ("--model.backbone.num_layers=2", "backbone.rnn.bias_hh_l1: none in the checkpoint, (16,) now"),
        ("--model.linear_skip=true", "skip.weight: none in the checkpoint, (1, 72) now"),
    ],
)
@pytest.mark.parametrize("command", ["test", "predict"])
def test_settings_that_do_not_fit_the_weights_are_refused(evaluate, command, override, named):
    answer = evaluate(command, "--ckpt_path=best", override)
    assert (answer.status, answer.out) == (2, "")
    assert "do not fit this network" in answer.err
    assert named in answer.err
    assert len(answer.err.splitlines()) <= 10


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("--data.horizon=2", "the network was built for horizon=1, but the data have 2"),
        ("--data.features=[T0, T1]", "the data's features differ from those the network was trained on: missing ['WS"),
        ("--data.calendar=[day_of_year]", "unknown ['day_of_year_sin', 'day_of_year_cos']"),
        ("--data.target=T_AV", "the data's targets differ"),
    ],
)
@pytest.mark.parametrize("command", ["test", "predict"])
def test_data_that_do_not_fit_the_network_are_refused(evaluate, command, override, named):
    answer = evaluate(command, "--ckpt_path=best", override)
    assert (answer.status, answer.out) == (2, "")
    assert named in answer.err
    assert len(answer.err.splitlines()) <= 10


# What an evaluation leaves behind


def test_evaluating_leaves_the_curves_of_the_training_as_they_were(evaluate, root):
    before, curves = pd.read_csv(folder(root) / "metrics.csv"), board(folder(root))
    for command in ("validate", "test", "predict"):
        assert evaluate(command, "--ckpt_path=best").status == 0
    after = pd.read_csv(folder(root) / "metrics.csv")
    pd.testing.assert_frame_equal(after[list(before)], before)
    assert set(after) - set(before) == {f"test/{name}" for name in METRICS}
    for name, points in curves.items():
        assert board(folder(root))[name] == points


def test_test_metrics_are_points_in_tensorboard_at_the_step_that_is_tested(evaluate, root):
    assert evaluate("test", "--ckpt_path=last").status == 0
    last = pd.read_csv(folder(root) / "metrics.csv").iloc[-1]
    for name in METRICS:
        assert board(folder(root))[f"test/{name}"] == [(last["step"], pytest.approx(last[f"test/{name}"]))]


def test_test_metrics_stand_beside_the_epoch_that_is_tested(evaluate, root):
    for named in ("best", "best", "last"):
        assert evaluate("test", "--ckpt_path", named).status == 0
    log = pd.read_csv(folder(root) / "metrics.csv")
    tested = set(log.index[log["test/mae"].notna()])
    assert tested == {log["val/loss"].idxmin(), log.index[-1]}


def test_a_test_gives_the_figures_of_its_parts_and_says_how_much_was_scored(evaluate, root):
    answer = evaluate("test", "--ckpt_path", "best", "--by", "month")
    assert answer.status == 0, answer.err
    (path,) = folder(root).glob("test_by_*.csv")
    table = predictions(folder(root))
    assert f"scored      {len(table)} values\n" in answer.out
    assert path.name == "test_by_month.csv"
    found = pd.read_csv(path).set_index("month")
    error = (table["forecast"] - table["y"]).abs().groupby(table["ds"].dt.month)
    pd.testing.assert_series_equal(found["mae"], error.mean(), check_names=False, check_index_type=False, rtol=1e-5)
    assert found["values"].tolist() == error.size().tolist()


def test_parts_that_there_are_not_are_refused(evaluate):
    answer = evaluate("test", "--ckpt_path", "best", "--by", "weather")
    assert answer.status == 2
    assert "'series', 'target', 'horizon', 'month'" in answer.err


def test_a_test_at_levels_that_did_not_train_names_the_remedy(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2020-01-01", periods=120)
    pd.DataFrame({"ds": days, "y": np.arange(120.0)}).to_csv("rising.csv", index=False)
    fit = ("fit", "--data=TableDataModule", "--data.path=rising.csv", "--data.lookback=4", "--trainer.max_epochs=1")
    assert cli(*fit, "--experiment=plain").status == 0
    told = "100% of the tested values of y lie beyond all levels that trained the network"
    assert told in cli("test", "--ckpt_path=best", "--experiment=plain").out
    assert cli(*fit, "--experiment=anchored", "--model.anchor=last", "--model.window_norm=last").status == 0
    assert told not in cli("test", "--ckpt_path=best", "--experiment=anchored").out


def test_a_test_prints_each_figure_once_with_its_unit_beside_persistence(evaluate):
    answer = evaluate("test", "--ckpt_path=best")
    lines = answer.out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line.startswith("test/")}
    assert set(rows) == {f"test/{name}" for name in METRICS}
    assert sum(line.startswith("test/") for line in lines) == len(METRICS)
    ours, persistence = map(float, rows["test/mse_scaled"][1:3])
    assert float(rows["test/skill"][1]) == pytest.approx(1 - ours / persistence, abs=1e-3)
    assert rows["test/mae"][-3:-1] == ["unit", "of"]
    assert "DataLoader" not in answer.out
    assert not {word for word in ("GPU available", "TPU available") if word in answer.err}


def test_a_validation_prints_its_loss(evaluate):
    answer = evaluate("validate", "--ckpt_path=best")
    assert [line.split()[0] for line in answer.out.splitlines() if "loss" in line] == ["val/loss"]
