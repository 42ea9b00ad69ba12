"""Tables of suites: the geometric means of published models are those that were published."""

import pytest

from forecastlab.benchmarks.others import others
from forecastlab.benchmarks.suites import SUITES
from forecastlab.benchmarks.summary import summaries_table
from forecastlab.benchmarks.tables import LEADING, horizon_table, model_table, relative, tables_of, task_table


def results_of(suite, factor=0.5, tasks=None, fallen_back=0):
    """Results of ours that are so much of the baseline's, whose figures are the published ones, or 1."""
    table = others(SUITES[suite])
    published = table[table["model"] == SUITES[suite].baseline].set_index("task")
    rows = []
    for task in tasks or SUITES[suite].tasks:
        known = published.reindex([task]).iloc[0]
        figures = {name: float(known[name]) if known[name] == known[name] else 1.0 for name in LEADING[suite]}
        rows.append({"model_name": SUITES[suite].baseline, "task_name": task, **figures})
        ours = {name: factor * value for name, value in figures.items()}
        rows.append({"model_name": "ours", "task_name": task, "fallen_back": fallen_back, **ours})
    return summaries_table(rows)


def rows_of(table):
    columns = {column.header: column.values for column in table.columns}
    return {model: {name: columns[name][row] for name in columns} for row, model in enumerate(columns["model"])}


@pytest.mark.parametrize(
    ("suite", "model", "mase", "wql"),
    [
        ("gift-offline", "iTransformer", 0.858, 0.613),
        ("gift-offline", "PatchTST", 0.911, 0.631),
        ("gift-offline", "xLSTM-Mixer", 0.810, 0.536),
        ("chronos-zs", "auto_theta", 0.822, 0.707),
        ("chronos-zs", "tirex", 0.832, 0.657),
        ("chronos-zs", "chronos_bolt_base", 0.868, 0.682),
        ("chronos-zs", "seasonal_naive", 1.0, 1.0),
        ("gift-offline", "ours", 0.5, 0.5),
    ],
)
def test_models_have_their_published_geometric_means(suite, model, mase, wql):
    found = rows_of(model_table(SUITES[suite], results_of(suite)))[model]
    assert found["relative MASE"] == pytest.approx(mase, abs=1e-3)
    assert found["relative WQL"] == pytest.approx(wql, abs=1e-3)
    assert found["tasks"] == len(SUITES[suite].tasks)


def test_models_are_ranked_by_their_error():
    table = model_table(SUITES["chronos-zs"], results_of("chronos-zs"))
    means = table.columns[2].values
    assert list(means) == sorted(means)
    assert table.columns[0].values[0] == "ours"


def test_a_model_of_fewer_tasks_stands_beside_ours_of_the_same_tasks():
    results = results_of("ltsf")
    results.loc[(results["task_name"] == "weather/96") & (results["model_name"] == "ours"), "MSE"] *= 8
    found = rows_of(model_table(SUITES["ltsf"], results))
    assert found["P-sLSTM L=336"]["tasks"] == 8
    assert found["P-sLSTM L=336"]["ours, MSE"] == pytest.approx(0.5 * 8 ** (1 / 8))
    assert found["ours"]["ours, MSE"] == pytest.approx(relative(SUITES["ltsf"], results)["MSE"])


def test_long_horizons_are_averaged_where_all_four_are_known():
    found = rows_of(horizon_table(results_of("ltsf"), SUITES["ltsf"]))
    assert [found["SegRNN L=720"][name] for name in ("ETTh1", "ETTm1", "weather")] == pytest.approx(
        [0.408, 0.347, 0.223], abs=5e-4
    )
    assert found["P-sLSTM L=336"]["weather"] == pytest.approx(0.229, abs=5e-4)
    assert found["ours"]["exchange_rate"] == pytest.approx((0.081 + 0.167 + 0.306 + 0.810) / 8)
    assert "DLinear L=96" not in found
    assert len(tables_of(SUITES["ltsf"], results_of("ltsf", tasks=["illness/24"]))) == 2


def test_a_task_stands_beside_the_baseline_and_the_best_that_was_published():
    table = task_table(SUITES["m4"], results_of("m4", fallen_back=3, tasks=["hourly"]))
    cells = {column.header: column.values[0] for column in table.columns[:5]}
    assert cells == pytest.approx(
        {"task": "hourly", "OWA": 0.3135, "seasonal naive": 0.627, "ratio": 0.5, "best published": 0.44}
    )
    assert table.notes == (
        "1 of 2 tasks are not scored",
        "hourly: 3 forecasts are the seasonal naive's, for the network could make none",
    )
