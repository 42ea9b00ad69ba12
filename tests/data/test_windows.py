from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

from forecastlab.batch import Schema
from forecastlab.data.loading import BatchSampler, Loader
from forecastlab.data.windows import Rows, Windows
from tests.frames import table

NAN = np.nan


def rows(y, horizon=1, days=None, known=None):
    """Rows of one target y, which is the only feature too."""
    times = pd.Timestamp("2020-01-01") + pd.to_timedelta(range(len(y)) if days is None else days, unit="D")
    times = pd.DatetimeIndex(times)
    city = table(pd.DataFrame({"y": y}, index=times, dtype="float64"))
    axis = times.append(pd.date_range(times[-1], periods=horizon + 1)[1:])
    calendar = pd.DataFrame({} if known is None else {"k": known}, index=axis)
    schema = Schema(("y", *calendar), ("y",), known=tuple(calendar), horizon=horizon)
    return Rows.of_tables([city], axis, schema, calendar, mask=False)


def cut(rows, ends, time, origins=1, score_gaps=True):
    """Windows of so many rows that end at given ones, and whose last rows are the origins."""
    return Windows(rows, torch.zeros_like(ends), ends + 1 - time, ends + 1 - origins, ends, score_gaps)


def test_a_window_ends_at_its_origin_and_is_followed_by_its_targets():
    batch = cut(rows([0, 1, 2, 3, 4, 5], horizon=2), torch.tensor([2, 3]), time=3)[[0, 1]]
    assert batch.history.tolist() == [[[0], [1], [2]], [[1], [2], [3]]]
    assert batch.last.tolist() == [[[2]], [[3]]]
    assert batch.target.tolist() == [[[[3], [4]]], [[[4], [5]]]]
    assert batch.weight.tolist() == [[[[1], [1]]], [[[1], [1]]]]
    assert batch.index.tolist() == [[2], [3]]
    assert batch.series.tolist() == [0, 0]
    assert batch.known.shape == (2, 1, 2, 0)
    assert batch.static.shape == (2, 0)


def test_the_origins_of_a_sequence_are_its_last_positions():
    batch = cut(rows([0, 1, 2, 3, 4, 5]), torch.tensor([4]), time=5, origins=2)[[0]]
    assert batch.history.flatten().tolist() == [0, 1, 2, 3, 4]
    assert batch.index.tolist() == [[3, 4]]
    assert batch.last.flatten().tolist() == [3, 4]
    assert batch.target.flatten().tolist() == [4, 5]


def test_samples_come_in_the_order_that_is_asked_for():
    windows = cut(rows(range(10)), torch.arange(3, 9), time=2)
    assert windows[[5, 0, 2]].index.flatten().tolist() == [8, 3, 5]


def test_a_single_number_gives_a_batch_of_one():
    windows = cut(rows(range(10)), torch.arange(3, 9), time=2)
    assert all(torch.equal(one, batch) for one, batch in zip(windows[4], windows[[4]], strict=True))


def test_the_only_sample_is_cut_once_and_again_when_somebody_changed_it():
    windows = cut(rows([0, 1, 2, 3, 4, 5]), torch.tensor([4]), time=5, origins=2)
    batch = windows[[0]]
    assert windows[[0]] is batch
    batch.history[:, 1:] += 7
    again = windows[[0]]
    assert again is not batch
    assert again.history.flatten().tolist() == [0, 1, 2, 3, 4]
    assert windows[[0, 0]].history.shape == (2, 5, 1)
    again.target.flatten()[0] = 9  # through a view
    assert windows[0].target.flatten().tolist() == [4, 5]


def test_what_was_cut_for_inference_is_cut_again_for_training():
    windows = cut(rows([0, 1, 2, 3]), torch.tensor([2]), time=2)
    with torch.inference_mode():
        assert windows[[0]].history.is_inference()
    batch = windows[[0]]
    assert not any(tensor.is_inference() for tensor in batch)
    with torch.inference_mode():
        assert windows[[0]].history.tolist() == batch.history.tolist()


def test_of_several_samples_every_batch_is_cut_for_itself():
    windows = cut(rows(range(10)), torch.arange(3, 9), time=2)
    assert windows[[1]] is not windows[[1]]
    assert windows[[1]].index.tolist() == [[4]]
    assert windows[[2]].index.tolist() == [[5]]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("seed", [None, 3])
def test_a_loader_gives_what_torchs_own_gives(workers, seed):
    windows = cut(rows(range(20)), torch.arange(3, 18), time=3)
    ours, theirs = (
        kind(windows, sampler=BatchSampler(len(windows), 4, seed=seed), batch_size=None, num_workers=workers)
        for kind in (Loader, DataLoader)
    )
    assert len(ours) == len(theirs)
    for _ in range(2):
        found, expected = ([[part.tolist() for part in batch] for batch in loader] for loader in (ours, theirs))
        assert found == expected


def test_targets_beyond_the_data_are_finite_and_do_not_count():
    batch = cut(rows([5, 6, 7], horizon=3), torch.tensor([1, 2]), time=2)[[0, 1]]
    assert batch.weight.flatten(1).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert batch.target.flatten(1).tolist() == [[7, 7, 7], [7, 7, 7]]


def test_missing_targets_are_filled_forward_and_do_not_count():
    batch = cut(rows([5, NAN, 7, NAN], horizon=2), torch.tensor([0, 1]), time=1)[[0, 1]]
    assert batch.target.flatten(1).tolist() == [[5, 7], [7, 7]]
    assert batch.weight.flatten(1).tolist() == [[0, 1], [1, 0]]
    assert batch.last.flatten().tolist() == [5, 5]


@pytest.mark.parametrize(
    ("score_gaps", "weight"), [(True, [[1, 1], [1, 1], [1, 1], [1, 1]]), (False, [[1, 0], [0, 0], [1, 1], [1, 0]])]
)
def test_targets_across_a_gap_count_only_if_asked_for(score_gaps, weight):
    # 2 and 3 January are followed by 6, 7, 8 January, and then by the 10th
    series = rows(range(6), horizon=2, days=[1, 2, 5, 6, 7, 9])
    windows = cut(series, torch.arange(4), time=1, score_gaps=score_gaps)
    assert windows[[0, 1, 2, 3]].weight.flatten(1).tolist() == weight


def test_known_covariates_are_taken_at_the_target_steps():
    batch = cut(rows([5, 6, 7], horizon=2, known=[10, 20, 30, 40, 50]), torch.tensor([1, 2]), time=2)[[0, 1]]
    assert batch.known.flatten(1).tolist() == [[30, 40], [40, 50]]
    assert batch.history.tolist() == [[[5, 10], [6, 20]], [[6, 20], [7, 30]]]


def test_only_samples_with_a_target_that_counts_are_scored():
    series = rows([0, 1, NAN, NAN, 4, 5], horizon=2)
    windows = cut(series, torch.arange(5), time=1).scored()
    assert windows.ends.tolist() == [0, 2, 3, 4]  # of row 1 both targets are missing
    assert windows[[1]].target.flatten().tolist() == [1, 4]


def test_samples_across_a_gap_are_dropped_where_gaps_are_not_scored():
    series = rows(range(6), days=[1, 2, 5, 6, 7, 9])
    assert cut(series, torch.arange(5), time=1, score_gaps=False).scored().ends.tolist() == [0, 2, 3]
    assert cut(series, torch.arange(5), time=1, score_gaps=True).scored().ends.tolist() == [0, 1, 2, 3, 4]


@given(
    missing=st.sets(st.integers(1, 38)),  # a series ends with its last row that has a target
    days=st.sets(st.integers(1, 80), min_size=39, max_size=39),
    horizon=st.integers(1, 5),
    lookback=st.integers(1, 6),
    origins=st.integers(1, 4),
    score_gaps=st.booleans(),
)
def test_every_value_equals_a_loop_over_the_table(missing, days, horizon, lookback, origins, score_gaps):
    day = [0, *sorted(days)]
    y = [NAN if row in missing else float(row) for row in range(40)]
    filled = pd.Series(y).ffill().tolist()
    first = lookback + origins - 2
    windows = cut(rows(y, horizon, day), torch.arange(first, 40), first + 1, origins, score_gaps)
    batch = windows[list(range(len(windows)))]
    for sample, end in enumerate(range(first, 40)):
        assert batch.history[sample, :, 0].tolist() == filled[end - first : end + 1]
        for o in range(origins):
            origin = end - origins + 1 + o
            assert batch.index[sample, o] == origin
            assert batch.last[sample, o, 0] == filled[origin]
            for step in range(1, horizon + 1):
                row = origin + step
                there = row < 40 and row not in missing
                counts = there and (score_gaps or day[row] - day[origin] == step)
                assert batch.weight[sample, o, step - 1, 0] == counts
                assert batch.target[sample, o, step - 1, 0] == filled[min(row, 39)]


SIZES = {"samples": st.integers(0, 150), "batch_size": st.integers(1, 20), "processes": st.integers(1, 6)}


def batches(samples, batch_size, processes, **arguments):
    """The batches of each process."""
    samplers = [
        BatchSampler(samples, batch_size, rank=rank, processes=processes, **arguments) for rank in range(processes)
    ]
    given_out = [list(sampler) for sampler in samplers]
    assert [len(part) for part in given_out] == [len(sampler) for sampler in samplers]
    return given_out


@given(**SIZES, seed=st.none() | st.integers(0, 2**32), epoch=st.integers(0, 1000))
def test_processes_share_out_the_samples_and_none_is_lost_or_doubled(samples, batch_size, processes, seed, epoch):
    given_out = batches(samples, batch_size, processes, seed=seed, epoch=epoch)
    assert sorted(number for part in given_out for batch in part for number in batch) == list(range(samples))


@given(**SIZES, seed=st.integers(0, 2**32))
def test_in_training_every_process_has_the_same_number_of_batches_and_none_is_empty(
    samples, batch_size, processes, seed
):
    given_out = batches(max(samples, processes), batch_size, processes, seed=seed)
    assert len({len(part) for part in given_out}) == 1
    sizes = [len(batch) for part in given_out for batch in part]
    assert min(sizes) >= 1
    assert max(sizes) <= batch_size + 2


@given(samples=st.integers(12, 150), batch_size=st.integers(2, 20), processes=st.integers(1, 6))
def test_in_training_no_batch_has_a_single_sample_which_batch_normalisation_could_not_take(
    samples, batch_size, processes
):
    assert min(len(b) for part in batches(samples, batch_size, processes, seed=0) for b in part) >= 2


@given(**SIZES)
def test_a_step_of_all_processes_holds_the_samples_that_one_process_would_take(samples, batch_size, processes):
    shared = batches(samples, batch_size, processes, seed=3, epoch=5)
    alone = batches(samples, batch_size * processes, 1, seed=3, epoch=5)[0]
    steps = [sorted(chain(*step)) for step in zip(*shared, strict=True)]
    if len(alone) == len(steps):
        assert steps == [sorted(step) for step in alone]
    else:  # the rest that is too small for all processes is enough for one
        assert steps == [*map(sorted, alone[:-2]), sorted(alone[-2] + alone[-1])]


def test_without_a_seed_the_order_is_kept():
    assert list(BatchSampler(7, 3)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_the_order_of_an_epoch_is_that_of_a_generator_of_its_own():
    order = torch.randperm(10, generator=torch.Generator().manual_seed(7 * 1_000_003 + 4)).tolist()
    assert list(BatchSampler(10, 5, seed=7, epoch=4)) == [order[:5], order[5:]]


def test_the_order_depends_on_the_seed_and_the_epoch_alone():
    torch.manual_seed(0)
    sampler = BatchSampler(50, 50, seed=1)
    zeroth = list(sampler)
    torch.manual_seed(1)
    assert list(sampler) == zeroth
    sampler.set_epoch(9)
    ninth = list(sampler)
    assert ninth != zeroth
    assert list(BatchSampler(50, 50, seed=1, epoch=9)) == ninth
    assert list(BatchSampler(50, 50, seed=2, epoch=9)) != ninth


def test_the_passes_of_an_epoch_have_the_orders_of_as_many_epochs():
    orders = [list(BatchSampler(50, 20, seed=1, epoch=epoch)) for epoch in range(6)]
    sampler = BatchSampler(50, 20, seed=1, passes=3)
    assert list(sampler) == list(chain(*orders[:3]))
    sampler.set_epoch(1)
    assert list(sampler) == list(chain(*orders[3:]))
    assert len(sampler) == 9


def test_drawing_an_order_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    list(BatchSampler(50, 5, seed=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_lightning_does_not_split_up_the_batches_once_more():
    assert isinstance(BatchSampler(50, 5), DistributedSampler)
