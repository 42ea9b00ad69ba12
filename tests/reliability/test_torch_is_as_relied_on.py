"""What is relied on of torch without its promising it: an upgrade that changes it fails here."""

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from forecastlab.adapters.torch import FollowsDevicesOnly, event_writer, is_traced, is_transformed, scan, writes


def test_torch_says_whether_it_traces_or_transforms():
    def transformed(x):
        found.append(is_transformed())
        return x

    found = []
    torch.func.vmap(transformed)(torch.zeros(2))
    assert found == [True]
    assert not is_transformed()
    assert not is_traced()


def test_torch_counts_writes_to_a_tensor_also_through_a_view():
    x = torch.ones(3)
    before = writes(x)
    x[1:].mul_(2)
    assert writes(x) == before + 1


def test_a_module_that_follows_devices_only_keeps_its_precision():
    class Scale(FollowsDevicesOnly):
        def __init__(self):
            super().__init__()
            self.register_buffer("unit", torch.ones(1, dtype=torch.float64))

    network = nn.Sequential(nn.Linear(1, 1), Scale())
    assert network.half()[1].unit.dtype == torch.float64
    assert network[0].weight.dtype == torch.float16
    assert network.to("meta")[1].unit.device.type == "meta"


def test_a_scan_carries_the_state_from_step_to_step():
    last, outputs = scan(lambda state, x: (state + x, state * x), torch.zeros(2), torch.ones(3, 2))
    assert last.tolist() == [3, 3]
    assert outputs[:, 0].tolist() == [0, 1, 2]


def test_the_events_of_a_writer_can_be_written_after_it_was_closed(tmp_path):
    writer = SummaryWriter(tmp_path)
    writer.close()
    event_writer(writer).flush()
    writer.close()
