"""`init`, and then `fit`, `test` and `predict` of the config as it was written, on files of many publishers."""

import itertools
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import polars
import pytest

from tests.conftest import existing
from tests.data.test_survey import FORMS, wave

pytestmark = pytest.mark.slow

AIRLINE = Path(__file__).resolve().parents[2] / "forecastlab" / "data" / "airline.csv"
PUBLISHED_FILES: dict[str, tuple[str, dict[str, str]]] = {
    "ozone": ("ozone/eighthr.data", {"target": "51", "na_values": "['?']"}),
    "electricity": ("electricity/opsd_germany_daily.csv", {"target": "Consumption"}),
    "etth1": ("ett/ETTh1.csv", {}),
    "monash hospital": ("benchmarks/monash/hospital_dataset.tsf", {}),
    "monash us_births": ("benchmarks/monash/us_births_dataset.tsf", {}),
    "monash saugeenday": ("benchmarks/monash/saugeenday_dataset.tsf", {}),
    "monash tourism_quarterly": ("benchmarks/monash/tourism_quarterly_dataset.tsf", {}),
    "monash m1_yearly": ("benchmarks/monash/m1_yearly_dataset.tsf", {}),
    "m4 hourly": ("benchmarks/m4/Hourly-train.csv", {}),
    "illness": ("benchmarks/ltsf/national_illness.csv", {}),
    "exchange without dates": ("benchmarks/ltsf/exchange_rate.zip", {"target": "7"}),
}
"""Files below FORECASTLAB_DATA, and what they leave open."""


def to_a_forecast(cli, file: Path, answers: Mapping[str, str]) -> None:
    """Runs all four commands in the working folder; what they score and forecast is finite."""
    options = [f"--{name}={value}" for name, value in answers.items()]
    seen = cli("init", file, "--output", "own.yaml", *options)
    assert (seen.status, seen.err) == (0, "")
    for command in (
        ["fit", "--config", "own.yaml", "--trainer.max_epochs=2"],
        ["test", "--ckpt_path=best"],
        ["predict", "--ckpt_path=best"],
    ):
        answer = cli(*command)
        assert answer.status == 0, answer.err
    run = Path("lightning_logs") / "own" / "version_0"
    forecast = pd.read_csv(run / "forecast.csv")
    assert len(forecast)
    assert np.isfinite(forecast["forecast"]).all()
    scores = pd.read_csv(run / "metrics.csv")
    figures = {name: scores[name].dropna().iloc[-1] for name in ("test/mae", "test/mase", "test/skill")}
    assert np.isfinite(list(figures.values())).all()
    print({name: round(float(value), 4) for name, value in figures.items()})


@pytest.mark.real
@pytest.mark.parametrize("name", PUBLISHED_FILES)
def test_a_published_file_leads_to_a_forecast(cli, tmp_path, monkeypatch, real_data, name):
    monkeypatch.chdir(tmp_path)
    path, answers = PUBLISHED_FILES[name]
    to_a_forecast(cli, existing(real_data / path), answers)


@pytest.mark.real
def test_exchange_rates_with_dates_lead_to_a_forecast(cli, tmp_path, monkeypatch, real_data):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(existing(real_data / "benchmarks" / "ltsf" / "exchange_rate.zip")) as archive:
        lines = archive.read("exchange_rate/exchange_rate.txt").decode().splitlines()
    days = pd.date_range("1990-01-01", periods=len(lines)).strftime("%Y/%m/%d")
    rows = (f"{day},{line}" for day, line in zip(days, lines, strict=True))
    Path("own.csv").write_text("\n".join(itertools.chain(["date,0,1,2,3,4,5,6,OT"], rows)))
    to_a_forecast(cli, Path("own.csv"), {})


def test_passengers_by_month_lead_to_a_forecast(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.read_csv(AIRLINE).set_axis(["Month", "#Passengers"], axis=1)
    frame.to_csv("own.csv", index=False)
    to_a_forecast(cli, Path("own.csv"), {})


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_file_as_its_publisher_makes_it_leads_to_a_forecast(cli, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    text, answers = form()
    Path("own.csv").write_text(text)
    to_a_forecast(cli, Path("own.csv"), {name: str(value) for name, value in answers.items()})


def test_a_polars_parquet_with_a_zone_leads_to_a_forecast(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    times = polars.datetime_range(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-20"), "1h", eager=True)
    frame = polars.DataFrame({"when": times.dt.replace_time_zone("Europe/Berlin"), "load": wave(len(times))})
    frame.write_parquet("own.parquet")
    to_a_forecast(cli, Path("own.parquet"), {})


def test_the_name_of_a_published_series_leads_to_a_forecast(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    to_a_forecast(cli, Path("airline"), {})
