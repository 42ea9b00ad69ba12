import copy
import math

import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid
from torch import nn

from forecastlab.decoders import Seq2Seq, encoder_attention
from forecastlab.errors import ConfigError

BATCH, TIME, WIDTH, HORIZON, TARGETS, KNOWN, OUTPUTS = 3, 6, 4, 5, 2, 3, 3
ATTENTIONS = ["none", "additive", "dot", "general", "scaled_dot"]
ALWAYS_BY_STEPS = {"sampling": "linear", "floor": 1.0}  # the truth with probability 1, but through the loop


def build(known=KNOWN, outputs=OUTPUTS, horizon=HORIZON, **arguments):
    return Seq2Seq(WIDTH, horizon, TARGETS, known, outputs, **arguments).double()


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def inputs(origins=1, known=KNOWN, horizon=HORIZON, time=TIME):
    """Encoding, known covariates, last values, and the truth."""
    return (
        randn(BATCH, time, WIDTH),
        randn(BATCH, origins, horizon, known),
        randn(BATCH, origins, TARGETS),
        randn(BATCH, origins, horizon, TARGETS),
    )


def array(tensor):
    return tensor.detach().numpy()


def middle(raw):
    return raw[..., 1]


class Weights(nn.Module):
    """A loss whose point forecast is a weighted mean of the outputs, with weights that move with it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))

    def point(self, raw):
        return raw @ self.weights


class Reference:
    """The equations of the docstrings in NumPy, for one origin."""

    def __init__(self, net, arguments):
        self.weight = {name: array(value) for name, value in net.state_dict().items()}
        self.cell = arguments.get("cell", "lstm")
        self.layers = arguments.get("num_layers", 1)
        self.attention = arguments.get("attention", "general")
        self.feeds_vectors = arguments.get("input_feeding", False)

    def linear(self, name, x):
        return self.weight[f"{name}.weight"] @ x + self.weight.get(f"{name}.bias", 0)

    def start(self, h_origin):
        states = np.tanh(self.linear("bridge", h_origin)).reshape(
            -1, self.layers, self.weight["rnn.weight_hh_l0"].shape[1]
        )
        return [[part[layer] for part in states] for layer in range(self.layers)]

    def step(self, x, state):
        after = []
        for layer, before in enumerate(state):
            w, u, b, d = (
                self.weight[f"rnn.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = before[0]
            if self.cell == "lstm":
                i, f, g, o = np.split(w @ x + b + u @ h + d, 4)
                c = sigmoid(f) * before[1] + sigmoid(i) * np.tanh(g)
                after.append([sigmoid(o) * np.tanh(c), c])
            else:
                x_r, x_z, x_n = np.split(w @ x + b, 3)
                h_r, h_z, h_n = np.split(u @ h + d, 3)
                z = sigmoid(x_z + h_z)
                after.append([(1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h])
            x = after[-1][0]
        return after

    def score(self, s, h_i):
        if self.attention == "additive":
            hidden = np.tanh(self.linear("attention.query", s) + self.linear("attention.key", h_i))
            return self.linear("attention.energy", hidden)[0]
        if self.attention == "general":
            return s @ self.linear("attention.key", h_i)
        return s @ h_i / (math.sqrt(len(h_i)) if self.attention == "scaled_dot" else 1)

    def context(self, s, h):
        e = np.exp([self.score(s, h_i) for h_i in h])
        return e / e.sum() @ h, e / e.sum()

    def __call__(self, h, known, last, point, truth=None, fed=None):
        """h (time up to the origin, width), known (horizon, known), last (targets,) -> outputs, attention weights."""
        state, previous, forecasts, weights = self.start(h[-1]), last, [], []
        vector = np.zeros(self.weight["rnn.weight_hh_l0"].shape[1])
        for t, known_t in enumerate(known):
            x = np.concatenate([previous, known_t])
            if self.attention == "additive":
                context, alpha = self.context(state[-1][0], h)
                x = np.concatenate([x, context])
            if self.feeds_vectors:
                x = np.concatenate([x, vector])
            state = self.step(x, state)
            s = state[-1][0]
            if self.attention not in ("none", "additive"):
                context, alpha = self.context(s, h)
                s = np.tanh(self.linear("combine", np.concatenate([context, s])))
                vector = s
            y = self.linear("output", np.concatenate([s, known_t])).reshape(TARGETS, -1)
            previous = truth[t] if fed is not None and fed[t] else point(y)
            forecasts.append(y)
            weights.append(None if self.attention == "none" else alpha)
        return np.stack(forecasts), weights


def assert_equals_the_equations(net, arguments, given, fed=None):
    """Compares all origins; `fed` (batch * origins, horizon) says where the truth is fed."""
    y, reference = net(*given), Reference(net, arguments)
    encoded, known, last, truth = (array(tensor) for tensor in given)
    origins = known.shape[1]
    assert y.shape == (BATCH, origins, HORIZON, TARGETS, OUTPUTS)
    for b in range(BATCH):
        for o in range(origins):
            h = encoded[b, : TIME - origins + o + 1]
            now = None if fed is None else fed[b * origins + o]
            expected, _ = reference(h, known[b, o], last[b, o], lambda raw: raw[:, 1], truth[b, o], now)
            np.testing.assert_allclose(array(y[b, o]), expected, atol=1e-12)


VARIANTS = [
    *({"attention": attention, "cell": cell} for attention in ATTENTIONS for cell in ("lstm", "gru")),
    {"attention": "none", "num_layers": 2, "hidden_size": 3},
    {"attention": "additive", "num_layers": 2, "hidden_size": 3, "attention_size": 5},
    {"attention": "general", "num_layers": 3, "hidden_size": 3, "cell": "gru"},
    {"attention": "general", "num_layers": 2, "hidden_size": 3, "input_feeding": True},
    {"attention": "dot", "cell": "gru", "input_feeding": True},
]
each_variant = pytest.mark.parametrize(
    "arguments", VARIANTS, ids=lambda arguments: "-".join(map(str, arguments.values()))
)


@each_variant
@pytest.mark.parametrize("origins", [1, 3])
def test_forecasts_fed_back_equal_the_equations(arguments, origins):
    net = build(**arguments).eval()
    net.point = middle
    assert_equals_the_equations(net, arguments, inputs(origins))


@each_variant
@pytest.mark.parametrize("origins", [1, 3])
def test_forecasts_fed_the_truth_equal_the_equations(arguments, origins):
    net = build(**arguments).train()
    assert_equals_the_equations(net, arguments, inputs(origins), np.ones((BATCH * origins, HORIZON), dtype=bool))


@each_variant
def test_forecasts_fed_the_truth_at_times_equal_the_equations(arguments):
    net = build(**arguments, teacher_forcing=0.5).train()
    net.point = middle
    fed = torch.rand(BATCH * 2, HORIZON) < 0.5
    assert 0 < fed[:, :-1].double().mean() < 1
    net.sampling.forward = lambda sequences, steps: fed
    assert_equals_the_equations(net, arguments, inputs(2), fed.numpy())


@each_variant
@pytest.mark.parametrize("origins", [1, 3])
def test_all_steps_at_once_equal_a_loop_fed_with_the_truth_and_so_do_their_gradients(arguments, origins):
    net, loop = build(**arguments).train(), build(**arguments, **ALWAYS_BY_STEPS).train()
    loop.load_state_dict(net.state_dict())
    given = inputs(origins)
    given[0].requires_grad_()
    y, by_steps = net(*given), loop(*given)
    torch.testing.assert_close(y, by_steps, rtol=0, atol=1e-12)
    projection = torch.randn_like(y)
    torch.testing.assert_close(
        torch.autograd.grad(y, [given[0], *net.parameters()], projection),
        torch.autograd.grad(by_steps, [given[0], *loop.parameters()], projection),
        rtol=0,
        atol=1e-12,
    )


@each_variant
def test_what_is_fed_back_is_as_if_it_were_the_truth(arguments):
    net, (encoded, known, last, _) = build(**arguments).eval(), inputs(2)
    net.point = middle
    y = net(encoded, known, last)
    torch.testing.assert_close(net.train()(encoded, known, last, middle(y)), y)


@each_variant
def test_evaluation_never_reads_the_truth_and_training_without_it_feeds_back(arguments):
    net, (encoded, known, last, target) = build(**arguments).eval(), inputs(2)
    expected = net(encoded, known, last)
    assert torch.equal(net(encoded, known, last, target * torch.nan), expected)
    assert torch.equal(net.train()(encoded, known, last), expected)


def test_without_teacher_forcing_training_feeds_back_too():
    net, (encoded, known, last, target) = build(teacher_forcing=0.0).train(), inputs()
    expected = net(encoded, known, last)
    assert torch.equal(net(encoded, known, last, target), expected)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_several_outputs_are_fed_back_as_the_point_that_the_loss_makes_of_them(attention):
    net, loss, (encoded, known, last, _) = build(attention=attention).eval(), Weights(), inputs()
    net.point = loss.point
    y = net(encoded, known, last)
    mean = 0.2 * y[..., 0] + 0.5 * y[..., 1] + 0.3 * y[..., 2]
    torch.testing.assert_close(net.train()(encoded, known, last, mean), y)
    assert not torch.allclose(net(encoded, known, last, y[..., 0]), y)


def test_the_gradient_flows_through_forecasts_that_are_fed_back():
    net, (encoded, known, last, _) = build(attention="none").eval(), inputs()
    last.requires_grad_()
    (by_feeding,) = torch.autograd.grad(net(encoded, known, last)[:, :, -1].sum(), last)

    def final(values):
        return net(encoded, known, values)[:, :, -1].sum()

    step = 1e-6 * torch.ones_like(last)
    slope = (final(last + step) - final(last - step)) / 2e-6
    assert by_feeding.sum().item() == pytest.approx(slope.item(), rel=1e-6)
    assert by_feeding.abs().min() > 0


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("training", [True, False])
def test_known_covariates_of_a_step_change_no_earlier_forecast(attention, training):
    net, (encoded, known, last, target) = build(attention=attention).train(training), inputs(2)
    changed = known.clone()
    changed[:, :, 3:] += 1
    y, y_changed = net(encoded, known, last, target), net(encoded, changed, last, target)
    assert torch.equal(y_changed[:, :, :3], y[:, :, :3])
    assert not torch.isclose(y_changed[:, :, 3:], y[:, :, 3:]).any()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("steps", [{}, ALWAYS_BY_STEPS])
def test_the_truth_of_a_step_changes_later_forecasts_only(attention, steps):
    net, (encoded, known, last, target) = build(attention=attention, **steps).train(), inputs(2)
    changed = target.clone()
    changed[:, :, 2] += 1
    y, y_changed = net(encoded, known, last, target), net(encoded, known, last, changed)
    assert torch.equal(y_changed[:, :, :3], y[:, :, :3])
    assert not torch.isclose(y_changed[:, :, 3:], y[:, :, 3:]).any()


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_history_is_read_through_attention_or_at_the_origin_alone(attention):
    net, (encoded, known, last, _) = build(attention=attention).eval(), inputs(2)
    encoded.requires_grad_()
    net(encoded, known, last)[0, 0].sum().backward()
    reached = (encoded.grad.abs().sum(-1) > 0).nonzero().tolist()
    assert reached == [[0, t] for t in ([TIME - 2] if attention == "none" else range(TIME - 1))]


@each_variant
def test_traced_weights_are_those_of_the_forecast(arguments):
    net, given = build(**arguments).eval(), inputs(2)
    net.point = middle
    signals = net.trace(*given[:3])
    if arguments["attention"] == "none":
        assert signals == {}
        return
    reference = Reference(net, arguments)
    encoded, known, last, _ = (array(tensor) for tensor in given)
    for b in range(BATCH):
        for o in range(2):
            end = TIME - 1 + o
            _, weights = reference(encoded[b, :end], known[b, o], last[b, o], lambda raw: raw[:, 1])
            found = array(signals["attention"][b, o])
            np.testing.assert_allclose(found[:, :end], np.stack(weights), atol=1e-12)
            assert (found[:, end:] == 0).all()


@pytest.mark.parametrize("attention", ["additive", "general"])
@pytest.mark.parametrize("training", [True, False])
def test_the_history_is_projected_once_and_not_at_every_step(attention, training):
    net, given = build(attention=attention).train(training), inputs()
    calls = []
    net.attention.key.register_forward_hook(lambda *_: calls.append(1))
    net(*given)
    assert len(calls) == 1


def test_input_feeding_feeds_the_attentional_vector_and_neither_the_state_nor_the_context():
    arguments = {"attention": "general", "input_feeding": True}
    net, given = build(**arguments).eval(), inputs()
    net.point = middle
    encoded = array(given[0])
    fed = []
    step = net._step
    net._step = lambda x, vector, layers, attend: fed.append((vector, layers)) or step(x, vector, layers, attend)
    net(*given[:3])
    assert (fed[0][0] == 0).all()
    reference = Reference(net, arguments)
    for b in range(BATCH):
        s = array(fed[1][1][-1][0][b])  # the state after the first step
        context, _ = reference.context(s, encoded[b])
        vector = np.tanh(reference.linear("combine", np.concatenate([context, s])))
        np.testing.assert_allclose(array(fed[1][0][b]), vector, atol=1e-12)
        assert not np.isclose(vector, s).any()
        assert not np.isclose(vector, context).any()


def test_training_steps_are_counted_saved_and_counted_on():
    net, given = build(sampling="exponential", k=0.5).train(), inputs()
    for _ in range(3):
        net(*given)
    net.eval()(*given)
    net.train()(*given[:3])
    net.trace(*given[:3])
    assert net.sampling.step == 3
    resumed = build(sampling="exponential", k=0.5).train()
    resumed.load_state_dict(net.state_dict())
    torch.manual_seed(1)
    expected = [net(*given) for _ in range(3)]
    torch.manual_seed(1)
    for y in expected:
        assert torch.equal(resumed(*given), y)
    assert resumed.sampling.step == net.sampling.step == 6
    assert resumed.sampling.probability() == 0.5**6


def test_sampling_goes_from_the_truth_to_its_own_forecasts():
    net, given = build(sampling="linear", slope=1e-9).train(), inputs()
    forced = copy.deepcopy(net)
    forced.sampling.forward = lambda sequences, steps: None
    torch.testing.assert_close(net(*given), forced(*given))
    net.sampling.step.fill_(2 * 10**9)
    torch.testing.assert_close(net(*given), net.eval()(*given))


def test_every_sequence_and_step_is_sampled_by_itself():
    net = build(teacher_forcing=0.5, attention="none").train()
    encoded, known, last, target = (tensor[:1].expand(400, *tensor.shape[1:]) for tensor in inputs())
    y = net(encoded, known, last, target)[:, 0, :, 0, 0]
    for step in range(1, HORIZON):  # as many different forecasts as there are ways to have fed the steps before
        values, counts = y[:, step].detach().round(decimals=9).unique(return_counts=True)
        assert len(values) == 2**step
        assert counts.sum() == 400
        assert counts.min() > 0.4 * 400 / 2**step


def test_dropout_between_layers_acts_in_training_with_and_without_the_loop():
    given = inputs()
    for arguments in ({}, ALWAYS_BY_STEPS):
        net = build(num_layers=2, dropout=0.5, **arguments).train()
        assert not torch.equal(net(*given), net(*given))
        same = build(num_layers=2, **arguments)
        same.load_state_dict(net.state_dict())
        torch.testing.assert_close(net.eval()(*given), same.eval()(*given))


def test_widths_follow_the_arguments():
    net = build(num_layers=2)
    assert net.hidden_size == WIDTH
    assert net.rnn.input_size == TARGETS + KNOWN
    assert build(attention="additive").rnn.input_size == TARGETS + KNOWN + WIDTH
    assert build(attention="additive", hidden_size=7).attention.energy.weight.shape == (1, 7)
    assert build(attention="additive", attention_size=9).attention.energy.weight.shape == (1, 9)
    assert net.bridge.weight.shape == (2 * 2 * WIDTH, WIDTH)
    assert build(cell="gru", num_layers=2).bridge.weight.shape == (2 * WIDTH, WIDTH)


def test_sizes_that_do_not_fit_in_memory_are_refused_before_anything_is_computed():
    net = Seq2Seq(WIDTH, 1000, 1, 0, 1)
    encoded, known, last = torch.zeros(1, 900, WIDTH), torch.zeros(1, 900, 1000, 0), torch.zeros(1, 900, 1)
    needed = 900 * 1000 * 900 * 4
    with pytest.raises(ConfigError, match=rf"'general' of 1 sequences, 900 origins.* {needed} bytes"):
        net(encoded, known, last, torch.zeros(1, 900, 1000, 1))


@pytest.mark.parametrize("attention", ["general", "additive"])
def test_what_is_refused_in_training_passes_where_each_step_forgets_its_weights(attention, monkeypatch):
    net, (encoded, known, last, target) = build(attention=attention), inputs(3)
    one_step = BATCH * 3 * TIME * 8 * (WIDTH if attention == "additive" else 1)
    monkeypatch.setattr(encoder_attention, "_LIMIT", one_step)
    with pytest.raises(ConfigError, match=f"{HORIZON * one_step} bytes"):
        net(encoded, known, last, target)
    with torch.no_grad():
        assert net.eval()(encoded, known, last).isfinite().all()
        with pytest.raises(ConfigError, match=f"{HORIZON * one_step} bytes"):
            net.trace(encoded, known, last)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "rnn"}, "cell must be 'lstm' or 'gru'"),
        ({"attention": "cosine"}, "attention must be one of none, additive, dot, general, scaled_dot"),
        ({"attention": "none", "attention_size": 4}, "attention_size belongs to the additive score"),
        ({"attention": "dot", "attention_size": 4}, "attention_size belongs to the additive score"),
        ({"attention": "dot", "hidden_size": 5}, "hidden_size must be 4, got 5"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer"),
        ({"num_layers": 0}, "num_layers must be a positive integer"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"k": 0.5}, "k belongs to exponential"),
        ({"initial_state": "zeros"}, "initial_state must be 'bridge' or 'encoder', got 'zeros'"),
        ({"attention": "none", "input_feeding": True}, "input_feeding belongs to the attentional vector"),
        ({"attention": "additive", "input_feeding": True}, "input_feeding belongs to the attentional vector"),
        ({"sampling": "cosine"}, "sampling must be none"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
