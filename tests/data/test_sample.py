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


@pytest.mark.parametrize("rows", [1, 2, 7, 187, 188, 375, 376, 1000, 1499])
def test_a_shorter_series_is_the_beginning_of_a_longer_one(sample, rows):
    pd.testing.assert_frame_equal(sample_ozone(rows), sample.iloc[:rows])


@given(rows=st.integers(1, 3200), more=st.integers(0, 400), seed=st.integers(0, 2**64))
@settings(max_examples=25)
def test_any_length_and_seed_is_the_beginning_of_a_longer_one(rows, more, seed):
    shorter = sample_ozone(rows, seed)
    assert len(shorter) == rows
    pd.testing.assert_frame_equal(shorter, sample_ozone(rows + more, seed).iloc[:rows])


@pytest.mark.parametrize("seed", range(5))
def test_days_and_values_are_missing_but_no_target(seed):
    sample = sample_ozone(seed=seed)
    missing_days = sample.index.to_series().diff().dt.days.dropna() - 1
    assert missing_days[missing_days > 0].tolist() == [5, 2, 5, 1]
    assert 0.015 < sample.isna().to_numpy().mean() < 0.025
    assert sample.T_PK.notna().all()
    assert sample["class"].notna().all()
    assert sample.iloc[0].notna().all()


def test_peaks_and_means_are_those_of_the_hours(sample):
    for hours, name in ((T, "T"), (WSR, "WSR")):
        whole = sample[[*hours, f"{name}_PK", f"{name}_AV"]].dropna()
        assert len(whole) > 500
        np.testing.assert_array_equal(whole[f"{name}_PK"], whole[hours].max(axis=1))
        np.testing.assert_allclose(whole[f"{name}_AV"], whole[hours].mean(axis=1), atol=0.0101)


def test_the_target_is_a_temperature_in_degrees_and_the_class_a_label(sample):
    assert sample.T_PK.between(-5, 50).all()
    assert set(sample["class"]) == {0.0, 1.0}


def test_days_and_years_have_their_cycles(sample):
    assert sample[T].mean().idxmax() == "T15"
    assert sample[T].mean().idxmin() == "T3"
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
        ({"rows": 0}, "rows .* from 1 to 1,000,000, got 0"),
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
