"""`forecastlab init`: from a file to a forecast."""

import numpy as np
import pandas as pd
import pytest
import yaml

from forecastlab.cli import init


def written(folder, **columns):
    days = pd.date_range("2020-01-01", periods=200)
    waves = 10 + np.sin(2 * np.pi * np.arange(200) / 7) + np.random.default_rng(0).normal(0, 0.01, 200)
    path = folder / "sales.csv"
    pd.DataFrame({"day": days, "sold": waves, **columns}).to_csv(path, sep=";", decimal=",", index=False)
    return path


def test_a_file_is_described_and_its_config_trains_as_it_is(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli("init", written(tmp_path))
    assert (answer.status, answer.err) == (0, "")
    for said in (
        "times are read from column day",
        "season      7 rows",
        "(2020-01-01 .. 2020-07-18, frequency D)",
        "go on       forecastlab fit",
    ):
        assert said in answer.out
    config = yaml.safe_load((tmp_path / "sales.yaml").read_text())
    assert config["data"]["init_args"]["season_length"] == 7
    assert cli("fit", "--config", "sales.yaml", "--trainer.max_epochs=2").status == 0
    assert cli("test", "--ckpt_path=best").status == 0
    assert cli("predict", "--ckpt_path=best").status == 0
    forecast = pd.read_csv(tmp_path / "lightning_logs/sales/version_0/forecast.csv")
    assert np.isfinite(forecast[["forecast", "forecast-lo-90", "forecast-hi-90"]]).all(axis=None)
    assert forecast["ds"].iloc[0] == "2020-07-19"


def test_a_config_that_is_there_is_kept_unless_force_is_given(cli, tmp_path):
    path, config = written(tmp_path), tmp_path / "mine.yaml"
    config.write_text("mine")
    refused = cli("init", path, "--output", config)
    assert (refused.status, config.read_text()) == (2, "mine")
    assert "--force" in refused.err
    assert cli("init", path, "--output", config, "--force").status == 0
    assert "TableDataModule" in config.read_text()


def test_a_question_is_refused_with_its_option_where_nobody_can_be_asked(cli, tmp_path):
    answer = cli("init", written(tmp_path, paid=np.arange(200.0) ** 2), "--output", tmp_path / "x.yaml")
    assert answer.status == 2
    assert "several columns could be predicted: sold, paid. Answer with --target, such as sold" in answer.err
    assert not (tmp_path / "x.yaml").exists()


def test_a_question_is_asked_on_a_terminal(cli, tmp_path, monkeypatch):
    path = written(tmp_path, paid=np.arange(200.0) ** 2)
    monkeypatch.setattr(init.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda prompt: "paid")
    assert cli("init", path, "--output", tmp_path / "x.yaml").status == 0
    assert yaml.safe_load((tmp_path / "x.yaml").read_text())["data"]["init_args"]["targets"] == ["paid"]


@pytest.mark.parametrize("dataset", ["airline"])
def test_a_published_series_is_named(cli, tmp_path, dataset):
    assert cli("init", dataset, "--output", tmp_path / "x.yaml").status == 0
    assert yaml.safe_load((tmp_path / "x.yaml").read_text())["data"]["init_args"]["dataset"] == dataset


def test_a_file_that_is_not_there_is_an_error_of_one_line(cli, tmp_path):
    answer = cli("init", tmp_path / "none.csv")
    assert answer.status == 2
    assert answer.err.startswith(f"forecastlab: error: there is no file {tmp_path / 'none.csv'}")


def test_a_long_horizon_is_forecast_without_a_calendar(cli, tmp_path):
    days = pd.date_range("2020-01-01", periods=900)
    pd.DataFrame({"day": days, "y": 5 + np.sin(2 * np.pi * np.arange(900) / 7)}).to_csv(tmp_path / "y.csv", index=False)
    data = {}
    for horizon in (48, 49):
        config = tmp_path / f"{horizon}.yaml"
        assert cli("init", tmp_path / "y.csv", "--horizon", str(horizon), "--output", config).status == 0
        data[horizon] = yaml.safe_load(config.read_text())["data"]["init_args"]
    assert data[48]["calendar"] == ["day_of_week", "day_of_year"]
    assert "calendar" not in data[49]


def test_data_prints_the_facts_that_init_has_printed(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2020-01-01", periods=200)
    frame = pd.DataFrame({"day": days.strftime("%d/%m/%Y"), "y": 5 + np.sin(2 * np.pi * np.arange(200) / 7), "size": 3})
    frame.loc[[40, 41], "y"] = np.nan
    panel = pd.concat([frame.assign(store="a"), frame.iloc[20:].assign(store="b", size=4)])
    panel.to_csv("panel.csv", index=False)
    frame.drop(index=[70, 71]).iloc[::-1].to_csv("single.csv", index=False)
    for name, options in (("panel", ["--series_column", "store"]), ("single", [])):
        said = cli("init", f"{name}.csv", "--target=y", *options).out.splitlines()
        shown = cli("data", "--config", f"{name}.yaml").out.splitlines()
        assert sum(line.startswith("calendar ") for line in shown) == 1  # of the config, and not of the file
        shown = [line for line in shown if not line.startswith("calendar ")]
        facts = said[next(row for row, line in enumerate(said) if line.startswith("time ")) :]
        facts = facts[: next(row for row, line in enumerate(facts) if line.startswith("season "))]
        begin = shown.index(facts[0])
        assert shown[begin : begin + len(facts)] == facts
        assert len(facts) > 7
        assert shown[begin + len(facts)].startswith("season      7 rows; season_length: 7")
        sorted_rows = "read        every row is earlier than the row before: the 198 rows were sorted by time"
        assert (sorted_rows in said) == (sorted_rows in shown) == (name == "single")
