import math

import numpy as np
import pytest
import torch

from forecastlab.decoders.encoder_attention import EncoderAttention
from forecastlab.errors import ConfigError

BATCH, TIME, WIDTH = 2, 6, 4
SCORES = ["additive", "dot", "general", "scaled_dot"]


def build(score, query_size=WIDTH, **arguments):
    return EncoderAttention(WIDTH, query_size, score, **arguments).double()


def numpy_score(attention, s, h_i):
    weight = {name: parameter.detach().numpy() for name, parameter in attention.named_parameters()}
    if attention.score == "additive":
        return float(weight["energy.weight"][0] @ np.tanh(weight["query.weight"] @ s + weight["key.weight"] @ h_i))
    if attention.score == "general":
        return float(s @ weight["key.weight"] @ h_i)
    return float(s @ h_i) / (math.sqrt(len(h_i)) if attention.score == "scaled_dot" else 1)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("origins", [1, 3, TIME])
def test_contexts_and_weights_equal_the_equations_over_the_time_up_to_each_origin(score, origins):
    attention = build(score, 3 if score in ("additive", "general") else WIDTH)
    encoded = torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)
    s = torch.randn(BATCH * origins, 5, 3 if score in ("additive", "general") else WIDTH, dtype=torch.float64)
    contexts, weights = attention(s, attention.remember(encoded, origins, 5))
    assert contexts.shape == (BATCH * origins, 5, WIDTH)
    assert weights.shape == (BATCH * origins, 5, TIME)
    for b in range(BATCH):
        for o in range(origins):
            h = encoded[b, : TIME - origins + o + 1].numpy()
            for step in range(5):
                e = np.exp([numpy_score(attention, s[b * origins + o, step].numpy(), h_i) for h_i in h])
                found = weights[b * origins + o, step].detach().numpy()
                np.testing.assert_allclose(found[: len(h)], e / e.sum(), atol=1e-12)
                assert (found[len(h) :] == 0).all()
                context = contexts[b * origins + o, step].detach().numpy()
                np.testing.assert_allclose(context, e / e.sum() @ h, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("origins", [1, 3])
def test_queries_of_several_steps_at_once_equal_one_after_the_other(score, origins):
    attention = build(score)
    memory = attention.remember(torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64), origins, 5)
    s = torch.randn(BATCH * origins, 5, WIDTH, dtype=torch.float64)
    contexts, weights = attention(s, memory)
    for step in range(5):
        torch.testing.assert_close(attention(s[:, step], memory), (contexts[:, step], weights[:, step]))


@pytest.mark.parametrize("score", ["dot", "scaled_dot"])
def test_products_need_equal_widths(score):
    with pytest.raises(ValueError, match="hidden_size must be 4, got 5; attention 'general'"):
        build(score, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "cosine"}, "score must be one of additive, dot, general, scaled_dot"),
        ({"score": "additive", "attention_size": 0}, "attention_size must be a positive integer"),
        ({"score": "general", "attention_size": 8}, "attention_size belongs to the additive score"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_sizes_that_do_not_fit_in_memory_are_refused_with_the_number_of_bytes():
    encoded = torch.zeros(1, 5000, WIDTH)
    needed = 5000 * 5000 * 28 * 4
    with pytest.raises(ConfigError, match=f"5000 origins and 28 steps to 5000 rows would hold {needed} bytes") as error:
        build("general").remember(encoded, 5000, 28)
    assert isinstance(error.value, ValueError)
    assert "additive" not in str(error.value)


def test_the_additive_score_counts_its_hidden_layer_and_says_which_score_is_smaller():
    encoded = torch.zeros(1, 1500, WIDTH)
    attention = EncoderAttention(WIDTH, WIDTH, "additive", 300)
    with pytest.raises(ConfigError, match=rf"{1500 * 1500 * 300 * 4} bytes.*'none' or 'general'"):
        attention.remember(encoded, 1500, 1)
    assert attention.remember(encoded, 1, 28).keys.shape == (1, 1500, 300)
    with pytest.raises(ConfigError, match=f"{1500 * 1500 * 30 * 8 * 4} bytes"):
        EncoderAttention(WIDTH, WIDTH, "additive", 30).double().remember(encoded.double(), 1500, 4)
