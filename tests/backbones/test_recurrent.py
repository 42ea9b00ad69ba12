import pytest
import torch
from torch.nn.functional import dropout

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.lstm import LSTM
from forecastlab.backbones.rnn import RNN

WIDTH, HIDDEN = 4, 6


def layers_of(model):
    """One-layer networks of torch.nn with the weights of each layer."""
    twins = []
    for layer in range(model.num_layers):
        width = WIDTH if layer == 0 else HIDDEN
        twins.append(type(model.rnn)(width, HIDDEN, batch_first=True).double())
        weights = {name: value for name, value in model.rnn.state_dict().items() if name.endswith(f"l{layer}")}
        twins[-1].load_state_dict({f"{name[:-1]}0": value for name, value in weights.items()})
    return twins


@pytest.mark.parametrize("cls", [RNN, LSTM, GRU])
def test_own_loop_drops_what_a_layer_hands_to_the_next_and_nothing_else(cls):
    model = cls(WIDTH, HIDDEN, num_layers=2, dropout=0.4).double()
    model.native = False
    below, above = layers_of(model)
    x = torch.randn(3, 7, WIDTH, dtype=torch.float64)
    torch.manual_seed(1)
    y, _ = model(x)
    torch.manual_seed(1)
    handed = dropout(below(x)[0].contiguous(), 0.4)  # masks are drawn in the order of memory
    torch.testing.assert_close(y, above(handed)[0], rtol=0, atol=1e-13)
    model.eval()
    torch.testing.assert_close(model(x)[0], above(below(x)[0])[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("cls", [RNN, LSTM, GRU])
def test_single_layer_has_nothing_to_drop(cls):
    model = cls(WIDTH, HIDDEN, dropout=0.4).double()
    x = torch.randn(3, 7, WIDTH, dtype=torch.float64)
    outputs = []
    for model.native in (True, False):
        outputs.append(model(x)[0])
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cls", [RNN, LSTM, GRU])
@pytest.mark.parametrize("native", [True, False])
def test_state_is_contiguous_as_cuda_kernels_want_it(cls, native):
    model = cls(WIDTH, HIDDEN, num_layers=2)
    model.native = native
    state = model(torch.randn(3, 7, WIDTH))[1]
    for leaf in state if isinstance(state, tuple) else [state]:
        assert leaf.shape == (3, 2, HIDDEN)
        assert leaf.is_contiguous()


@pytest.mark.parametrize("cls", [RNN, LSTM, GRU])
def test_recurrent_dropout_leaves_the_way_from_layer_to_layer_alone(cls):
    model = cls(WIDTH, HIDDEN, num_layers=2, recurrent_dropout=0.5).double()
    with torch.no_grad():
        for layer in range(2):
            getattr(model.rnn, f"weight_hh_l{layer}").zero_()
    x = torch.randn(3, 7, WIDTH, dtype=torch.float64)
    dropped = model(x)[0]
    torch.testing.assert_close(dropped, model.eval()(x)[0], rtol=0, atol=1e-13)
