import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_squared_error

from forecastlab.baselines import (
    ARIMA,
    Climatology,
    GradientBoosting,
    Persistence,
    ResidualRegression,
    Ridge,
    SeasonalNaive,
)
from forecastlab.batch import Reference
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.scores import evaluate, score
from forecastlab.training.callbacks import PredictionWriter
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel
from tests.series import Series, as_if_trained, noise, trainer

METRICS = [f"test/{name}" for name in ("mse_scaled", "mae", "rmse", "mase", "skill", "rmsse", "mape", "smape", "wape")]


def with_gaps(rows=60):
    """Missing values and missing days."""
    raw = noise(rows)
    raw.iloc[[8, 33, 41, 42], 1] = np.nan
    return raw.drop(raw.index[[11, 35, 36, 50]])


# ---- score ----


def test_metrics_are_means_over_the_targets_of_scikit_learns():
    rng = np.random.default_rng(0)
    forecast, target = rng.normal(size=(2, 7, 3, 2))
    last = rng.normal(size=(7, 2))
    weight = (rng.random((7, 3, 2)) < 0.7).astype(float)
    variance, seasonal, squared = np.array([[[2.0, 9.0]], [[0.5, 4.0]], [[0.7, 30.0]]])
    found = score(
        forecast,
        *(torch.as_tensor(part) for part in (target, weight, last)),
        Reference(*(torch.as_tensor(unit) for unit in (variance, seasonal, squared))),
        targets=["y", "x"],
    )

    each, persistence = [], []
    for number in range(2):
        scored = weight[..., number] > 0
        f, y, before = (
            np.broadcast_to(part, target.shape)[..., number][scored] for part in (forecast, target, last[:, None])
        )
        mse, mae = mean_squared_error(y, f), mean_absolute_error(y, f)
        persistence.append(mean_squared_error(y, before) / variance[0, number])
        each.append(
            {
                "mse_scaled": mse / variance[0, number],
                "mae": mae,
                "rmse": mse**0.5,
                "mase": mae / seasonal[0, number],
                "rmsse": (mse / squared[0, number]) ** 0.5,
                "mape": 100 * mean_absolute_percentage_error(y, f),
                "smape": 100 * np.mean(2 * np.abs(y - f) / (np.abs(y) + np.abs(f))),
                "wape": 100 * np.abs(y - f).sum() / np.abs(y).sum(),
            }
        )
    expected = {f"test/{name}": (each[0][name] + each[1][name]) / 2 for name in each[0] if name not in ("mae", "rmse")}
    for name in ("mae", "rmse"):
        expected |= {f"test/{name}/y": each[0][name], f"test/{name}/x": each[1][name]}
    expected["test/skill"] = 1 - expected["test/mse_scaled"] / np.mean(persistence)
    expected |= {"test/series_scored": 2, "test/series_in_units": 2}
    assert found == pytest.approx(expected, rel=1e-9)


def test_what_is_not_scored_changes_nothing():
    target, weight = torch.ones(4, 1, 1), torch.tensor([1.0, 0, 1, 1])[:, None, None]
    reference = Reference(*torch.tensor([[[4.0]], [[1.0]], [[1.0]]]))
    forecast = np.full((4, 1, 1), 3.0)
    first = score(forecast, target, weight, torch.zeros(4, 1), reference)
    forecast[1], target[1] = 1e9, -1e9
    assert score(forecast, target, weight, torch.zeros(4, 1), reference) == first
    assert first == {
        "test/mse_scaled": 1.0,
        "test/mae": 2.0,
        "test/rmse": 2.0,
        "test/mase": 2.0,
        "test/skill": -3.0,
        "test/rmsse": 2.0,
        "test/mape": 200.0,
        "test/smape": 100.0,
        "test/wape": 200.0,
    }


def test_nothing_to_score_is_an_error():
    nothing, reference = torch.zeros(4, 1, 1), Reference(*torch.ones(3, 1, 1))
    with pytest.raises(DataError, match="nothing to score"):
        score(nothing, nothing, nothing, torch.zeros(4, 1), reference)


# ---- evaluate ----


@pytest.mark.parametrize("lookback", [1, 4, "full"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"horizon": 3, "targets": ["y", "x"]},
        {"horizon": 2, "score_gaps": False},
        {"context": "cold"},
        {"gap": 2, "season_length": 3},
        {"reindex": True},
    ],
)
def test_rows_metrics_and_table_are_those_of_a_network_that_forecasts_the_same(lookback, arguments, tmp_path):
    settings = {"lookback": lookback, "fold": 2, **arguments}
    data = Series(with_gaps(), **settings)
    network = as_if_trained(Forecaster(anchor="last", schema=data.schema))
    for parameter in network.decoder.parameters():  # predicts no change from the last value
        torch.nn.init.zeros_(parameter)
    writer = PredictionWriter()
    run = trainer(callbacks=[writer], default_root_dir=tmp_path)
    (theirs,) = run.test(network, data, verbose=False)

    found = evaluate(Persistence(), Series(with_gaps(), **settings))
    assert found.metrics == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    assert settings.get("targets") or list(theirs) == METRICS
    pd.testing.assert_frame_equal(found.predictions, writer.table, rtol=1e-5)
    assert found.predictions["y"].notna().all()
    assert np.isfinite(found.predictions["forecast"]).all()


def test_persistence_has_no_skill_to_the_last_bit():
    assert evaluate(Persistence(), Series(noise(60))).metrics["test/skill"] == 0


def test_a_baseline_is_fitted_on_the_fold_that_it_is_scored_on():
    baseline, folds = Ridge(), [Series(noise(80), fold=fold) for fold in (1, 2, 3)]
    again = [evaluate(baseline, data).metrics for data in folds]
    assert again == [evaluate(Ridge(), data).metrics for data in folds]


def test_forecasts_in_the_table_stand_beside_their_truth():
    data = Series(noise(80), horizon=2, fold=3)
    table = evaluate(Ridge(), data).predictions
    assert list(table) == ["unique_id", "target", "ds", "cutoff", "y", "forecast"]
    ahead = (table["ds"] - table["cutoff"]).dt.days
    assert sorted(set(ahead)) == [1, 2]
    np.testing.assert_allclose(table["y"], noise(80)["y"][table["ds"]], rtol=1e-6)
    first = table[ahead == 1]
    assert np.mean((first["y"] - first["forecast"]) ** 2) < 0.5 * first["y"].var()


# ---- several series ----


@pytest.mark.parametrize(
    "arguments", [{}, {"horizon": 2}, {"lookback": "full"}, {"missing": "ffill", "season_length": 3}]
)
@pytest.mark.parametrize("baseline", [Persistence, SeasonalNaive, Ridge], ids=lambda each: each.__name__)
def test_each_series_of_a_panel_is_forecast_as_if_it_were_alone(tmp_path, baseline, arguments):
    frame = panel(60)
    gaps = frame.index[[20, 33, 95]] if "missing" in arguments else []
    frame.loc[gaps, "y"] = np.nan
    together = evaluate(baseline(), module(tmp_path, frame, series_column="unique_id", **arguments))
    alone = []
    for name, part in frame.groupby("unique_id"):
        (tmp_path / name).mkdir()
        alone.append(evaluate(baseline(), module(tmp_path / name, part, series_column="unique_id", **arguments)))
    expected = pd.concat([each.predictions for each in alone], ignore_index=True)
    pd.testing.assert_frame_equal(together.predictions.reset_index(drop=True), expected)
    for name in together.metrics.keys() & alone[0].metrics.keys() - {"test/skill", "test/wape"}:
        each = [each.metrics[name] for each in alone]
        assert together.metrics[name] == pytest.approx(np.mean(each), rel=1e-5), name
    for name in ("mse_scaled", "mase", "rmsse"):
        each = [each.metrics[f"test/{name}"] for each in alone]
        assert together.metrics[f"test/{name}_median"] == pytest.approx(np.median(each), rel=1e-5)


def test_series_of_a_panel_may_begin_and_end_at_different_times(tmp_path):
    frame = panel(60)
    begins, ends = pd.Timestamp("2020-01-15"), pd.Timestamp("2020-02-10")
    b, c = frame["unique_id"] == "b", frame["unique_id"] == "c"
    ragged = frame[~(b & (frame["ds"] < begins)) & ~(c & (frame["ds"] > ends))]
    data = module(tmp_path, ragged, series_column="unique_id")  # trains on 30 rows, tests on 30 .. 44
    found = evaluate(SeasonalNaive(2), data)
    table = found.predictions
    assert table.groupby("unique_id").size().to_dict() == {"a": 15, "b": 15, "c": 11}
    values = frame.set_index(["unique_id", "ds"])["y"]
    two_before = [
        values[name, day - pd.Timedelta(days=2)] for name, day in zip(table["unique_id"], table["ds"], strict=True)
    ]
    np.testing.assert_allclose(table["forecast"], two_before, rtol=1e-6)
    scaled = []
    for name, part in table.groupby("unique_id"):
        known = values[name]["2020-01-15" if name == "b" else "2020-01-01" : "2020-01-30"].to_numpy()
        scaled.append(((part["forecast"] - part["y"]) ** 2).mean() / known.var())
    assert found.metrics["test/mse_scaled"] == pytest.approx(np.mean(scaled), rel=1e-4)


@pytest.mark.parametrize("lookback", [4, "full"])
def test_a_panel_is_scored_on_the_rows_of_a_network_that_forecasts_the_same(tmp_path, lookback):
    settings = {"series_column": "unique_id", "lookback": lookback, "horizon": 2, "scale_by": "series"}
    data = module(tmp_path, panel(60), **settings)
    network = as_if_trained(Forecaster(anchor="last", schema=data.schema))
    for parameter in network.decoder.parameters():
        torch.nn.init.zeros_(parameter)
    writer = PredictionWriter()
    (theirs,) = trainer(callbacks=[writer], default_root_dir=tmp_path).test(network, data, verbose=False)
    found = evaluate(Persistence(), module(tmp_path, panel(60), **settings))
    assert found.metrics == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    pd.testing.assert_frame_equal(found.predictions, writer.table, rtol=1e-5)


# ---- the real file: test MSE per split in units of the training variance ----


def mse_scaled(baseline, path):
    return np.array([evaluate(baseline, OzoneDataModule(str(path), fold=k)).metrics["test/mse_scaled"] for k in FOLDS])


FOLDS = range(1, 6)


@pytest.mark.real
def test_persistence_on_ozone(real_ozone):
    np.testing.assert_allclose(
        mse_scaled(Persistence(), real_ozone), [0.2755, 0.1898, 0.1201, 0.3111, 0.2185], atol=5e-5
    )


@pytest.mark.real
def test_ridge_on_ozone(real_ozone):
    found = mse_scaled(Ridge(), real_ozone)
    np.testing.assert_allclose(found, [0.183, 0.136, 0.116, 0.205, 0.116], atol=0.012)
    assert found.mean() == pytest.approx(0.151, abs=0.005)


@pytest.mark.real
@pytest.mark.parametrize(
    "baseline",
    [
        ARIMA(),
        GradientBoosting(1),
        pytest.param(GradientBoosting(), marks=pytest.mark.slow),  # its lookback makes 2162 columns
        ResidualRegression(),
    ],
    ids=lambda each: each.name,
)
def test_what_learns_beats_persistence_on_every_split_of_ozone(baseline, real_ozone):
    found = mse_scaled(baseline, real_ozone)
    assert (found < [0.2755, 0.1898, 0.1201, 0.3111, 0.2185]).all()
    assert found.mean() > 0.135, "a leak is suspected below"


@pytest.mark.real
def test_climatology_on_ozone_is_worth_what_the_season_explains(real_ozone):
    found = mse_scaled(Climatology(), real_ozone)
    assert (found[1:] < 0.65).all()
    assert found.mean() > 0.3


@pytest.mark.parametrize("baseline", [Persistence, SeasonalNaive], ids=lambda each: each.__name__)
def test_what_has_nothing_to_fit_forecasts_all_series_of_a_panel_at_once(tmp_path, monkeypatch, baseline):
    data = module(tmp_path, panel(60), series_column="unique_id")
    monkeypatch.delattr(type(data).__mro__[1], "views")
    assert evaluate(baseline(), data).predictions["unique_id"].nunique() == 3


def test_a_season_that_a_series_does_not_train_on_is_refused(tmp_path):
    data = module(tmp_path, panel(60), series_column="unique_id")
    with pytest.raises(ConfigError, match="needs a season of 50 rows, but fold 2 trains on 30 rows only"):
        evaluate(SeasonalNaive(50), data)
