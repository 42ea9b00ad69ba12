from functools import partial

import torch
from torch import nn

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.stack import Stack


def test_stack_of_one_layer_lstms_is_torchs_two_layer_lstm():
    torch.manual_seed(0)
    model = Stack(3, branches=[partial(LSTM, hidden_size=5)] * 2).double()
    twin = nn.LSTM(3, 5, 2, batch_first=True).double()
    for layer, branch in enumerate(model.branches):
        names = [name for name, _ in twin.named_parameters() if name.endswith(f"l{layer}")]
        branch.rnn.load_state_dict({f"{name[:-1]}0": twin.state_dict()[name] for name in names})
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    torch.testing.assert_close(model(x)[0], twin(x)[0], rtol=0, atol=1e-13)


def test_each_branch_reads_the_one_below():
    model = Stack(
        3, branches=[partial(GRU, hidden_size=4), partial(LSTM, hidden_size=6), partial(ALSTM, hidden_size=2)]
    )
    assert [branch.input_size for branch in model.branches] == [3, 4, 6]
    assert model.output_size == 2
    x = torch.randn(2, 5, 3)
    first, second, third = model.branches
    torch.testing.assert_close(model(x)[0], third(second(first(x)[0])[0])[0])
