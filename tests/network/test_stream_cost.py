"""What a row costs in a stream."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from forecastlab.decoders import AttentionPooling
from tests.frames import wide
from tests.network.streams import BACKBONES, DECODERS, network, rows_of


class Work(TorchDispatchMode):
    """Counts kernel calls and the numbers that they read."""

    def __init__(self):
        super().__init__()
        self.calls, self.numbers = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        self.numbers += sum(tensor.numel() for tensor in tensors(args))
        return func(*args, **(kwargs or {}))


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for item in value for tensor in tensors(item)] if isinstance(value, list | tuple) else []


def work_of(model, rows):
    """Kernel calls and numbers read for each row."""
    stream, found = model.stream(), []
    for row in rows:
        with Work() as work:
            stream.update(row)
        found.append((work.calls, work.numbers))
    return found, stream


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize(
    ("backbone", "decoder"), [("lstm", "linear"), ("gru", "linear"), ("slstm", "linear"), ("parallel", "plain")]
)
def test_a_row_costs_the_same_however_many_there_were(tmp_path, backbone, decoder, lookback):
    frame = wide(40)
    model = network(tmp_path, frame, BACKBONES[backbone], decoder=DECODERS[decoder], lookback=lookback)
    work, stream = work_of(model, rows_of(frame.iloc[:20]))
    assert len(set(work[6:])) == 1
    assert len(stream.kept.past) == (1 if lookback == "full" else 4)


def test_a_step_is_taken_from_the_kept_state_and_not_the_whole_past_again(tmp_path):
    frame = wide(30)
    model = network(tmp_path, frame, lookback="full")
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[1]))
    stream = model.stream()
    for row in rows_of(frame):
        stream.update(row)
    assert seen == [1] * 30


def test_attention_reads_the_whole_past_and_computes_it_once(tmp_path):
    frame = wide(40)
    model = network(tmp_path, frame, decoder=AttentionPooling, lookback="full")
    work, _ = work_of(model, rows_of(frame.iloc[:20]))
    calls, numbers = np.array(work).T
    assert len(set(calls[6:])) == 1
    growth = np.diff(numbers[6:])
    assert (growth > 0).all()
    assert len(set(growth)) == 1, "it grows with the past, not with its square"
