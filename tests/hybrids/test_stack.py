from functools import partial

import pytest
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


def dropping(probability=0.5):
    torch.manual_seed(0)
    branches = [partial(LSTM, hidden_size=40), partial(GRU, hidden_size=6), partial(LSTM, hidden_size=5)]
    return Stack(3, branches=branches, dropout=probability).double().train()


def read_by(branch):
    """What a branch reads, call by call."""
    calls = []
    branch.register_forward_hook(lambda module, given, _: calls.append(given[0].detach()))
    return calls


def test_locked_dropout_drops_the_same_values_of_a_sequence_at_every_step():
    model, x = dropping(), torch.randn(7, 9, 3, dtype=torch.float64)
    read = read_by(model.branches[1])
    model(x)
    below = model.branches[0](x)[0]
    factor = read[0] / below
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))  # the same at all steps
    assert sorted(factor[:, 0].round(decimals=6).unique().tolist()) == [0.0, 2.0]
    assert 0.3 < (factor[:, 0] == 0).double().mean() < 0.7
    assert not torch.equal(factor[0], factor[1])  # other values in another sequence of the batch


def test_locked_dropout_stands_between_the_branches_alone_and_each_has_its_own_mask():
    model, x = dropping(), torch.randn(2, 4, 3, dtype=torch.float64)
    first, last = read_by(model.branches[0]), read_by(model.branches[2])
    y, _ = model(x)
    assert torch.equal(first[0], x)
    assert (last[0] == 0).any()
    torch.testing.assert_close(y, model.branches[2](last[0])[0])


def test_locked_dropout_is_off_after_training_and_repeats_by_seed():
    model, x = dropping(), torch.randn(2, 4, 3, dtype=torch.float64)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(model(x)[0])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    without = dropping(0.0)
    torch.testing.assert_close(model.eval()(x)[0], without(x)[0], rtol=0, atol=1e-14)
    state = model.initial_state(2)
    for t in range(4):
        y, state = model.step(x[:, t], state)
    torch.testing.assert_close(y, without(x)[0][:, -1])


@pytest.mark.parametrize("dropout", [1.0, -0.1])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    with pytest.raises(ValueError, match="dropout must be at least 0 and below 1"):
        Stack(3, dropout=dropout)
