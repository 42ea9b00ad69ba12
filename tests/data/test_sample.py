import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import TimeSeriesSplit

from forecastlab.data.ozone import COLUMNS, HOURS, read_ozone
from forecastlab.data.sample import sample_ozone
from forecastlab.errors import ConfigError

T = [f"T{hour}" for hour in HOURS]
WSR = [f"WSR{hour}" for hour in HOURS]


@pytest.fixture(scope="module")
def sample():
    return sample_ozone()


def test_it_has_the_form_of_the_real_file(sample):
    assert sample.shape == (1500, 73)
    assert tuple(sample.columns) == COLUMNS[1:]
    assert set(sample.dtypes) == {np.dtype("float64")}
    assert isinstance(sample.index, pd.DatetimeIndex)
    assert sample.index.name == "Date"
    assert sample.index.is_monotonic_increasing
    assert sample.index.is_unique


@pytest.mark.real
def test_it_has_the_index_type_and_columns_of_the_real_file(sample, real_ozone):
    real = read_ozone(real_ozone)
    assert sample.index.dtype == real.index.dtype
    assert sample.index.name == real.index.name
    pd.testing.assert_index_equal(sample.columns, real.columns)


def test_the_same_seed_draws_the_same_series(sample):
    pd.testing.assert_frame_equal(sample_ozone(), sample)


def test_another_seed_draws_another_series(sample):
    assert (sample_ozone(seed=1).T_PK.to_numpy() != sample.T_PK.to_numpy()).mean() > 0.9


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 374, 375, 376, 1000, 1499])
def test_a_shorter_series_is_the_beginning_of_a_longer_one(sample, rows):
    pd.testing.assert_frame_equal(sample_ozone(rows), sample.iloc[:rows])


@given(rows=st.integers(1, 3200), more=st.integers(0, 400), seed=st.integers(0, 2**64))
@settings(max_examples=25)
def test_any_length_and_seed_is_the_beginning_of_a_longer_one(rows, more, seed):
    shorter = sample_ozone(rows, seed)
    assert len(shorter) == rows
    pd.testing.assert_frame_equal(shorter, sample_ozone(rows + more, seed).iloc[:rows])


@pytest.mark.parametrize("seed", range(5))
def test_it_has_gaps_and_missing_values_like_the_real_file(seed):
    sample = sample_ozone(seed=seed)
    missing_days = sample.index.to_series().diff().dt.days.dropna() - 1
    assert (missing_days > 0).sum() == 4
    assert missing_days.sum() == 13
    assert 1900 < sample.isna().sum().sum() < 3100
    assert 230 < sample.isna().any(axis=1).sum() < 360
    assert sample.T_PK.notna().all()
    assert sample["class"].notna().all()
    assert sample.iloc[0].notna().all()


def test_values_are_missing_in_clumps(sample):
    missing = sample.isna()
    assert (missing.T85 == missing.KI).all()  # a sounding fails as a whole
    assert (missing.U70 == missing.V70).all()
    assert missing.U50.sum() > missing.T50.sum() > 0
    assert missing.SLP_[1:][missing.SLP.to_numpy()[:-1]].all()  # no change without the day before
    assert missing[WSR].all(axis=1).sum() == 20
    partly = missing[T].any(axis=1)
    assert partly.sum() > 20
    assert (missing.loc[partly, T].to_numpy() <= missing.loc[partly, WSR].to_numpy()).all()


def test_peaks_and_means_are_those_of_the_hours(sample):
    for hours, name in ((T, "T"), (WSR, "WSR")):
        there = sample[hours].notna().any(axis=1)
        np.testing.assert_array_equal(sample.loc[there, f"{name}_PK"], sample.loc[there, hours].max(axis=1))
        np.testing.assert_allclose(sample.loc[there, f"{name}_AV"], sample.loc[there, hours].mean(axis=1), atol=0.0501)
        assert sample.loc[~there, [f"{name}_PK", f"{name}_AV"]].isna().all(axis=None)


def test_pressure_change_is_the_change_of_the_pressure(sample):
    consecutive = sample.index.to_series().diff().dt.days == 1
    change = sample.SLP.diff()[consecutive]
    both = change.notna() & sample.SLP_[consecutive].notna()
    assert both.sum() > 1300
    np.testing.assert_array_equal(change[both], sample.SLP_[consecutive][both])


def test_values_are_in_the_ranges_of_their_units(sample):
    assert sample.T_PK.between(-15, 50).all()
    assert (sample[WSR].min() >= 0).all()
    assert sample[WSR].max().max() < 20
    for level in (85, 70, 50):
        assert sample[f"RH{level}"].dropna().between(0, 1).all()
    assert sample.HT85.mean() < sample.HT70.mean() < sample.HT50.mean()
    assert sample.T85.mean() > sample.T70.mean() > sample.T50.mean()
    assert sample.SLP.dropna().between(9500, 10800).all()
    assert (sample.Precp >= 0).all()
    assert set(sample["class"]) == {0.0, 1.0}
    assert 0.03 < sample["class"].mean() < 0.12


@pytest.mark.parametrize(
    ("column", "step"), [("T12", 0.1), ("WSR3", 0.1), ("RH70", 0.01), ("HT85", 0.5), ("HT50", 5), ("SLP", 5)]
)
def test_values_are_rounded_like_the_file(sample, column, step):
    steps = sample[column].dropna() / step
    np.testing.assert_allclose(steps, steps.round(), atol=1e-6)


def test_days_and_years_have_their_cycles(sample):
    hours = sample[T].mean()
    assert T[13] <= hours.idxmax() <= T[16]
    assert hours.idxmin() in T[2:8]
    by_month = sample.T_PK.groupby(sample.index.month).mean()
    assert by_month.idxmax() in (6, 7, 8)
    assert by_month.idxmin() in (12, 1, 2)
    assert 12 < by_month.max() - by_month.min() < 25


@pytest.mark.parametrize("seed", range(3))
def test_there_is_more_to_learn_than_persistence(seed):
    values = sample_ozone(seed=seed).ffill().drop(columns="class")
    y = values.T_PK.to_numpy()
    for train, test in TimeSeriesSplit(5).split(y):
        x = ((values - values.iloc[train].mean()) / values.iloc[train].std()).to_numpy()
        ridge = Ridge(300).fit(x[train[:-1]], np.diff(y[train]))
        error_of_ridge = np.mean((y[test] - y[test - 1] - ridge.predict(x[test - 1])) ** 2)
        error_of_persistence = np.mean((y[test] - y[test - 1]) ** 2)
        assert error_of_ridge < 0.9 * error_of_persistence
        assert 0.08 < error_of_persistence / y[train].var() < 0.5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"rows": 0}, "rows .* got 0"),
        ({"rows": -3}, "rows .* got -3"),
        ({"rows": 1.5}, "rows .* got 1.5"),
        ({"rows": True}, "rows .* got True"),
        ({"rows": 1_000_001}, "from 1 to 1,000,000"),
        ({"seed": -1}, "seed .* of at least 0, got -1"),
        ({"seed": "a"}, "seed .* got 'a'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, text):
    with pytest.raises(ConfigError, match=text):
        sample_ozone(**arguments)
