from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from forecastlab.data.folds import Fold, origins, walk_forward
from forecastlab.errors import ConfigError


def refused(rows, fold=1, **arguments):
    """The message with which a fold is refused."""
    with pytest.raises(ConfigError) as caught:
        walk_forward(rows, fold, **arguments)
    message = str(caught.value)
    assert len(message.splitlines()) <= 10
    return message


@pytest.mark.parametrize(("fold", "n"), [(1, 4), (2, 6), (3, 8)])
def test_ten_rows_in_three_splits_are_those_of_the_example(fold, n):
    assert walk_forward(10, fold, splits=3, validation="test") == Fold(
        range(1, n), range(n, n + 2), range(n, n + 2), train_stop=n
    )


def test_a_lookback_of_two_needs_two_rows_before_the_first_training_target():
    assert walk_forward(10, 1, splits=3, validation="test", first_target=2).fit == range(2, 4)


def test_the_first_1500_rows_split_as_the_paper_does():
    folds = [walk_forward(1500, fold) for fold in range(1, 6)]
    assert [fold.train_stop for fold in folds] == [250, 500, 750, 1000, 1250]
    assert [fold.test for fold in folds] == [range(n, n + 250) for n in (250, 500, 750, 1000, 1250)]


@pytest.mark.parametrize("arguments", [{}, {"gap": 7}, {"test_size": 100}, {"test_size": 100, "gap": 30}])
def test_folds_equal_scikit_learns_on_1500_rows(arguments):
    splits = TimeSeriesSplit(5, **arguments).split(np.zeros(1500))
    for number, (train, test) in enumerate(splits, start=1):
        fold = walk_forward(1500, number, validation="test", **arguments)
        assert list(range(fold.train_stop)) == train.tolist()
        assert list(fold.test) == test.tolist()
        assert list(fold.fit) == train.tolist()[1:]


@given(
    rows=st.integers(3, 400),
    splits=st.integers(2, 8),
    test_size=st.none() | st.integers(1, 40),
    gap=st.integers(0, 20),
    lookback=st.integers(1, 30),
    val_fraction=st.floats(0.01, 0.99),
    validation=st.sampled_from(["tail", "test"]),
)
def test_ranges_follow_each_other_and_none_overlaps_the_test_range(
    rows, splits, test_size, gap, lookback, val_fraction, validation
):
    folds = []
    for number in range(1, splits + 1):
        try:
            fold = walk_forward(
                rows,
                number,
                splits=splits,
                test_size=test_size,
                gap=gap,
                first_target=lookback,
                validation=validation,
                val_fraction=val_fraction,
            )
        except ConfigError:
            continue
        folds.append(fold)
        assert fold.fit.start == lookback
        assert fold.fit
        assert fold.validation
        assert fold.test
        assert fold.test.start == fold.train_stop + gap
        assert fold.test.stop <= rows
        if validation == "tail":
            assert (fold.fit.stop, fold.validation.stop) == (fold.validation.start, fold.train_stop)
        else:
            assert (fold.fit.stop, fold.validation) == (fold.train_stop, fold.test)
    assume(folds)
    for before, after in pairwise(folds):
        assert after.test.start == before.test.stop
    assert folds[-1].test.stop == rows, "the last rows are tested"


@pytest.mark.parametrize(
    ("n", "val_fraction", "tail"), [(250, 0.2, 50), (500, 0.2, 100), (250, 0.001, 1), (250, 0.9, 224), (4, 0.2, 1)]
)
def test_the_tail_is_the_fraction_of_the_training_targets_and_never_empty(n, val_fraction, tail):
    fold = walk_forward(n + 10, 1, splits=2, test_size=5, val_fraction=val_fraction)
    assert fold.train_stop == n
    assert fold.validation == range(n - tail, n)
    assert fold.fit == range(1, n - tail)


def test_the_tail_counts_the_targets_behind_the_lookback_only():
    fold = walk_forward(1500, 1, first_target=50)
    assert fold.validation == range(210, 250)  # a fifth of the 200 rows 50 .. 249


def test_fold_all_trains_on_every_row_and_tests_on_none():
    fold = walk_forward(1500, "all", first_target=30)
    assert (fold.fit, fold.validation, fold.train_stop) == (range(30, 1206), range(1206, 1500), 1500)
    assert not fold.test


def test_a_gap_is_left_out_between_training_and_test():
    fold = walk_forward(1500, 1, gap=10)
    assert fold.train_stop == 240
    assert fold.validation.stop == 240
    assert fold.test == range(250, 500)


@pytest.mark.parametrize("fold", [0, 6, -1, "1", "last", 1.0, None, True])
def test_a_fold_that_does_not_exist_is_refused(fold):
    assert f'a number from 1 to 5 (the number of splits) or "all", got {fold!r}' in refused(1500, fold)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rows": 5}, "5 rows cannot be split into 5 folds"),
        ({"rows": 1500, "test_size": 400}, "test_size=400 and gap=0"),
        ({"rows": 1500, "gap": 600}, "test_size=None and gap=600"),
        ({"rows": 1500, "gap": -1}, "gap must be a number of rows, 0 or more, got -1"),
        ({"rows": 1500, "gap": 1.5}, "gap must be a number of rows, 0 or more, got 1.5"),
        ({"rows": 1500, "test_size": 0}, "test_size must be a number of rows, 1 or more, got 0"),
        ({"rows": 1500, "test_size": -2}, "test_size must be a number of rows, 1 or more, got -2"),
        ({"rows": 1500, "splits": 1}, "splits must be a number of folds, 2 or more, got 1"),
        ({"rows": 1500, "splits": 0}, "splits must be a number of folds, 2 or more, got 0"),
        ({"rows": 1500, "first_target": 250}, "the first row that can be a target is 250"),
        ({"rows": 1500, "first_target": 249}, "leaves none to fit"),
        ({"rows": 1500, "val_fraction": 0.0}, "val_fraction must be between 0 and 1"),
        ({"rows": 1500, "val_fraction": 1.0}, "val_fraction must be between 0 and 1"),
        ({"rows": 1500, "val_fraction": float("nan")}, "val_fraction must be between 0 and 1"),
        ({"rows": 1500, "val_fraction": 0.9999}, "leaves none to fit"),
        ({"rows": 1500, "validation": "tial"}, 'validation must be "tail" or "test", got \'tial\''),
        ({"rows": 1500, "fold": "all", "validation": "test"}, "fold: all has no test range"),
        ({"rows": 30, "fold": "all", "first_target": 30}, "the first row that can be a target is 30"),
    ],
)
def test_an_impossible_fold_is_refused_with_its_numbers(arguments, words):
    assert words in refused(**arguments)


@pytest.mark.parametrize(
    ("targets", "horizon", "earliest", "expected"),
    [
        (range(2, 4), 1, 1, [1, 2]),  # the example of ten rows: training with a lookback of 2 ...
        (range(4, 6), 1, 1, [3, 4]),  # ... and its test range
        (range(2, 4), 2, 1, [1]),  # with a horizon of 2
        (range(4, 6), 2, 1, [3]),
        (range(1, 4), 1, 0, [0, 1, 2]),  # with a full lookback
        (range(4, 6), 1, 0, [3, 4]),
        (range(4, 6), 1, 4, [4]),  # a cold start at row 4 with a lookback of 1
        (range(4, 6), 1, 5, []),  # ... of 2: there is no target behind it
        (range(4, 6), 3, 0, []),  # a horizon longer than the range
        (range(10, 10), 1, 0, []),
    ],
)
def test_origins_are_the_rows_whose_targets_all_lie_in_the_range(targets, horizon, earliest, expected):
    assert list(origins(targets, horizon, earliest)) == expected


@given(start=st.integers(1, 30), size=st.integers(0, 30), horizon=st.integers(1, 12), earliest=st.integers(0, 30))
def test_origins_equal_a_search_over_all_rows(start, size, horizon, earliest):
    targets = range(start, start + size)
    expected = [row for row in range(earliest, 100) if all(row + step in targets for step in range(1, horizon + 1))]
    assert list(origins(targets, horizon, earliest)) == expected


def test_a_tail_by_its_share_has_room_for_one_forecast():
    assert walk_forward(72, "all", first_target=24, horizon=12).validation == range(60, 72)  # 20 % would be 10 rows
    assert walk_forward(720, "all", first_target=24, horizon=12).validation == range(581, 720)
    assert walk_forward(72, "all", first_target=24, horizon=12, val_size=5).validation == range(67, 72)
