"""Numbers in runs, against the same numbers laid out."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from forecastlab.data.runs import Runs

RUNS = st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 6)), min_size=1, max_size=6)


def laid_out(runs, step):
    return torch.cat([first + step * torch.arange(count) for first, count in runs])


def of(runs, step):
    first, counts = torch.tensor(runs).unbind(1)
    return Runs(first, step, counts)


@given(runs=RUNS, step=st.integers(0, 4), data=st.data())
def test_numbers_are_found_at_any_places_in_any_order(runs, step, data):
    expected, found = laid_out(runs, step), of(runs, step)
    assert len(found) == len(expected)
    places = torch.tensor(data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=9)), dtype=torch.int64)
    assert found[places].equal(expected[places])
    assert found[places[:, None]].equal(expected[places][:, None])


@given(runs=RUNS, step=st.integers(0, 4), data=st.data())
def test_what_is_kept_of_runs_is_the_numbers_that_were_chosen_in_as_few_runs_as_there_can_be(runs, step, data):
    expected, found = laid_out(runs, step), of(runs, step)
    kept = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(expected), max_size=len(expected))))
    part = found.where(kept)
    assert part[torch.arange(len(part))].equal(expected[kept])
    run = torch.repeat_interleave(torch.arange(len(runs)), torch.tensor([count for _, count in runs]))
    goes_on = kept[1:] & kept[:-1] & (run[1:] == run[:-1])
    assert len(part.first) == int(kept.sum()) - int(goes_on.sum())


def test_without_runs_there_are_no_numbers():
    none = torch.zeros(0, dtype=torch.int64)
    assert len(Runs(none, 1, none)) == 0
