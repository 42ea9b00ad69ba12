"""What every baseline must keep to; a new one is added to `BASELINES`."""

import importlib
import inspect
import pkgutil

import joblib
import numpy as np
import pytest
from sklearn.svm import SVR

import forecastlab.baselines
from forecastlab.baselines import (
    ARIMA,
    AutoARIMA,
    AutoETS,
    Baseline,
    Climatology,
    DLinear,
    ElasticNet,
    GradientBoosting,
    Lasso,
    LeastAbsolute,
    NLinear,
    Persistence,
    ResidualRegression,
    Ridge,
    SeasonalNaive,
    Theta,
)
from forecastlab.errors import ConfigError
from tests.series import Series, noise

BASELINES = {
    "Persistence": Persistence,
    "SeasonalNaive": lambda: SeasonalNaive(3),
    "Climatology": lambda: Climatology(window=2),
    "Ridge": lambda: Ridge(lags=2),
    "Lasso": lambda: Lasso(lags=2),
    "LeastAbsolute": lambda: LeastAbsolute(lags=2),
    "ElasticNet": lambda: ElasticNet(seasons=[3]),
    "GradientBoosting": lambda: GradientBoosting(lags=2, max_trees=20),
    "ARIMA": lambda: ARIMA((1, 0, 1), (1, 0, 0, 3)),
    "AutoARIMA": lambda: AutoARIMA(max_models=3),
    "AutoETS": lambda: AutoETS(season_length=3),
    "DLinear": lambda: DLinear(lookback=6, kernel_size=3),
    "NLinear": lambda: NLinear(lookback=6),
    "Theta": lambda: Theta(season_length=3),
    "ResidualRegression": lambda: ResidualRegression(ARIMA((1, 1, 0)), SVR(), lags=2),
}
every = pytest.mark.parametrize("name", BASELINES)
ROWS, STOP = 200, 150


def module(raw=None, **arguments):
    """Two targets of 200 rows, of which 150 train."""
    settings = {"targets": ["y", "x"], "horizon": 3, "splits": 2, "fold": 2, "test_size": ROWS - STOP}
    data = Series(noise(ROWS) if raw is None else raw, **{**settings, **arguments})
    assert data.ranges.train_stop == STOP
    return data


def changed_from(row):
    """The series with other values from a row on."""
    raw = noise(ROWS)
    raw.iloc[row:] += np.random.default_rng(1).normal(5, 20, size=raw.iloc[row:].shape)
    return raw


def test_every_baseline_is_among_the_tested():
    classes = set()
    for info in pkgutil.iter_modules(forecastlab.baselines.__path__):
        found = importlib.import_module(f"forecastlab.baselines.{info.name}")
        classes |= {
            name
            for name, cls in inspect.getmembers(found, inspect.isclass)
            if issubclass(cls, Baseline) and cls.__module__ == found.__name__ and not inspect.isabstract(cls)
        }
    assert classes == set(BASELINES)
    assert classes | {"Baseline"} == set(forecastlab.baselines.__all__)


@every
def test_arguments_have_working_defaults(name):
    cls = getattr(forecastlab.baselines, name)
    baseline, data = cls(), module(horizon=1)
    baseline.fit(data)
    assert np.isfinite(baseline.forecast(data, range(STOP - 1, ROWS - 1))).all()


@every
def test_forecasts_have_a_value_per_origin_step_and_target(name):
    baseline, data = BASELINES[name](), module()
    baseline.fit(data)
    forecast = baseline.forecast(data, range(STOP - 1, ROWS))
    assert forecast.shape == (ROWS - STOP + 1, 3, 2)
    assert forecast.dtype == np.float64
    assert np.isfinite(forecast).all()
    if name not in ("Persistence", "AutoARIMA", "AutoETS"):  # the latter find neither trend nor season here
        assert not np.allclose(forecast[:, 0], forecast[:, 2]), "steps differ"
    assert not np.allclose(forecast[..., 0], forecast[..., 1]), "targets differ"


@every
def test_one_origin_gives_what_many_give(name):
    baseline, data = BASELINES[name](), module()
    baseline.fit(data)
    many = baseline.forecast(data, range(STOP - 1, ROWS))
    for origin in (STOP - 1, STOP + 7, ROWS - 1):
        one = baseline.forecast(data, range(origin, origin + 1))
        np.testing.assert_allclose(one[0], many[origin - STOP + 1], rtol=1e-10)


@every
@pytest.mark.parametrize("validation", ["tail", "test"])
def test_rows_behind_the_training_rows_change_nothing_that_is_fitted(name, validation):
    fitted = []
    for raw in (noise(ROWS), changed_from(STOP)):
        baseline = BASELINES[name]()
        baseline.fit(module(raw, validation=validation))
        fitted.append(joblib.hash(vars(baseline)))
    assert fitted[0] == fitted[1]


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"Persistence", "SeasonalNaive"}))
def test_training_rows_change_what_is_fitted(name):
    fitted = []
    for raw in (noise(ROWS), changed_from(STOP - 1)):
        baseline = BASELINES[name]()
        baseline.fit(module(raw))
        fitted.append(joblib.hash(vars(baseline)))
    assert fitted[0] != fitted[1]


@every
def test_rows_behind_an_origin_do_not_change_its_forecast(name):
    baseline, data = BASELINES[name](), module()
    baseline.fit(data)
    origins, row = range(STOP - 1, ROWS), STOP + 20
    before = baseline.forecast(data, origins)
    after = baseline.forecast(module(changed_from(row)), origins)
    unchanged = row - 1 - origins.start + 1
    np.testing.assert_array_equal(after[:unchanged], before[:unchanged])
    if name not in ("Climatology", "Lasso", "ElasticNet", "AutoARIMA"):  # of noise, the latter forecast the mean
        assert not np.isclose(after[unchanged:], before[unchanged:]).any(axis=(1, 2)).all()


@every
def test_forecasts_leave_what_was_fitted_as_it_was(name):
    baseline, data = BASELINES[name](), module()
    baseline.fit(data)
    fitted = joblib.hash(vars(baseline))
    first = baseline.forecast(data, range(STOP - 1, ROWS))
    assert joblib.hash(vars(baseline)) == fitted
    np.testing.assert_array_equal(baseline.forecast(data, range(STOP - 1, ROWS)), first)


@every
def test_a_second_fit_forgets_the_first(name):
    once, twice, data = BASELINES[name](), BASELINES[name](), module()
    twice.fit(module(changed_from(0)))
    for baseline in (once, twice):
        baseline.fit(data)
    assert joblib.hash(vars(once)) == joblib.hash(vars(twice))


@every
def test_units_do_not_matter(name):
    forecasts = []
    for unit in (1.0, 1e6):
        baseline, data = BASELINES[name](), module(noise(ROWS) * unit)
        baseline.fit(data)
        forecasts.append(baseline.forecast(data, range(STOP - 1, ROWS)) / unit)
    np.testing.assert_allclose(forecasts[0], forecasts[1], rtol=2e-3, atol=2e-3)


@every
def test_missing_values_and_constant_columns_are_survived(name):
    raw = noise(ROWS).assign(constant=1e6)
    missing = np.random.default_rng(2).random((ROWS, 2)) < 0.2
    missing[0] = False
    missing[20:30] = True
    raw[["x", "y"]] = raw[["x", "y"]].mask(missing)
    baseline, data = BASELINES[name](), module(raw, features=["x", "y", "constant"])
    baseline.fit(data)
    forecast = baseline.forecast(data, range(STOP - 1, ROWS))
    assert (np.abs(forecast - [20, 0]).max((0, 1)) < [25, 6]).all()


@every
def test_a_fold_that_trains_on_everything_forecasts_the_future(name):
    baseline, data = BASELINES[name](), Series(noise(60), targets=["y", "x"], horizon=3, fold="all", validation="tail")
    baseline.fit(data)
    assert np.isfinite(baseline.forecast(data, range(59, 60))).all()


@every
def test_an_origin_without_enough_past_or_behind_the_data_is_refused(name):
    baseline, data = BASELINES[name](), module()
    baseline.fit(data)
    first = baseline.first_origin
    assert np.isfinite(baseline.forecast(data, range(first, first + 3))).all()
    for origins in (range(first - 1, first + 2), range(ROWS - 1, ROWS + 1), range(STOP, STOP)):
        with pytest.raises(ConfigError, match=rf"forecasts from the rows {first} .. {ROWS - 1}, got range"):
            baseline.forecast(data, origins)


@every
def test_a_forecast_before_the_fit_is_a_bug(name):
    with pytest.raises(RuntimeError, match="is not fitted: call fit first"):
        BASELINES[name]().forecast(module(), range(STOP, ROWS))


@pytest.mark.parametrize("other", [{"horizon": 2}, {"targets": ["y"]}, {"features": ["x"]}])
def test_other_columns_or_another_horizon_than_fitted_are_refused(other):
    baseline = Persistence()
    baseline.fit(module())
    with pytest.raises(ConfigError, match="fit it again"):
        baseline.forecast(module(**other), range(STOP, ROWS))


@every
def test_names_tell_settings_apart(name):
    assert BASELINES[name]().name
    others = {
        SeasonalNaive(1): SeasonalNaive(2),
        Ridge(): Ridge(2),
        Ridge(2): Ridge(2, seasons=[3]),
        Lasso(): ElasticNet(),
        GradientBoosting(): GradientBoosting(loss="absolute_error"),
        ARIMA(): ARIMA((1, 0, 0)),
        ARIMA((1, 0, 0)): ARIMA((1, 0, 0), (1, 0, 0, 2)),
        ResidualRegression(Persistence()): ResidualRegression(Ridge()),
    }
    assert all(one.name != other.name for one, other in others.items())
