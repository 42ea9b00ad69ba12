import pandas as pd
import pytest

from forecastlab.evaluation.gather import finished_folds, gather, read_result, write_result
from forecastlab.evaluation.results import PREDICTION_COLUMNS, RESULT_COLUMNS, CrossvalRun
from forecastlab.evaluation.scores import Evaluation

FIT = {"best_epoch": 3, "epochs": 5, "seconds": 1.5, "val/loss": 0.25}
METRICS = {"mse_scaled": 0.5, "mae": 2.0, "rmse": 2.0, "mase": 1.0, "skill": 0.1}


def table(unit=1.0, **columns):
    return pd.DataFrame(
        {
            "unique_id": ["007", "NA"],
            "target": "y",
            "ds": pd.to_datetime(["2020-01-02", "2020-01-02"]),
            "cutoff": pd.to_datetime(["2020-01-01", "2020-01-01"]),
            "y": [10.0, 20.0],
            "forecast": [10 + 2 * unit, 20 - 2 * unit],
            **columns,
        }
    )


def metrics(**further):
    return {f"test/{name}": value for name, value in {**METRICS, **further}.items()}


@pytest.fixture
def run(tmp_path):
    """A run of two finished folds, one with intervals, and one that is not finished."""
    for fold in (1, 2, 3):
        folder = tmp_path / f"fold_{fold}" / "seed_0"
        folder.mkdir(parents=True)
        write_result(folder, {"fit": FIT} | ({"test": metrics(coverage=0.9, winkler=5.0)} if fold < 3 else {}))
        predictions = table(**{"forecast-lo-90": [7.0, 17.0], "forecast-hi-90": [13.0, 23.0]})
        predictions.to_csv(folder / "predictions.csv", index=False)
    (tmp_path / "config.yaml").write_text("experiment: net\n")
    return tmp_path


def test_only_folds_that_are_tested_count(run):
    assert [(fold, seed) for fold, seed, _ in finished_folds(run)] == [(1, 0), (2, 0)]
    assert "test" not in read_result(run / "fold_3" / "seed_0")


def test_all_metrics_are_kept_the_common_ones_first(run):
    gather(run, "net", [("persistence", 1, Evaluation(metrics(rmsse=1.5), table()))])
    results = pd.read_csv(run / "results.csv")
    assert list(results) == [*RESULT_COLUMNS, "test/coverage", "test/winkler", "test/rmsse"]
    assert results["test/coverage"].tolist()[:2] == [0.9, 0.9]
    assert results["test/coverage"].isna().tolist() == [False, False, True]
    assert results["test/rmsse"].isna().tolist() == [True, True, False]
    assert results["seed"].isna().tolist() == [False, False, True]


def test_all_predictions_are_kept_with_their_intervals(run):
    gather(run, "net", [("persistence", 1, Evaluation(metrics(), table()))])
    found = pd.read_csv(run / "predictions.csv", parse_dates=["ds", "cutoff"], dtype={"unique_id": str})
    assert list(found) == [*PREDICTION_COLUMNS, "forecast-lo-90", "forecast-hi-90"]
    assert found["forecast-lo-90"].tolist()[:4] == [7, 17, 7, 17]
    assert found["forecast-lo-90"].isna().tolist() == [False] * 4 + [True] * 2
    assert (found["ds"] == pd.Timestamp("2020-01-02")).all(), "of one form throughout"


def test_names_of_series_stay_what_they_are(run):
    gather(run, "net", [("persistence", fold, Evaluation(metrics(), table())) for fold in (1, 2)])
    lines = (run / "predictions.csv").read_text().splitlines()[1:]
    assert [line.split(",")[3] for line in lines] == ["007", "NA"] * 4
    loaded = CrossvalRun.load(run)
    assert loaded.predictions["unique_id"].tolist() == ["007", "NA"] * 4
