"""Promise: no history holds a row behind its origin, no target is lost or counted twice, filling never looks ahead."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from forecastlab.data.folds import walk_forward
from forecastlab.data.scaling import fit_each
from forecastlab.errors import ConfigError
from tests.frames import table
from tests.series import Series

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")  # what was seen is not asked here

NAN = np.nan
POLICIES = ["ffill", "interpolate", "mask"]
CELLS = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=30)


@st.composite
def frames(draw, series=3):
    """Series of unequal span with missing cells and left out rows.

    The value of a cell tells its place: x of row 7 of the axis is 7, or 1007 in the second series, and y 100 more.
    """
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    missing, left_out = draw(st.sampled_from([0.0, 0.1, 0.4])), draw(st.sampled_from([0.0, 0.2]))
    parts = []
    for number in range(draw(st.integers(1, series))):
        first, stop = (draw(st.integers(0, 15)), draw(st.integers(25, 45))) if number else (0, 45)
        rows = np.arange(float(first), stop)
        part = pd.DataFrame({"id": f"s{number}", "x": 1000 * number + rows, "y": 1000 * number + rows + 100})
        part.index = pd.date_range("2020-01-01", periods=45)[first:stop]
        inner = slice(1, len(part) - 1)
        holes = generator.random((len(part) - 2, 2)) < missing
        part.iloc[inner, 1:] = part.iloc[inner, 1:].mask(holes)
        gone = np.zeros(len(part), dtype=bool)
        gone[2:-1] = generator.random(len(part) - 3) < left_out
        parts.append(part[~gone])
    return pd.concat(parts)


def whole(raw, number):
    """x and y of a series by row of the axis; None where a value is missing."""
    own = raw[raw["id"] == f"s{number}"]
    own = own.reindex(pd.date_range(own.index[0], own.index[-1]))
    first = (own.index[0] - pd.Timestamp("2020-01-01")).days
    return {
        column: {first + row: None if np.isnan(cell) else cell for row, cell in enumerate(own[column])}
        for column in ("x", "y")
    }


def known_at(cells, row, end, policy):
    """What is known at row `end` of the value in a row, by a search through the column."""
    left = next(before for before in range(row, -1, -1) if cells[before] is not None)
    right = next((after for after in range(row, end + 1) if cells[after] is not None), None)
    if policy == "interpolate" and right is not None and right > left:
        return cells[left] + (cells[right] - cells[left]) * (row - left) / (right - left)
    return cells[left]


SETTINGS = {
    "fold": st.integers(1, 3) | st.just("all"),
    "horizon": st.integers(1, 4),
    "gap": st.integers(0, 3),
    "train_size": st.none() | st.integers(8, 40),
    "val_size": st.none() | st.integers(1, 6),
    "context": st.sampled_from(["carried", "cold"]),
    "validation": st.sampled_from(["tail", "test"]),
    "batch_size": st.integers(1, 9),
    "scale_by": st.sampled_from(["global", "series"]),
    "cutoffs": st.none() | st.sets(st.integers(12, 44), min_size=1, max_size=3),
}


def module(raw, policy, cutoffs=None, **arguments):
    """A data module of the frame, or nothing for settings that the rows do not allow."""
    times = pd.date_range("2020-01-01", periods=45)
    chosen = [str(times[row].date()) for row in sorted(cutoffs or [])]
    if chosen and arguments["fold"] != "all":
        arguments["fold"] = min(arguments["fold"], len(chosen))
    recipe = {"series": "id", "regular": True, "missing": policy}
    try:
        data = Series(raw, recipe=recipe, cutoffs=chosen, **arguments)
        _ = data.ranges, data.scaling
    except ConfigError:
        assume(False)
    return data


def loader(data, name):
    """The batches of a range; none if it is refused because it has nothing to forecast or to score."""
    data.setup("predict")
    try:
        return list(getattr(data, {"fit": "train", "validation": "val"}.get(name, name) + "_dataloader")())
    except ConfigError:
        return []


@given(
    raw=frames(),
    regime=st.tuples(st.sampled_from(POLICIES), st.integers(1, 9), st.integers(1, 4))
    | st.sampled_from([("ffill", "full", 1), ("mask", "full", 1)]),
    **SETTINGS,
)
@settings(max_examples=50)
def test_a_history_holds_what_was_known_at_its_end_and_every_forecast_is_scored_once(raw, regime, **arguments):
    policy, lookback, stride = regime
    data = module(raw, policy, lookback=lookback, stride=stride, **arguments)
    horizon, cold = arguments["horizon"], arguments["context"] == "cold"
    starts = {name: getattr(data.ranges, name).start if cold else 0 for name in ("validation", "test")}
    starts["fit"] = data.ranges.train_start
    series = [whole(raw, number) for number in range(len(data.tables))]
    for name in ("fit", "validation", "test"):
        allowed = getattr(data.ranges, name)
        scored = []
        for batch in loader(data, name):
            for number, history, index, last, target, weight in zip(
                batch.series.tolist(),
                batch.history,
                batch.index.tolist(),
                batch.last,
                batch.target,
                batch.weight,
                strict=True,
            ):
                own, end = series[number], index[-1]
                begin = max(starts[name], min(own["x"])) if lookback == "full" else end + 1 - lookback
                assert begin >= max(starts[name], min(own["x"]))
                rows = range(begin, end + 1)
                expected = [[known_at(own[column], row, end, policy) for column in ("x", "y")] for row in rows]
                np.testing.assert_allclose(history[: len(rows), :2], expected, rtol=1e-6)
                assert history[:, 0].max() <= 1000 * number + end, "a value from behind the origin"
                if policy == "mask":
                    observed = [[own[column][row] is not None for column in ("x", "y")] for row in rows]
                    assert history[: len(rows), 2:4].tolist() == observed
                for position in torch.nonzero(weight.flatten(1).any(1)).flatten().tolist():
                    origin = index[position]
                    scored.append((number, origin))
                    assert last[position] == known_at(own["y"], origin, origin, "ffill")
                    truth = [own["y"][origin + step] for step in range(1, horizon + 1)]
                    assert weight[position].flatten().tolist() == [value is not None for value in truth]
                    given_truth = target[position][weight[position] > 0].tolist()
                    assert given_truth == [value for value in truth if value is not None]
        possible = set()
        for number, own in enumerate(series):
            earliest = max(starts[name], min(own["x"])) + (0 if lookback == "full" else lookback - 1)
            ahead = {row: range(row + 1, row + 1 + horizon) for row in own["y"] if row >= earliest}
            origins = [row for row, steps in ahead.items() if all(s in allowed and s in own["y"] for s in steps)]
            origins = origins[::stride] if name == "fit" else origins
            possible |= {(number, row) for row in origins if any(own["y"][step] is not None for step in ahead[row])}
        assert len(scored) == len(set(scored)), "counted twice"
        assert set(scored) == possible, "lost or made up"


@given(raw=frames(series=1), gap=st.integers(0, 3), size=st.integers(1, 6), cutoffs=SETTINGS["cutoffs"])
@settings(max_examples=20)
def test_over_all_folds_every_target_is_tested_once_and_trained_on_before_only(raw, gap, size, cutoffs):
    count = len(cutoffs) if cutoffs else 3
    tested, own = [], whole(raw, 0)
    for fold in range(1, count + 1):
        data = module(
            raw, "ffill", cutoffs, fold=fold, gap=gap, lookback=1, validation="tail", val_size=size, horizon=1
        )
        rows = {
            name: [row for batch in loader(data, name) for row in (batch.target[batch.weight > 0] - 100).int().tolist()]
            for name in ("fit", "validation", "test")
        }
        together = sorted(rows["fit"] + rows["validation"] + rows["test"])
        assert len(together) == len(set(together))
        first = data.ranges.test.start
        observed = [row for row, cell in own["y"].items() if cell is not None]
        assert together == [row for row in observed if 1 <= row < first - gap or row in data.ranges.test]
        assert max(rows["fit"] + rows["validation"], default=0) < first - gap
        tested += rows["test"]
    assert sorted(tested) == [row for row in observed if row >= min(tested)]
    assert len(tested) == len(set(tested))


@given(raw=frames(), policy=st.sampled_from(POLICIES), lookback=st.integers(1, 9), **SETTINGS)
@settings(max_examples=25)
def test_rows_behind_the_fitting_targets_change_neither_the_scaling_nor_a_training_batch(
    raw, policy, lookback, **arguments
):
    data = module(raw, policy, lookback=lookback, **arguments)
    stop = data.ranges.fit.stop
    other = raw.copy()
    other.loc[other.index >= data.times[stop], ["x", "y"]] = -1e6
    changed = module(other, policy, lookback=lookback, **arguments)
    for before, after in zip(data.scaling.state_dict().values(), changed.scaling.state_dict().values(), strict=True):
        assert torch.equal(before, after)
    for before, after in zip(loader(data, "fit"), loader(changed, "fit"), strict=True):
        for name in ("history", "last", "target", "index", "series"):
            assert torch.equal(getattr(before, name), getattr(after, name))


@given(cells=CELLS, policy=st.sampled_from(POLICIES), part=st.integers(1, 30))
def test_filling_a_beginning_gives_the_beginning_of_the_filled(cells, policy, part):
    times = pd.date_range("2020-01-01", periods=len(cells) + 1)
    raw = pd.DataFrame({"a": np.array([0.5, *cells], dtype="float64"), "y": 1.0}, index=times)
    whole, beginning = table(raw, missing=policy), table(raw.iloc[:part], missing=policy)
    pd.testing.assert_frame_equal(beginning.values, whole.values.iloc[:part])
    pd.testing.assert_frame_equal(beginning.observed, whole.observed.iloc[:part])


@given(cells=CELLS)
def test_a_mask_holds_the_last_value_or_zero(cells):
    times = pd.date_range("2020-01-01", periods=len(cells))
    raw = pd.DataFrame({"a": np.array(cells, dtype="float64"), "y": 1.0}, index=times)
    expected, last = [], 0.0
    for cell in cells:
        last = last if cell is None else cell
        expected.append(last)
    assert table(raw, missing="mask").values["a"].tolist() == expected


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=40),
    scaler=st.sampled_from(["standard", "minmax", "robust", "none"]),
    series=st.integers(1, 3),
)
def test_unscaling_gives_back_what_was_scaled_to_the_rounding_of_float64(values, scaler, series):
    parts = []
    for number in range(series):
        columns = np.array(values, dtype="float64")[:, None] * (number + 1) + number
        parts.append({"feature": columns, "known": columns[:, :0], "target": columns})
    together = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    scaling = fit_each(scaler, [(np.arange(series), together)], series, np.empty((series, 0)))
    numbers = torch.arange(series)
    targets = torch.stack([torch.tensor(part["target"]) for part in parts])
    center, scale = scaling.target_units(targets, numbers)
    back = scaling.scale("target", targets, numbers) * scale + center
    # a value and its centre are each rounded once, and so is what is between
    size = torch.maximum(targets.abs(), center.abs()) + scale
    assert ((back - targets).abs() <= 4 * torch.finfo(torch.float64).eps * size).all()


@given(
    rows=st.integers(10, 300),
    splits=st.integers(2, 8),
    test_size=st.none() | st.integers(1, 30),
    gap=st.integers(0, 10),
    train_size=st.none() | st.integers(1, 200),
)
def test_folds_without_cutoffs_are_those_of_time_series_split(rows, splits, test_size, gap, train_size):
    try:
        expected = list(
            TimeSeriesSplit(splits, max_train_size=train_size, test_size=test_size, gap=gap).split(np.empty(rows))
        )
    except ValueError:
        with pytest.raises(ConfigError, match="cannot be split"):
            walk_forward(rows, 1, splits=splits, test_size=test_size, gap=gap, train_size=train_size)
        return
    for fold, (train, test) in enumerate(expected, start=1):
        if len(train) < 2:
            continue  # one row has no target
        found = walk_forward(
            rows,
            fold,
            splits=splits,
            test_size=test_size,
            gap=gap,
            train_size=train_size,
            validation="test",
        )
        assert list(range(found.train_start, found.train_stop)) == train.tolist()
        assert list(found.test) == test.tolist()
        assert found.fit == range(found.train_start + 1, found.train_stop)


@given(
    cutoffs=st.sets(st.integers(5, 99), min_size=1, max_size=6).map(sorted),
    test_size=st.none() | st.integers(1, 30),
    gap=st.integers(0, 2),
    train_size=st.none() | st.integers(3, 50),
)
def test_folds_of_cutoffs_begin_at_them_and_end_before_the_next(cutoffs, test_size, gap, train_size):
    folds = [
        walk_forward(100, fold, cutoffs=cutoffs, test_size=test_size, gap=gap, train_size=train_size, validation="test")
        for fold in range(1, len(cutoffs) + 1)
    ]
    assert [fold.test.start for fold in folds] == cutoffs
    assert [fold.train_stop for fold in folds] == [cutoff - gap for cutoff in cutoffs]
    if test_size is None:
        assert all(before.test.stop == after.test.start for before, after in pairwise(folds))
        assert folds[-1].test.stop == 100
    else:
        assert [len(fold.test) for fold in folds] == [min(test_size, 100 - cutoff) for cutoff in cutoffs]
    if train_size is not None:
        assert all(fold.train_stop - fold.train_start <= train_size for fold in folds)
