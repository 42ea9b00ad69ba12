import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid
from torch import nn

from forecastlab.backbones import conv_lstm
from forecastlab.backbones.conv_lstm import ConvLSTM
from tests.backbones.states import in_pieces, unrolled

BATCH, TIME = 2, 5
GRIDS = [((5,), 2, 3), ((5,), 1, 5), ((3, 4), 2, 3), ((3, 4), 1, 1)]  # grid, input channels, kernel size


def build(grid, channels, kernel_size, **arguments):
    net = ConvLSTM(int(np.prod(grid)) * channels, 3, grid=grid, kernel_size=kernel_size, **arguments).double()
    with torch.no_grad():
        for layer in net.layers:
            if layer.peephole is not None:
                layer.peephole.normal_()  # they start at 0
    return net


def inputs(net, time=TIME):
    return torch.randn(BATCH, time, net.input_size, dtype=torch.float64)


def correlate(image, kernel):
    """(channels, rows, columns) and (out, channels, height, width) -> (out, rows, columns), zeros beyond the edges."""
    _, rows, columns = image.shape
    out, _, height, width = kernel.shape
    result = np.zeros((out, rows, columns))
    for r in range(rows):
        for q in range(columns):
            for a in range(height):
                for b in range(width):
                    y, x = r + a - height // 2, q + b - width // 2
                    if 0 <= y < rows and 0 <= x < columns:
                        result[:, r, q] += kernel[:, :, a, b] @ image[:, y, x]
    return result


def numpy_convlstm(layer, images, output_gate_sees="new", mask=1.0):
    """The equations for one sequence of images (time, channels, rows, columns) -> H of all steps, likewise."""
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    flat = images.ndim == 3  # a line is one row of cells
    wx, wh = (p[name][:, :, None] if flat else p[name] for name in ("weight_ih", "weight_hh"))
    images = images[:, :, None] if flat else images
    size = layer.hidden_channels
    peephole = p.get("peephole", np.zeros((3, size, *layer.grid))).reshape(3, size, *images.shape[2:])
    b = p["bias"][:, None, None]
    h = c = np.zeros((size, *images.shape[2:]))
    outputs = []
    for x in images:
        z = correlate(x, wx) + correlate(h * mask, wh) + b
        zi, zf, zg, zo = (z[k * size : (k + 1) * size] for k in range(4))
        i = sigmoid(zi + peephole[0] * c)
        f = sigmoid(zf + peephole[1] * c)
        before, c = c, f * c + i * np.tanh(zg)
        o = sigmoid(zo + peephole[2] * (c if output_gate_sees == "new" else before))
        h = o * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs)[:, :, 0] if flat else np.stack(outputs)


@pytest.mark.parametrize(("grid", "channels", "kernel_size"), GRIDS)
@pytest.mark.parametrize("peephole", [True, False])
def test_equals_the_equations_on_a_line_and_on_a_map(grid, channels, kernel_size, peephole):
    net = build(grid, channels, kernel_size, peephole=peephole)
    x = inputs(net)
    for row, y in zip(x.numpy(), net(x)[0].detach().numpy(), strict=True):
        expected = numpy_convlstm(net.layers[0], row.reshape(TIME, channels, *grid))
        np.testing.assert_allclose(y, expected.reshape(TIME, -1), atol=1e-12)


def test_two_layers_equal_the_equations_twice():
    net = build((3, 2), 2, 3, num_layers=2)
    x = inputs(net)
    lower = numpy_convlstm(net.layers[0], x[0].numpy().reshape(TIME, 2, 3, 2))
    upper = numpy_convlstm(net.layers[1], lower)
    np.testing.assert_allclose(net(x)[0][0].detach().numpy(), upper.reshape(TIME, -1), atol=1e-12)


def test_the_output_gate_sees_the_new_cell_state_and_not_the_one_before():
    net = build((4,), 1, 3)
    x = inputs(net)
    wrong = numpy_convlstm(net.layers[0], x[0].numpy().reshape(TIME, 1, 4), output_gate_sees="old")
    assert np.abs(net(x)[0][0].detach().numpy() - wrong.reshape(TIME, -1)).max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_a_grid_of_one_cell_it_equals_torchs_lstm_by_weight_copy(dtype):
    net = build((1,), 6, 1, peephole=False, num_layers=2).to(dtype)
    twin = nn.LSTM(6, 3, num_layers=2, batch_first=True, dtype=dtype)
    with torch.no_grad():
        for number, layer in enumerate(net.layers):
            getattr(twin, f"weight_ih_l{number}").copy_(layer.weight_ih[:, :, 0])
            getattr(twin, f"weight_hh_l{number}").copy_(layer.weight_hh[:, :, 0])
            getattr(twin, f"bias_ih_l{number}").copy_(layer.bias)
            getattr(twin, f"bias_hh_l{number}").zero_()
    x = torch.randn(BATCH, TIME, 6, dtype=dtype)
    y, (h, c) = twin(x)
    ours, state = net(x)
    torch.testing.assert_close(ours, y)
    torch.testing.assert_close(state, tuple(zip(h, c, strict=True)))


def test_features_are_laid_out_channel_by_channel_and_row_by_row_and_spread_to_neighbours_only():
    rows, columns = 4, 5
    net = build((rows, columns), 2, 3)
    x = inputs(net, 2)
    other = x.clone()
    other[:, 0, (1 * rows + 2) * columns + 3] += 1  # channel 1, row 2, column 3
    changed = (net(x)[0] != net(other)[0]).any(0).view(2, 3, rows, columns)
    assert changed[0].all(0).nonzero().tolist() == [[r, q] for r in (1, 2, 3) for q in (2, 3, 4)]
    assert (changed[0].any(0) == changed[0].all(0)).all()
    assert changed[1].any(0).nonzero().tolist() == [[r, q] for r in (0, 1, 2, 3) for q in (1, 2, 3, 4)]


def test_a_step_reaches_no_earlier_one_since_nothing_is_convolved_over_time():
    net = build((4,), 1, 3)
    x = inputs(net)
    other = x.clone()
    other[:, 2] += 1
    assert (net(x)[0] != net(other)[0]).any(2).any(0).tolist() == [t >= 2 for t in range(TIME)]


@pytest.mark.parametrize("input_size", [1, 2, 7])
def test_without_a_grid_any_features_stand_on_a_line(input_size):
    net = ConvLSTM(input_size)
    assert net.output_size == 8 * input_size
    assert net(torch.randn(BATCH, TIME, input_size))[0].shape == (BATCH, TIME, 8 * input_size)


@pytest.mark.parametrize("grid", [(5,), (3, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sequence_in_pieces_and_step_by_step_equals_the_whole(grid, dtype):
    net = build(grid, 2, 3, num_layers=2).to(dtype)
    x = inputs(net).to(dtype)
    whole, end = net(x)
    pieces, state = in_pieces(net, x, [1, 3, 1], net.initial_state(BATCH))
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(state, end)
    steps, state = unrolled(net, x, net.initial_state(BATCH))
    torch.testing.assert_close(steps, whole)
    torch.testing.assert_close(state, end)


def test_recurrent_dropout_hides_the_same_elements_at_every_step_and_only_in_training(monkeypatch):
    masks = []
    draw = conv_lstm.dropout_mask
    monkeypatch.setattr(conv_lstm, "dropout_mask", lambda *arguments: masks.append(draw(*arguments)) or masks[-1])
    net = build((5,), 2, 3, recurrent_dropout=0.5)
    x = inputs(net)
    y = net(x)[0].detach().numpy()
    assert len(masks) == 1
    assert set(masks[0].unique().tolist()) == {0, 2}
    for row in range(BATCH):
        expected = numpy_convlstm(
            net.layers[0], x[row].numpy().reshape(TIME, 2, 5), mask=masks[0][row].numpy()[:, None]
        )
        np.testing.assert_allclose(y[row], expected.reshape(TIME, -1), atol=1e-12)
    net.eval()(x)
    assert masks[1] is None


def test_the_trace_gives_gates_and_states_that_obey_the_equations():
    net = build((5,), 2, 3, num_layers=2)
    x = inputs(net)
    signals = net.trace(x)
    names = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")
    assert set(signals) == {"output"} | {f"layers.{layer}.{name}" for layer in (0, 1) for name in names}
    torch.testing.assert_close(signals["output"], net(x)[0])
    i, f, g, o, c, h = (signals[f"layers.1.{name}"] for name in names)
    torch.testing.assert_close(c[:, 1:], f[:, 1:] * c[:, :-1] + i[:, 1:] * g[:, 1:])
    torch.testing.assert_close(h, o * torch.tanh(c))
    torch.testing.assert_close(h, signals["output"])


def test_a_gates_kernels_are_views_in_the_documented_order():
    net = build((5,), 2, 3, num_layers=2)
    with torch.no_grad():
        net.gate(1, "output").weight_hh.fill_(7)
    assert (net.layers[1].weight_hh == 7).all(2).all(1).nonzero().flatten().tolist() == [9, 10, 11]
    assert [net.gate(0, name).bias.data_ptr() for name in net.layers[0].gates] == [
        net.layers[0].bias[3 * k :].data_ptr() for k in range(4)
    ]
    with pytest.raises(ValueError, match="unknown gate 'cell'; ConvLSTMLayer has input, forget, candidate, output"):
        net.gate(0, "cell")
    with pytest.raises(ValueError, match="layer must be at least 0 and below 2, got 2"):
        net.gate(2, "input")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"kernel_size": 0}, "kernel_size must be a positive integer"),
        ({"hidden_channels": 0}, "hidden_channels must be a positive integer"),
        ({"num_layers": 0}, "num_layers must be a positive integer"),
        ({"grid": (5,)}, r"the 12 features do not fill a grid \(5,\) of 5 cells"),
        ({"grid": (24,)}, r"the 12 features do not fill a grid \(24,\) of 24 cells"),
        ({"grid": (2, 3, 2)}, r"grid must be \(length,\) or \(rows, columns\), got \(2, 3, 2\)"),
        ({"grid": ()}, r"grid must be \(length,\) or \(rows, columns\)"),
        ({"grid": (0, 3)}, "grid must be a positive integer"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout must be"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvLSTM(12, **arguments)
