"""Which windows an epoch takes of a panel, against shares counted by hand and by a slow search."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forecastlab.data.loading import BatchSampler
from forecastlab.data.sampling import WindowSampling
from forecastlab.errors import ConfigError
from tests.series import Series, panel

COUNTS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


def drawn(counts, size, evenly, seed=0):
    return WindowSampling(torch.tensor(counts), size, evenly).draw(torch.Generator().manual_seed(seed))


def shares(counts, size):
    """Round after round, every series that has a window left gives one: what is fair by hand."""
    given_so_far = np.zeros(len(counts), int)
    while given_so_far.sum() < size and (left := given_so_far < counts).any():
        if given_so_far.sum() + left.sum() > size:
            break
        given_so_far += left
    return given_so_far


@given(counts=COUNTS, size=st.integers(1, 100), evenly=st.booleans(), seed=st.integers(0, 2**40))
def test_an_epoch_has_the_size_that_was_asked_for_and_no_window_twice(counts, size, evenly, seed):
    found = drawn(counts, size, evenly, seed)
    assert len(found) == min(size, sum(counts)) == WindowSampling(torch.tensor(counts), size, evenly).size
    assert len(found.unique()) == len(found)
    assert found.min() >= 0
    assert found.max() < sum(counts)


@given(counts=COUNTS, size=st.integers(1, 100), seed=st.integers(0, 2**40))
def test_evenly_every_series_gives_as_many_as_another_or_all_that_it_has(counts, size, seed):
    found = drawn(counts, size, True, seed)
    number = np.repeat(np.arange(len(counts)), counts)[found.numpy()]
    got = np.bincount(number, minlength=len(counts))
    least = shares(np.array(counts), size)
    assert ((got == least) | (got == least + 1)).all()
    assert got.sum() == min(size, sum(counts))


def test_by_length_a_series_gives_its_share_of_the_windows():
    found = torch.cat([drawn([10, 90], 20, False, seed) for seed in range(300)])
    assert float((found < 10).float().mean()) == pytest.approx(0.1, abs=0.02)
    even = torch.cat([drawn([10, 90], 20, True, seed) for seed in range(300)])
    assert float((even < 10).float().mean()) == 0.5


@pytest.mark.parametrize("evenly", [True, False])
def test_within_a_series_every_window_is_as_likely_and_stands_anywhere_in_the_epoch(evenly):
    epochs = torch.stack([drawn([8, 8, 8], 6, evenly, seed) for seed in range(2000)])
    often = torch.bincount(epochs.flatten(), minlength=24) / 2000
    assert (often - 6 / 24).abs().max() < 0.05
    first = torch.bincount(epochs[:, 0] // 8, minlength=3) / 2000
    assert (first - 1 / 3).abs().max() < 0.05


@pytest.mark.parametrize("evenly", [True, False])
def test_devices_share_out_the_windows_that_one_device_would_take(evenly):
    sampling = WindowSampling(torch.tensor([40, 5, 60]), 33, evenly)
    taken = []
    for processes in (1, 2, 4):
        samplers = [
            BatchSampler(33, 4, seed=5, epoch=7, rank=rank, processes=processes, sampling=sampling)
            for rank in range(processes)
        ]
        windows = [number for sampler in samplers for batch in sampler for number in batch]
        assert len(set(windows)) == len(windows) == 33
        taken.append(sorted(windows))
    assert taken[0] == taken[1] == taken[2]


def module(**arguments):
    raw, folds = panel(a=(0, 80), b=(20, 80)), {"splits": 2, "fold": 2, "test_size": 10, "validation": "tail"}
    data = Series(raw, recipe={"series": "id"}, **folds, **arguments)
    data.setup("fit")
    return data


def taken(data, epoch):
    """The series and rows of the windows of an epoch."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [pair for batch in loader for pair in zip(batch.series.tolist(), batch.index[:, 0].tolist(), strict=True)]


def test_an_epoch_of_a_data_module_holds_so_many_windows_and_another_epoch_others():
    data = module(windows_per_epoch=10, window_sampling="evenly", batch_size=4)
    assert len(data.train_dataloader()) == 3
    first, second = taken(data, 0), taken(data, 1)
    assert len(set(first)) == len(first) == 10
    assert [series for series, _ in first].count(0) == 5
    assert set(first) != set(second)
    again = module(windows_per_epoch=10, window_sampling="evenly", batch_size=4)
    assert taken(again, 1) == second


def test_a_stride_leaves_out_windows_before_they_are_drawn():
    rows = {row for epoch in range(20) for _, row in taken(module(windows_per_epoch=5, stride=3), epoch)}
    every = {row for _, row in taken(module(stride=3), 0)}
    assert rows <= every


def test_more_windows_than_there_are_is_all_of_them():
    assert sorted(taken(module(windows_per_epoch=10_000), 0)) == sorted(taken(module(), 0))


def test_validation_takes_every_window():
    assert len(module(windows_per_epoch=2).val_dataloader()) == len(module().val_dataloader())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"windows_per_epoch": 0}, "windows_per_epoch must be a whole number, 1 or more, got 0"),
        ({"windows_per_epoch": 5, "passes": 2}, "passes: 2 repeats it: set one of them"),
        ({"window_sampling": "evenly"}, "set windows_per_epoch too"),
        ({"windows_per_epoch": 5, "window_sampling": "randomly"}, "must be one of evenly, by_length, got 'randomly'"),
    ],
)
def test_settings_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        module(**arguments)
