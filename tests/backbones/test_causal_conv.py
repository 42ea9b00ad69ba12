import torch

from forecastlab.backbones.causal_conv import CausalConv


def test_a_convolution_sees_its_last_inputs_only():
    conv, x = CausalConv(2, 4).double(), torch.zeros(1, 10, 2, dtype=torch.float64)
    quiet, _ = conv(x, conv.initial_state(1))
    x[0, 3] = 1
    loud, past = conv(x, conv.initial_state(1))
    assert (loud != quiet).any(2).squeeze(0).tolist() == [False] * 3 + [True] * 4 + [False] * 3
    torch.testing.assert_close((loud - quiet)[0, 3:7], conv.weight.T.flip(0))
    torch.testing.assert_close(past, x[:, -3:])
    torch.testing.assert_close(conv.initial_state(5), torch.zeros(5, 3, 2, dtype=torch.float64))
