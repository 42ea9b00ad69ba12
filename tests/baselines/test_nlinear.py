import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge as Reference

from forecastlab.baselines import NLinear
from forecastlab.errors import ConfigError, DataError
from forecastlab.evaluation.scores import evaluate
from tests.series import Series, counting, noise


def panel(**lengths):
    parts = [noise(120, seed).tail(rows).assign(id=name) for seed, (name, rows) in enumerate(lengths.items())]
    parts[0] = parts[0].assign(y=parts[0]["y"] * 100)
    return pd.concat(parts)


def module(raw, **arguments):
    settings = {"splits": 2, "fold": 2, "test_size": 20, "horizon": 3, "lookback": 5, **arguments}
    return Series(raw, features=["y"], recipe={"series": "id"} if "id" in raw else None, **settings)


def test_the_map_is_scikit_learns_ridge_on_changes_to_the_last_value_of_all_series():
    raw = panel(a=120, b=90)
    found = evaluate(NLinear(alphas=[2.0]), module(raw)).predictions
    inputs, targets, units = [], [], {}
    for name, own in raw.groupby("id"):
        y = own["y"].to_numpy()
        trained = y[:-20]
        units[name] = trained.std()
        for origin in range(4, len(trained) - 3):
            inputs.append((y[origin - 4 : origin + 1] - y[origin]) / units[name])
            targets.append((y[origin + 1 : origin + 4] - y[origin]) / units[name])
    reference = Reference(alpha=2.0).fit(inputs, targets)
    for name, own in raw.groupby("id"):
        y, start = own["y"].to_numpy(), len(own) - 20
        for origin in (start - 1, start + 7):
            change = reference.predict([(y[origin - 4 : origin + 1] - y[origin]) / units[name]])[0]
            expected = y[origin] + change * units[name]
            rows = found[(found["unique_id"] == name) & (found["cutoff"] == own.index[origin])]
            np.testing.assert_allclose(rows["forecast"], expected, rtol=1e-9)


def test_the_penalty_is_the_one_that_forecasts_the_last_fifth_best():
    raw = noise(100)
    data = module(raw, horizon=2)
    chosen = NLinear(alphas=[1e-3, 10.0, 1e6])
    chosen.fit(data)
    y = raw["y"].to_numpy()[:80] / raw["y"].to_numpy()[:80].std()
    errors = {}
    for alpha in chosen.alphas:
        rows = range(4, 78)
        inputs = np.array([y[t - 4 : t + 1] - y[t] for t in rows])
        targets = np.array([y[t + 1 : t + 3] - y[t] for t in rows])
        before = np.array([t + 2 < 64 for t in rows])
        tail = np.array([t + 1 >= 64 for t in rows])
        fitted = Reference(alpha=alpha).fit(inputs[before], targets[before])
        errors[alpha] = np.mean((fitted.predict(inputs[tail]) - targets[tail]) ** 2)
    assert chosen.alpha == min(errors, key=errors.get)


def test_a_line_and_a_season_are_continued_where_the_penalty_is_small():
    raw = counting(80)
    raw["y"] += np.tile([4.0, -1, 0, -3], 20)
    baseline, data = NLinear(lookback=8, alphas=[1e-9]), module(raw, horizon=4)
    baseline.fit(data)
    forecast = baseline.forecast(data, range(60, 61))[0, :, 0]
    np.testing.assert_allclose(forecast, raw["y"].to_numpy()[61:65], rtol=1e-5)


def test_a_series_shorter_than_the_lookback_is_forecast_with_what_the_others_teach():
    raw = panel(a=120, b=28)  # eight rows of b train, and the lookback is 12
    found = evaluate(NLinear(lookback=12), module(raw, lookback=5)).predictions
    assert set(found["unique_id"]) == {"a", "b"}
    assert np.isfinite(found["forecast"]).all()


def test_a_history_is_continued_backwards_with_its_first_value():
    raw = noise(100)
    data = module(raw)
    baseline = NLinear(lookback=6)
    baseline.fit(data)
    longer = pd.concat([raw.iloc[[0] * 5], raw]).set_index(pd.date_range("2019-12-27", periods=105))
    expected = baseline.forecast(module(longer), range(7, 8))
    np.testing.assert_allclose(baseline.forecast(data, range(2, 3)), expected, rtol=1e-12)


def test_without_a_lookback_it_reads_as_much_as_the_network():
    baseline = NLinear()
    baseline.fit(module(noise(100), lookback=7))
    assert baseline.lookback == 7
    baseline.fit(module(noise(100), lookback="full", season_length=6))
    assert baseline.lookback == 12


def test_a_fit_without_rows_is_refused_with_what_to_do():
    with pytest.raises((ConfigError, DataError), match="choose a later fold"):
        NLinear().fit(module(noise(26), horizon=7, test_size=10))
    with pytest.raises(ConfigError, match="series b has test rows but no training rows in fold 2"):
        evaluate(NLinear(), module(panel(a=120, b=18)))


@pytest.mark.parametrize("arguments", [{"lookback": 0}, {"alphas": []}, {"alphas": [0.0]}])
def test_settings_that_cannot_be_are_refused(arguments):
    with pytest.raises(ConfigError, match="must be"):
        NLinear(**arguments)
