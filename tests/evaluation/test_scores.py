import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error

from forecastlab.baselines import ARIMA, Climatology, GradientBoosting, Persistence, ResidualRegression, Ridge
from forecastlab.batch import Reference
from forecastlab.callbacks import PredictionWriter
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.errors import DataError
from forecastlab.evaluation.scores import evaluate, score
from forecastlab.forecaster import Forecaster
from tests.series import Series, noise, trainer

METRICS = ["test/mse_scaled", "test/mae", "test/rmse", "test/mase", "test/skill"]


def with_gaps(rows=60):
    """Missing values and missing days."""
    raw = noise(rows)
    raw.iloc[[8, 33, 41, 42], 1] = np.nan
    return raw.drop(raw.index[[11, 35, 36, 50]])


# ---- score ----


def test_metrics_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    forecast, target = rng.normal(size=(2, 7, 3, 2))
    last = rng.normal(size=(7, 2))
    weight = (rng.random((7, 3, 2)) < 0.7).astype(float)
    variance, seasonal = np.array([2.0, 9.0]), np.array([0.5, 4.0])
    found = score(
        forecast,
        *(torch.as_tensor(part) for part in (target, weight, last)),
        Reference(torch.as_tensor(variance), torch.as_tensor(seasonal)),
    )

    scored = weight > 0
    units = [np.broadcast_to(unit, target.shape)[scored] for unit in (variance, seasonal, last[:, None])]
    forecast, target = forecast[scored], target[scored]
    mse = mean_squared_error(target, forecast)
    expected = {
        "test/mse_scaled": mean_squared_error(target, forecast, sample_weight=1 / units[0])
        * np.mean(1 / units[0]),  # scikit-learn divides by the sum of the weights
        "test/mae": mean_absolute_error(target, forecast),
        "test/rmse": mse**0.5,
        "test/mase": np.mean(np.abs(target - forecast) / units[1]),
        "test/skill": 1 - mse / mean_squared_error(target, units[2]),
    }
    assert found == pytest.approx(expected, rel=1e-6)
    assert list(found) == METRICS


def test_what_is_not_scored_changes_nothing():
    target, weight = torch.ones(4, 1, 1), torch.tensor([1.0, 0, 1, 1])[:, None, None]
    reference = Reference(torch.tensor([4.0]), torch.tensor([1.0]))
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
    }


def test_nothing_to_score_is_an_error():
    nothing, reference = torch.zeros(4, 1, 1), Reference(torch.ones(1), torch.ones(1))
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
    network = Forecaster(anchor="last", schema=data.schema)
    for parameter in network.decoder.parameters():  # predicts no change from the last value
        torch.nn.init.zeros_(parameter)
    writer = PredictionWriter()
    run = trainer(callbacks=[writer], default_root_dir=tmp_path)
    (theirs,) = run.test(network, data, verbose=False)

    found = evaluate(Persistence(), Series(with_gaps(), **settings))
    assert found.metrics == pytest.approx({name: theirs[name] for name in METRICS}, rel=1e-5, abs=1e-6)
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
@pytest.mark.parametrize("baseline", [ARIMA(), GradientBoosting(), ResidualRegression()], ids=lambda each: each.name)
def test_what_learns_beats_persistence_on_every_split_of_ozone(baseline, real_ozone):
    found = mse_scaled(baseline, real_ozone)
    assert (found < [0.2755, 0.1898, 0.1201, 0.3111, 0.2185]).all()
    assert found.mean() > 0.135, "a leak is suspected below"


@pytest.mark.real
def test_climatology_on_ozone_is_worth_what_the_season_explains(real_ozone):
    found = mse_scaled(Climatology(), real_ozone)
    assert (found[1:] < 0.65).all()
    assert found.mean() > 0.3
