import numpy as np
import pytest
import torch

from forecastlab.decoders import AttentionPooling

BATCH, TIME, WIDTH, HORIZON, TARGETS, KNOWN, OUTPUTS = 3, 7, 4, 5, 2, 3, 2
SCORES = ["additive", "linear"]


def build(**arguments):
    return AttentionPooling(WIDTH, HORIZON, TARGETS, KNOWN, OUTPUTS, **arguments).double()


def inputs(origins, time=TIME):
    """Encoding, known covariates and last values."""
    encoded = torch.randn(BATCH, time, WIDTH, dtype=torch.float64)
    known = torch.randn(BATCH, origins, HORIZON, KNOWN, dtype=torch.float64)
    return encoded, known, torch.randn(BATCH, origins, TARGETS, dtype=torch.float64)


def array(tensor):
    return tensor.detach().numpy()


def numpy_forecast(decoder, h, known):
    """The equations of the docstring for one origin: h (time up to it, width), known (horizon, known)."""
    read = h if decoder.hidden is None else np.tanh(h @ array(decoder.hidden.weight).T + array(decoder.hidden.bias))
    e = np.exp(read @ array(decoder.energy.weight)[0])
    context = (e[:, None] * h).sum(0) / e.sum()
    read = np.concatenate([context, known.flatten()])
    y = array(decoder.linear.weight) @ read + array(decoder.linear.bias)
    return y.reshape(HORIZON, TARGETS, OUTPUTS), e / e.sum()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("origins", [1, 3, TIME])
def test_forecasts_and_weights_equal_the_equations_over_the_time_up_to_each_origin(score, origins):
    decoder, given = build(score=score), inputs(origins)
    y, weights = decoder(*given), decoder.trace(*given)["attention"]
    encoded, known, _ = (array(tensor) for tensor in given)
    for b in range(BATCH):
        for o in range(origins):
            end = TIME - origins + o + 1
            expected, alpha = numpy_forecast(decoder, encoded[b, :end], known[b, o])
            np.testing.assert_allclose(array(y[b, o]), expected, atol=1e-12)
            np.testing.assert_allclose(array(weights[b, o, :end]), alpha, atol=1e-12)
            assert (weights[b, o, end:] == 0).all()


@pytest.mark.parametrize("score", SCORES)
def test_gradients_of_many_origins_equal_those_of_a_masked_softmax(score):
    decoder, (encoded, known, last) = build(score=score), inputs(300, 300)
    encoded.requires_grad_()
    wanted = [encoded, *decoder.parameters()]
    y = decoder(encoded, known, last)
    read = torch.tanh(decoder.hidden(encoded)) if score == "additive" else encoded
    e = decoder.energy(read).transpose(1, 2).expand(BATCH, 300, 300)
    weights = e.masked_fill(torch.ones(300, 300).triu(1).bool(), -torch.inf).softmax(-1)
    naive = decoder.linear(torch.cat([weights @ encoded, known.flatten(2)], -1)).view_as(y)
    torch.testing.assert_close(y, naive)
    projection = torch.randn_like(y)
    torch.testing.assert_close(
        torch.autograd.grad(y, wanted, projection), torch.autograd.grad(naive, wanted, projection)
    )


def test_scores_that_rise_and_fall_by_thousands_give_exact_weights():
    decoder = build(score="linear").float()
    with torch.no_grad():
        decoder.energy.weight.copy_(torch.tensor([[1000.0, 0, 0, 0]]))
        decoder.linear.weight.zero_()[0, 1] = 1
        decoder.linear.bias.zero_()
    encoded = torch.zeros(1, 5, WIDTH)
    encoded[0, :, 0] = torch.tensor([-3.0, -9.0, 2.0, 2.0, -50.0])  # scores -3000, -9000, 2000, 2000, -50000
    encoded[0, :, 1] = torch.tensor([1.0, 10.0, 100.0, 300.0, 5000.0])
    encoded.requires_grad_()
    y = decoder(encoded, torch.zeros(1, 5, HORIZON, KNOWN), torch.zeros(1, 5, TARGETS))
    assert y[0, :, 0, 0, 0].tolist() == [1, 1, 100, 200, 200]
    y.sum().backward()
    assert encoded.grad.isfinite().all()


def test_what_is_kept_for_the_backward_pass_grows_with_the_length_and_not_with_its_square():
    decoder, given = build(), inputs(600, 600)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()), lambda _: None):
        decoder(*given)
    assert max(kept) < 600 * 600


def test_neither_the_last_value_nor_the_truth_is_read():
    decoder, (encoded, known, last) = build(), inputs(2)
    nothing = torch.full((BATCH, 2, HORIZON, TARGETS), torch.nan)
    assert torch.equal(decoder(encoded, known, last * torch.nan, nothing), decoder(encoded, known, last))


def test_attention_size_is_the_width_of_the_additive_scores_hidden_layer():
    assert build(attention_size=9).hidden.weight.shape == (9, WIDTH)
    assert build().hidden.weight.shape == (WIDTH, WIDTH)
    assert build(score="linear").hidden is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "dot"}, "score must be 'additive' or 'linear'"),
        ({"attention_size": 0}, "attention_size must be a positive integer"),
        ({"score": "linear", "attention_size": 8}, "attention_size belongs to the additive score"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
