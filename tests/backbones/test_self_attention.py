import numpy as np
import pytest
import torch
from torch import nn

from forecastlab.backbones.self_attention import SelfAttention

BATCH, TIME, WIDTH, HIDDEN, HEADS = 3, 8, 4, 6, 2


def sequence(width=WIDTH):
    return torch.randn(BATCH, TIME, width, dtype=torch.float64)


def torchs(layer, x):
    """torch.nn.MultiheadAttention with a causal mask and the layer's weights: output and weights per head."""
    twin = nn.MultiheadAttention(HIDDEN, HEADS, batch_first=True).double().eval()
    parameters = {name: value for name, value in layer.state_dict().items() if not name.startswith("embedding")}
    twin.load_state_dict(parameters)
    hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    return twin(x, x, x, attn_mask=hidden, need_weights=True, average_attn_weights=False)


def positions(time):
    """Vaswani's table, number by number."""
    return np.array(
        [
            [(np.cos if c % 2 else np.sin)(t / 10000 ** (2 * (c // 2) / HIDDEN)) for c in range(HIDDEN)]
            for t in range(time)
        ]
    )


def test_equals_torchs_multihead_attention_by_weight_copy():
    model = SelfAttention(HIDDEN, HIDDEN, num_layers=2, num_heads=HEADS, positional_encoding="none").double()
    nn.init.normal_(model.layers[0].in_proj_bias)
    x = sequence(HIDDEN)
    below, weights = torchs(model.layers[0], x)
    torch.testing.assert_close(model(x)[0], torchs(model.layers[1], below)[0], rtol=0, atol=1e-13)
    torch.testing.assert_close(model.trace(x)["layers.0.attention"].transpose(1, 2), weights, rtol=0, atol=1e-13)


def test_encoding_is_added_to_the_embedded_input():
    model, x = SelfAttention(WIDTH, HIDDEN, num_heads=HEADS).double(), sequence()
    embedded = x @ model.layers[0].embedding.weight.T + model.layers[0].embedding.bias
    expected = torchs(model.layers[0], embedded + torch.from_numpy(positions(TIME)))[0]
    torch.testing.assert_close(model(x)[0], expected, rtol=0, atol=1e-13)


def test_continued_sequence_keeps_counting_positions():
    model, x = SelfAttention(WIDTH, HIDDEN, num_heads=HEADS).double(), sequence()
    state = model(x[:, :5])[1]
    torch.testing.assert_close(model(x[:, 5:], state)[0], model(x)[0][:, 5:], rtol=0, atol=1e-13)


def test_without_encoding_the_order_of_the_past_does_not_matter():
    x = sequence()
    shuffled = torch.cat([x[:, [2, 0, 1]], x[:, 3:]], 1)
    for encoding, same in (("none", True), ("sinusoidal", False)):
        model = SelfAttention(WIDTH, HIDDEN, num_heads=HEADS, positional_encoding=encoding).double()
        assert torch.allclose(model(shuffled)[0][:, -1], model(x)[0][:, -1], rtol=0, atol=1e-12) == same


def test_heads_that_do_not_divide_the_width_raise():
    with pytest.raises(ValueError, match="hidden_size must be a multiple of num_heads, got 6 and 4"):
        SelfAttention(WIDTH, 6, num_heads=4)
