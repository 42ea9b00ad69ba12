import numpy as np
import pandas as pd
import pytest

from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.evaluation import beside_baselines as module
from forecastlab.evaluation.beside_baselines import beside_baselines, shown


@pytest.fixture
def data(tmp_path) -> ForecastDataModule:
    """A series that rises by 1 each day, and by 7 each week: persistence is 1 off, the seasonal naive 7."""
    path = tmp_path / "rising.csv"
    rows = 120
    frame = pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=rows), "y": np.arange(rows, dtype=float)})
    frame.to_csv(path, index=False)
    return TableDataModule(path=str(path), lookback=7, horizon=1, season_length=7)


def test_the_baselines_stand_beside_the_network_with_the_units(data):
    lines = beside_baselines({"test/mae": 0.25, "test/mape": 3.5, "test/pinball": 0.1}, "GRU", data).splitlines()
    head, mae, mape, pinball = (line.split() for line in lines)
    assert head[:2] == ["GRU", "persistence"]
    assert head[2].startswith("seasonal")
    assert mae == ["test/mae", "0.2500", "1", "7", "unit", "of", "y"]
    assert mape[:2] == ["test/mape", "3.500"]
    assert mape[-1] == "%"
    assert pinball == ["test/pinball", "0.1000", "unit", "of", "y"]  # a baseline has no quantiles


def test_a_percentage_of_a_true_value_of_zero_is_explained(data):
    lines = beside_baselines({"test/mape": float("inf"), "test/wape": 3.0}, "GRU", data).splitlines()
    assert lines[1].split()[:2] == ["test/mape", "inf"]
    assert lines[-1].startswith("note        test/mape is infinite where a true value is 0")
    assert "infinite" not in beside_baselines({"test/mape": 3.0}, "GRU", data)


def test_without_a_season_there_is_no_seasonal_naive_forecast(data, monkeypatch):
    monkeypatch.setattr(data, "season_length", 1)
    assert "seasonal" not in beside_baselines({"test/mae": 0.25}, "GRU", data)


def test_a_test_of_a_part_of_the_rows_has_no_baselines(data):
    assert "persistence" not in beside_baselines({"test/mae": 0.25}, "GRU", data, whole=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.071234, "0.07123"), (1.3436, "1.344"), (1234.56, "1235"), (123456.7, "123457"), (0.77, "0.7700")),
        *((0.0, "0"), (30.0, "30"), (1.23456e20, "1.235e+20"), (1.234e-7, "1.234e-07"), (-0.5, "-0.5000")),
        *((float("nan"), "nan"), (float("inf"), "inf")),
    ],
)
def test_figures_have_four_digits_and_an_exponent_only_where_they_need_one(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("figure", "targets", "unit"),
    [
        ("test/mae", ["y"], "unit of y"),
        ("test/mae/b", ["a", "b"], "unit of b"),
        ("test/mase_median", ["y"], "seasonal naive error in training"),
        ("test/winkler", ["y"], "unit of y"),
    ],
)
def test_every_figure_has_its_unit(figure, targets, unit):
    assert module.unit(figure, targets) == unit
