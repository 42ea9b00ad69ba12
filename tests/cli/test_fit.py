import csv
import re

import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tests.cli.commands import CONFIG, EPOCHS, files, fit, folder

CURVES = ["train/gradient_norm", "train/learning_rate", "train/loss", "val/loss"]
STEPS_OF_AN_EPOCH = 5  # 1250 - 4 targets, of which four fifths fit, in batches of 200


def rows(run):
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def curve(run, name):
    return [float(row[name]) for row in rows(run) if row.get(name)]


def board(run):
    """What TensorBoard has of a run."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def saved(run, name="best"):
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def config_of(run):
    return yaml.safe_load((run / "config.yaml").read_text())


# What a run leaves behind


def test_a_run_leaves_its_config_checkpoints_events_and_metrics_and_nothing_else(trained):
    assert files(trained) == [
        f"lightning_logs/tiny/version_0/{name}"
        for name in (
            *("checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml", "events.out", "metrics.csv"),
            "validation.png",
        )
    ]


def test_metrics_hold_one_row_per_epoch(trained):
    found = rows(folder(trained))
    assert list(found[0]) == ["step", "epoch", *CURVES]
    assert [int(row["step"]) + 1 for row in found] == [STEPS_OF_AN_EPOCH * epoch for epoch in range(1, EPOCHS + 1)]
    assert [float(row["epoch"]) for row in found] == list(range(EPOCHS))
    assert all(value for row in found for value in row.values())
    assert {float(row["train/learning_rate"]) for row in found} == {0.02}
    assert min(float(row["train/gradient_norm"]) for row in found) > 0


def test_tensorboard_shows_what_metrics_hold(trained):
    run = folder(trained)
    events = board(run)
    assert set(events.Tags()["scalars"]) == {*CURVES, "val/best_loss"}
    for name in CURVES:
        assert [event.step for event in events.Scalars(name)] == [int(row["step"]) for row in rows(run)]
        assert [event.value for event in events.Scalars(name)] == pytest.approx(curve(run, name))


def test_tensorboard_shows_the_forecast_of_the_validation_range(trained, tmp_path):
    events = board(folder(trained))
    assert events.Tags()["images"] == ["forecast/validation"]
    (event,) = events.Images("forecast/validation")
    (tmp_path / "figure.png").write_bytes(event.encoded_image_string)
    with Image.open(tmp_path / "figure.png") as image, Image.open(folder(trained) / "validation.png") as kept:
        assert image.size == kept.size == (966, 598)
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10  # something is drawn on it


def test_tensorboard_shows_settings_beside_test_metrics(root, cli):
    assert cli("test", "--ckpt_path", "best", "--trainer.default_root_dir", root).status == 0
    events = board(folder(root))
    summary = events.summary_metadata
    read = HParamsPluginData.FromString
    session = read(summary["_hparams_/session_start_info"].plugin_data.content).session_start_info
    settings = {name: value.string_value or value.number_value for name, value in session.hparams.items()}
    assert settings["data"] == "OzoneDataModule"
    assert settings["model.backbone"] == "LSTM"
    assert settings["model.backbone.hidden_size"] == 4
    assert settings["model.optimizer.lr"] == 0.02
    assert settings["data.fold"] == 5
    experiment = read(summary["_hparams_/experiment"].plugin_data.content).experiment
    shown = {info.name.tag for info in experiment.metric_infos}
    assert shown == {"val/best_loss", *(f"test/{name}" for name in ("mse_scaled", "mae", "rmse", "mase", "skill"))}
    assert shown <= set(events.Tags()["scalars"])
    assert events.Scalars("val/best_loss")[-1].value == pytest.approx(min(curve(folder(root), "val/loss")))


def test_the_settings_in_tensorboard_leave_out_what_is_empty(trained):
    summary = board(folder(trained)).summary_metadata
    content = summary["_hparams_/session_start_info"].plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert config_of(folder(trained))["data"]["init_args"]["cutoffs"] == []
    assert "data.cutoffs" not in settings
    assert not {"[]", "None", ""} & {
        value.string_value for value in settings.values() if value.HasField("string_value")
    }


def test_tensorboard_has_both_losses_in_one_chart_and_the_test_figures_last(trained):
    (event,) = board(folder(trained)).Tensors("custom_scalars__config__")
    categories = Layout.FromString(event.tensor_proto.string_val[0]).category
    assert [category.title for category in categories] == ["losses", "training", "test"]
    charts = [[list(chart.multiline.tag) for chart in category.chart] for category in categories]
    (losses,) = charts[0]
    shown = [name for name in CURVES for expression in losses if re.match(expression, name)]
    assert shown == ["train/loss", "val/loss"]
    assert [expression for (expression,) in charts[2]] == [
        f"test/{name}$" for name in ("mse_scaled", "mae", "rmse", "mase", "skill")
    ]


def test_tensorboard_tells_the_command_and_the_data_of_a_run(trained):
    events = board(folder(trained))
    (command,), (data,) = (events.Tensors(f"run/{name}/text_summary") for name in ("command", "data"))
    text = command.tensor_proto.string_val[0].decode()
    assert re.fullmatch(
        r"```\nforecastlab fit --config \S+ --trainer.default_root_dir=\S+ --trainer.max_epochs=4.*\n```", text
    )
    said = data.tensor_proto.string_val[0].decode()
    assert "rows        1500 (2001-01-01 .. 2005-02-21, frequency D)\n" in said
    assert "fold        5 of 5, targets\n              fit: 2001-01-05 .. " in said
    assert said.count("test: ") == 1


def test_the_saved_config_holds_every_setting_and_trains_the_same_again(trained, tmp_path, cli):
    run = folder(trained)
    config = config_of(run)
    assert config["experiment"] == "tiny"
    assert config["seed_everything"] == 0
    assert config["model"]["backbone"]["init_args"]["num_layers"] == 1  # a default
    assert config["trainer"]["max_epochs"] == EPOCHS
    assert not {"ckpt_path", "config", "weights_only"} & set(config)
    again = cli("fit", "--config", run / "config.yaml", "--trainer.default_root_dir", tmp_path)
    assert again.status == 0
    assert (folder(tmp_path) / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()


def test_checkpoints_carry_the_config(trained):
    run = folder(trained)
    for name in ("best", "last"):
        assert saved(run, name)["config"] == (run / "config.yaml").read_text()


def test_the_best_checkpoint_is_of_the_epoch_with_the_lowest_validation_loss(trained):
    run = folder(trained)
    losses = curve(run, "val/loss")
    best = saved(run)
    assert best["epoch"] == losses.index(min(losses))
    assert best["global_step"] == STEPS_OF_AN_EPOCH * (best["epoch"] + 1)
    assert "optimizer_states" not in best
    assert saved(run, "last")["global_step"] == STEPS_OF_AN_EPOCH * EPOCHS


def test_a_run_says_what_came_out_and_how_to_go_on(tmp_path, config, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli(*fit(config, tmp_path, epochs=1))
    loss = curve(folder(tmp_path), "val/loss")[0]
    assert answer.out.splitlines() == [
        f"best val/loss {loss:.4f} in epoch 0; ended after 1 epoch: as many as trainer.max_epochs allows",
        "run        lightning_logs/tiny/version_0",
        "test it    forecastlab test --ckpt_path lightning_logs/tiny/version_0/checkpoints/best.ckpt",
        "curves     tensorboard --logdir lightning_logs",
        "figure     lightning_logs/tiny/version_0/validation.png",
    ]
    advised = answer.out.splitlines()[2].removeprefix("test it    forecastlab ").split()
    assert cli(*advised).status == 0


def test_one_seed_trains_the_same_twice_and_another_one_differs(trained, tmp_path, config, cli):
    for seed in (0, 1):
        assert cli(*fit(config, tmp_path, f"--seed_everything={seed}")).status == 0
    same, other = (curve(folder(tmp_path, version=version), "train/loss") for version in (0, 1))
    assert same == curve(folder(trained), "train/loss")
    assert other != same


# Names


def test_runs_of_an_experiment_are_numbered(tmp_path, config, cli):
    for _ in range(2):
        cli(*fit(config, tmp_path, epochs=1))
    (tmp_path / "lightning_logs" / "tiny" / "version_10").mkdir()
    cli(*fit(config, tmp_path, epochs=1))
    found = sorted(path.name for path in (tmp_path / "lightning_logs" / "tiny").iterdir())
    assert found == ["version_0", "version_1", "version_10", "version_11"]


@pytest.mark.parametrize(
    ("key", "option", "name"),
    [(None, None, "tiny"), ("from-key", None, "from-key"), (None, "given", "given"), ("from-key", "given", "given")],
)
def test_an_experiment_is_called_as_given_else_as_its_config_says_else_as_its_file(
    tmp_path, config, cli, key, option, name
):
    own = tmp_path / "tiny.yaml"
    own.write_text(f"experiment: {key}\n{CONFIG}" if key else CONFIG)
    more = ["--experiment", option] if option else []
    assert cli(*fit(own, tmp_path, *more, epochs=1)).status == 0
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == [name]
    assert config_of(folder(tmp_path, name))["experiment"] == name


def test_of_several_configs_the_first_names_the_experiment_and_the_last_wins(tmp_path, config, cli):
    more = tmp_path / "more.yaml"
    more.write_text("model: {backbone: {init_args: {hidden_size: 6}}}\nseed_everything: 3\n")
    answer = cli(*fit(config, tmp_path, "--config", more, "--seed_everything=5", epochs=1))
    assert answer.status == 0
    found = config_of(folder(tmp_path))
    assert found["model"]["backbone"]["init_args"]["hidden_size"] == 6
    assert found["model"]["anchor"] == "last"  # of the first
    assert found["seed_everything"] == 5  # the command line wins over both


def test_without_a_config_the_experiment_is_called_default(tmp_path, cli):
    data = ["--data=OzoneDataModule", "--data.source=sample", "--data.lookback=3", "--data.batch_size=300"]
    answer = cli("fit", *data, "--trainer.max_epochs=1", f"--trainer.default_root_dir={tmp_path}")
    assert answer.status == 0
    assert folder(tmp_path, "default").is_dir()


# Settings


def test_printed_config_trains(tmp_path, config, cli):
    printed = cli(*fit(config, tmp_path, "--model.backbone.hidden_size=3", epochs=1), "--print_config")
    assert (printed.status, printed.err) == (0, "")
    assert files(tmp_path) == []
    own = tmp_path / "printed.yaml"
    own.write_text(printed.out)
    assert cli("fit", "--config", own).status == 0
    assert config_of(folder(tmp_path))["model"]["backbone"]["init_args"]["hidden_size"] == 3


def test_early_stopping_stops_when_the_validation_loss_gets_no_better(tmp_path, config, cli):
    rate = "--model.optimizer.lr=0.3"
    answer = cli(*fit(config, tmp_path, rate, "--early_stopping.patience=2", epochs=200))
    assert answer.status == 0
    losses = curve(folder(tmp_path), "val/loss")
    assert len(losses) < 200
    assert losses.index(min(losses)) == len(losses) - 3


def test_gradients_are_clipped(trained, tmp_path, config, cli):
    assert cli(*fit(config, tmp_path, "--trainer.gradient_clip_val=1e-9", "--model.optimizer=SGD")).status == 0
    losses = curve(folder(tmp_path), "val/loss")
    assert max(losses) - min(losses) < 1e-6 < abs(losses[0] - curve(folder(trained), "val/loss")[-1])
    assert min(curve(folder(tmp_path), "train/gradient_norm")) > 1e-3  # that of the gradients as they were


@pytest.mark.parametrize("name", ["AdamW", "SGD", "RMSprop", "NAdam"])
def test_any_optimizer_of_torch_is_known_by_its_name(tmp_path, config, cli, name):
    assert cli(*fit(config, tmp_path, f"--model.optimizer={name}", "--model.optimizer.lr=0.003", epochs=1)).status == 0
    optimizer = config_of(folder(tmp_path))["model"]["optimizer"]
    assert optimizer["class_path"] == f"torch.optim.{name}"
    assert optimizer["init_args"]["lr"] == 0.003
    assert curve(folder(tmp_path), "train/learning_rate") == pytest.approx([0.003])


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [
        (["StepLR", "step_size=2", "gamma=0.1"], [0.02, 0.02, 0.002, 0.002]),
        (["ExponentialLR", "gamma=0.5"], [0.02, 0.01, 0.005, 0.0025]),
        (["CosineAnnealingLR", "T_max=2"], [0.02, 0.01, 0.0, 0.01]),
        (["OneCycleLR", "max_lr=0.02", "total_steps=5", "pct_start=0.4"], [0.0008, 0.02, 0.01500002, 0.00500006]),
        (
            ["ReduceLROnPlateau", "monitor=val/loss", "patience=0", "threshold=2", "factor=0.5"],
            [0.02, 0.01, 0.005, 0.0025],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else "",
)
def test_any_schedule_of_torch_is_known_by_its_name(tmp_path, config, cli, scheduler, rates):
    name, *settings = scheduler
    given = [f"--model.lr_scheduler={name}", *(f"--model.lr_scheduler.{setting}" for setting in settings)]
    answer = cli(*fit(config, tmp_path, *given))
    assert answer.status == 0, answer.err
    assert curve(folder(tmp_path), "train/learning_rate") == pytest.approx(rates, abs=1e-9)


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (4, ""),
        (9, "T_max is 9: the learning rate has not fallen to its end by then; "),
        (3, "T_max is 3: the learning rate falls for 3 epochs and rises again; "),
    ],
)
def test_a_cosine_schedule_of_another_length_than_the_training_is_told(tmp_path, config, cli, length, told):
    given = ["--model.lr_scheduler=CosineAnnealingLR", f"--model.lr_scheduler.T_max={length}"]
    for command in ("fit", "crossval"):
        answer = cli(command, *fit(config, tmp_path, *given, "--data.splits=1")[1:])  # nothing is trained
        assert answer.status == 2
        assert ("trainer.max_epochs is 4" in answer.err) == bool(told)
        assert told in answer.err


def test_a_schedule_that_ends_before_the_training_is_an_error(tmp_path, config, cli):
    schedule = ["=OneCycleLR", ".max_lr=0.02", ".total_steps=2"]
    options = [f"--model.lr_scheduler{option}" for option in schedule]
    answer = cli(*fit(config, tmp_path, *options))
    assert (answer.status, answer.out) == (2, "")
    assert "model.lr_scheduler, which is stepped once an epoch: Tried to step 3 times" in answer.err


def test_nested_backbones_are_given_by_name(tmp_path, config, cli):
    nested = tmp_path / "nested.yaml"
    nested.write_text(
        "model:\n  backbone:\n    class_path: Parallel\n    init_args:\n      branches:\n"
        "        - {class_path: GRU, init_args: {hidden_size: 3}}\n"
        "        - class_path: Series\n          init_args:\n            branches:\n"
        "              - {class_path: LSTM, init_args: {hidden_size: 2}}\n"
        "              - {class_path: ALSTM, init_args: {hidden_size: 4, num_heads: 2}}\n"
    )
    answer = cli(*fit(config, tmp_path, "--config", nested, epochs=1))
    assert answer.status == 0, answer.err
    weights = saved(folder(tmp_path))["state_dict"]
    assert weights["backbone.branches.0.rnn.weight_hh_l0"].shape == (3 * 3, 3)
    assert weights["backbone.branches.1.branches.0.rnn.weight_hh_l0"].shape == (4 * 2, 2)
    assert weights["decoder.linear.weight"].shape == (1, 3 + 4)
    assert cli("test", "--ckpt_path", "best", "--trainer.default_root_dir", tmp_path).status == 0


def test_a_backbone_is_swapped_on_the_command_line(tmp_path, config, cli):
    given = ["--model.backbone=ALSTM", "--model.backbone.num_heads=2", "--data.lookback=full", "--data.fold=1"]
    assert cli(*fit(config, tmp_path, *given, epochs=1)).status == 0
    backbone = config_of(folder(tmp_path))["model"]["backbone"]
    assert backbone["class_path"] == "forecastlab.backbones.alstm.ALSTM"
    assert backbone["init_args"]["hidden_size"] == 4  # the name is the same
    assert backbone["init_args"]["num_heads"] == 2


def test_arguments_that_a_swap_drops_are_named(tmp_path, config, cli):
    answer = cli(*fit(config, tmp_path, "--model.backbone=Parallel", "--model.optimizer=SGD", epochs=1))
    assert answer.status == 0
    notes = [line for line in answer.err.splitlines() if line.startswith("forecastlab: ")]
    assert notes == ["forecastlab: model.backbone is Parallel now: hidden_size dropped"]


def test_where_runs_go_may_be_said_in_a_config(tmp_path, config, cli, monkeypatch):
    (tmp_path / "place.yaml").write_text(f"trainer: {{default_root_dir: {tmp_path / 'runs'}, max_epochs: 1}}\n")
    given = ["--config", config, "--config", tmp_path / "place.yaml"]
    assert cli("fit", *given).status == 0
    assert cli("fit", *given, "--ckpt_path=last", "--trainer.max_epochs=2").status == 0
    assert len(rows(folder(tmp_path / "runs"))) == 2
    assert cli("test", "--config", tmp_path / "place.yaml", "--ckpt_path=best", "--experiment=tiny").status == 0
    assert cli("fit", *given, f"--trainer.default_root_dir={tmp_path / 'other'}").status == 0
    assert folder(tmp_path / "other").is_dir()


@pytest.mark.parametrize(
    "more",
    [
        ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir={root}"],
        ["--trainer.logger=TensorBoardLogger", "--trainer.logger.save_dir={root}"],
        ["--trainer.callbacks=LearningRateMonitor"],
        ["--trainer.num_sanity_val_steps=2"],
        ["--trainer.accumulate_grad_batches=2"],
        ["--trainer.check_val_every_n_epoch=2"],
        ["--trainer.precision=bf16-mixed"],
        ["--early_stopping.monitor=train/loss"],
        ["--data.fold=all"],
    ],
    ids=" ".join,
)
def test_settings_of_lightning_work_as_usual(tmp_path, config, cli, more):
    answer = cli(*fit(config, tmp_path, *(option.format(root=tmp_path) for option in more), epochs=2))
    assert answer.status == 0, answer.err
    assert answer.out.startswith("best val/loss 0.")
    assert len(list(tmp_path.rglob("best.ckpt"))) == 1


def test_a_run_without_a_logger_has_a_folder_with_config_and_checkpoints(tmp_path, config, cli):
    for _ in range(2):
        answer = cli(*fit(config, tmp_path, "--trainer.logger=false", epochs=1))
        assert answer.status == 0
        assert "curves" not in answer.out
    names = ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml", "validation.png")
    assert files(tmp_path) == [f"lightning_logs/tiny/version_{number}/{name}" for number in (0, 1) for name in names]


def test_a_run_without_a_logger_and_without_checkpoints_leaves_nothing(tmp_path, config, cli):
    nothing = ["--trainer.logger=false", "--trainer.enable_checkpointing=false"]
    assert cli(*fit(config, tmp_path, *nothing, epochs=1)).status == 0
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["CSVLogger", "TensorBoardLogger"])
def test_other_loggers_write_where_they_were_told_beside_the_folder_of_the_run(tmp_path, config, cli, name):
    assert cli(*fit(config, tmp_path, epochs=1)).status == 0
    others = [f"--trainer.logger={name}", f"--trainer.logger.save_dir={tmp_path / 'others'}"]
    others.append("--model.backbone.hidden_size=3")
    assert cli(*fit(config, tmp_path, *others, epochs=1)).status == 0
    run, theirs = folder(tmp_path, version=1), files(tmp_path / "others")
    expected = "hparams.yaml" if name == "CSVLogger" else "events.out"
    assert any(file.endswith(expected) for file in theirs)
    assert not any(file.endswith(("ckpt", "config.yaml")) for file in theirs)
    assert len(rows(run)) == 1
    root = f"--trainer.default_root_dir={tmp_path}"
    assert "tiny/version_1" in cli("runs", root).out
    answer = cli("test", "--ckpt_path=best", root)
    assert answer.status == 0
    assert {path.name for path in run.iterdir()} >= {"predictions.csv", "config.yaml", "checkpoints", "metrics.csv"}
    assert not (folder(tmp_path) / "predictions.csv").exists()
    assert cli(*fit(config, tmp_path, *others, "--ckpt_path=last", epochs=2)).status == 0
    assert len(rows(run)) == 2, "it goes on in place"
    assert not folder(tmp_path, version=2).exists()


def test_a_trial_of_one_batch_leaves_nothing(tmp_path, config, cli):
    answer = cli(*fit(config, tmp_path, "--trainer.fast_dev_run=true"))
    assert answer.status == 0
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "more", [["--trainer.max_epochs=0"], ["--trainer.limit_val_batches=0"], ["--trainer.max_steps=3"]]
)
def test_without_a_validated_epoch_there_is_no_best_one_and_it_says_so(tmp_path, config, cli, more):
    answer = cli(*fit(config, tmp_path, *more))
    assert (answer.status, answer.out) == (0, "no epoch was trained and validated: there is no best one\n")
    assert not list(tmp_path.rglob("best.ckpt"))


def test_an_infinite_loss_ends_the_run_with_advice_and_leaves_nothing(tmp_path, config, cli):
    answer = cli(*fit(config, tmp_path, "--model.optimizer=SGD", "--model.optimizer.lr=1e38", "--model.anchor=none"))
    assert (answer.status, answer.out) == (2, "")
    assert "loss is" in answer.err
    assert "in epoch 0" in answer.err
    assert "lower the learning rate" in answer.err
    assert files(tmp_path) == []
