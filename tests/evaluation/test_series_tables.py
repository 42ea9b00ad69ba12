import csv

import numpy as np
import pytest

from forecastlab.evaluation.compare import compare
from forecastlab.evaluation.series_tables import each_series_table
from tests.evaluation.folders import write_run
from tests.evaluation.panels import write_panel


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    folder, rows = write_panel(tmp_path_factory.mktemp("panel"))
    return compare([folder]).comparison, rows


def columns(table):
    return {column.header: list(column.values) for column in table.columns}


def test_each_series_has_the_mean_error_of_its_folds_and_the_largest_is_on_top(panel):
    comparison, rows = panel
    found = columns(each_series_table(comparison, "mse_scaled", ["net", "persistence"]))
    wanted = {}
    for name in {f"s{number}" for number in range(8)}:
        own = rows[rows["unique_id"] == name]
        wanted[name] = {
            model: np.mean([np.square(part["forecast"] - part["y"]).mean() / 4 for _, part in of_model.groupby("fold")])
            for model, of_model in own.groupby("model")
        }
    assert found["series"] == sorted(wanted, key=lambda name: -wanted[name]["net"])
    assert found["scored values"] == [2 * 10 * 3] * 8
    for model in ("net", "persistence"):
        assert found[model] == pytest.approx([wanted[name][model] for name in found["series"]])


def test_of_too_many_series_those_with_the_largest_errors_are_shown(panel):
    comparison, _ = panel
    whole = each_series_table(comparison, "mae", ["net"])
    table = each_series_table(comparison, "mae", ["net"], 3)
    assert columns(table)["series"] == columns(whole)["series"][:3]
    assert table.notes == ("These are the 3 of 8 series with the largest errors; series.csv has all.",)
    assert whole.notes == ()


def test_one_series_has_no_such_table(tmp_path):
    assert each_series_table(compare([write_run(tmp_path)]).comparison, "mae", ["lstm"]) is None


def test_a_comparison_writes_the_errors_of_all_series_and_leaves_none_of_an_earlier_one(panel, tmp_path, monkeypatch):
    monkeypatch.setattr("forecastlab.evaluation.page.png", lambda figure, colours: b"")
    comparison, _ = panel
    compare(list(comparison.runs)).write(tmp_path)
    with (tmp_path / "series.csv").open() as file:
        written = list(csv.DictReader(file))
    assert list(written[0]) == ["series", "scored_values", *comparison.ranking("mse_scaled")]
    assert {row["series"] for row in written} == {f"s{number}" for number in range(8)}
    compare([write_run(tmp_path / "runs")]).write(tmp_path)
    assert not (tmp_path / "series.csv").exists()
