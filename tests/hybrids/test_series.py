from functools import partial

import pytest
import torch
from torch import nn

from forecastlab.backbones.alstm import ALSTM
from forecastlab.backbones.lstm import LSTM
from forecastlab.hybrids.series import Series


def torchs(backbone):
    twin = nn.LSTM(backbone.input_size, backbone.hidden_size, batch_first=True)
    twin.load_state_dict(backbone.rnn.state_dict())
    return twin


def test_default_is_van_diepens_combination_2():
    assert [type(branch) for branch in Series(3).branches] == [LSTM, ALSTM]


def test_later_branch_reads_the_inputs_next_to_the_output_of_the_one_before():
    model = Series(
        3, branches=[partial(LSTM, hidden_size=4), partial(LSTM, hidden_size=5), partial(LSTM, hidden_size=6)]
    )
    assert [branch.input_size for branch in model.branches] == [3, 7, 8]
    assert model.output_size == 6
    x = torch.randn(2, 6, 3)
    first, second, third = map(torchs, model.branches)
    y = first(x)[0]
    y = second(torch.cat([x, y], 2))[0]
    y = third(torch.cat([x, y], 2))[0]
    torch.testing.assert_close(model(x)[0], y)


def test_prediction_hands_on_one_learned_number():
    model = Series(3, branches=[partial(LSTM, hidden_size=4), partial(LSTM, hidden_size=5)], feed="prediction")
    assert [branch.input_size for branch in model.branches] == [3, 4]
    x = torch.randn(2, 6, 3)
    first, second = map(torchs, model.branches)
    (linear,) = model.predictions
    forecast = first(x)[0] @ linear.weight.T + linear.bias
    assert forecast.shape == (2, 6, 1)
    torch.testing.assert_close(model(x)[0], second(torch.cat([x, forecast], 2))[0])


def test_output_of_a_stack_is_another_model():
    model = Series(3, branches=[partial(LSTM, hidden_size=4), partial(LSTM, hidden_size=5)])
    x = torch.randn(2, 6, 3)
    first, second = map(torchs, model.branches)
    blind = second(torch.cat([torch.zeros_like(x), first(x)[0]], 2))[0]
    assert not torch.allclose(model(x)[0], blind)


def test_unknown_feed_raises():
    with pytest.raises(ValueError, match="feed must be 'hidden' or 'prediction', got 'both'"):
        Series(3, feed="both")
