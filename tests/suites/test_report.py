"""The HTML page of a benchmark, in a browser."""

import pytest

from forecastlab.benchmarks.report import report
from forecastlab.benchmarks.suites import SUITES
from tests.evaluation.browser import look_at
from tests.suites.test_tables import results_of


def page(folder, suite, seeds="0 1 2"):
    path = folder / "report.html"
    results = results_of(suite).assign(seeds=seeds, training_time_s=1e5, cpu_s=1e5)
    path.write_text(report(SUITES[suite], results), encoding="utf-8")
    return path


@pytest.mark.parametrize("suite", SUITES)
def test_all_columns_are_seen_on_a_screen_of_1280_pixels(tmp_path, suite):
    found, _ = look_at(page(tmp_path, suite), 1280, tmp_path)
    assert found["boxes"]
    assert all(inside <= width for width, inside in found["boxes"])
    assert found["scroll"] == 1280


def test_a_wide_table_scrolls_inside_its_box_on_a_narrow_screen(tmp_path):
    found, _ = look_at(page(tmp_path, "gift-offline"), 390, tmp_path)
    assert found["sticking_out"] == []
    assert found["scroll"] == 390
    assert max(inside for _, inside in found["boxes"]) > max(width for width, _ in found["boxes"])


@pytest.mark.parametrize(("seeds", "said"), [("0 1 2", "seeds 0, 1, 2."), ("0", "seed 0."), (0.0, "seed 0.")])
def test_seeds_are_whole_numbers_also_where_a_file_was_read_again(tmp_path, seeds, said):
    assert f", {said}</p>" in page(tmp_path, "m4", seeds).read_text()
