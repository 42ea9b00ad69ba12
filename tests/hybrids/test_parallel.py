from functools import partial

import torch
from torch import nn

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.parallel import Parallel


def test_default_is_van_diepens_combination_1():
    model = Parallel(3)
    assert [type(branch) for branch in model.branches] == [LSTM, ALSTM]
    assert [branch.input_size for branch in model.branches] == [3, 3]


def test_outputs_stand_side_by_side():
    torch.manual_seed(0)
    model = Parallel(3, branches=[partial(LSTM, hidden_size=4), partial(LSTM, hidden_size=5)])
    assert model.output_size == 9
    x = torch.randn(2, 6, 3)
    y = model(x)[0]
    for branch, part in zip(model.branches, y.split([4, 5], -1), strict=True):
        twin = nn.LSTM(3, branch.hidden_size, batch_first=True)
        twin.load_state_dict(branch.rnn.state_dict())
        torch.testing.assert_close(part, twin(x)[0])
