import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentParser
from scipy.stats import expon, norm
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    mean_squared_error,
)

from forecastlab.losses import (
    MAE,
    MAPE,
    MSE,
    GaussianNLL,
    Huber,
    ImplicitQuantile,
    JointMeanQuantile,
    Likelihood,
    Loss,
    Quantile,
    pinball,
)
from forecastlab.network.factory import build, describe, subclasses

SHAPE = (5, 4, 3, 2)
UNITS = torch.tensor(0.0), torch.tensor(1.0)
LEVELS = (0.1, 0.5, 0.8, 0.95)


def pinballs(target, raw, weight):
    return [mean_pinball_loss(target, raw[:, k], alpha=level, sample_weight=weight) for k, level in enumerate(LEVELS)]


def gaussian(target, raw, weight):
    columns = (torch.as_tensor(column) for column in (raw[:, 0], target, raw[:, 1] ** 2))
    return np.average(torch.nn.GaussianNLLLoss(reduction="none")(*columns).numpy(), weights=weight)


def huber(target, raw, weight, delta=0.7):
    size = np.abs(target - raw[:, 0])
    return np.average(np.where(size <= delta, size**2 / 2, delta * (size - delta / 2)), weights=weight)


def implicit():
    """A head with the same weights each time, in evaluation, where levels are not drawn."""
    torch.manual_seed(1)
    return ImplicitQuantile(LEVELS, features=3, frequencies=5, samples=5).eval()


def quantile_function(loss, raw, level):
    """Dabney et al. 2018, eq. 4, with the product added up; raw (values, outputs) -> (values,)."""
    weight, bias = (parameter.detach().double().numpy() for parameter in loss.embedding.parameters())
    cosines = np.array([np.cos(np.pi * i * level) for i in range(weight.shape[1])])
    return raw[:, 0] + raw[:, 1:] @ np.maximum(weight @ cosines + bias, 0)


def implicit_pinballs(target, raw, weight):
    levels = [0.1, 0.3, 0.5, 0.7, 0.9]
    quantiles = [quantile_function(implicit(), raw, level) for level in levels]
    pairs = zip(quantiles, levels, strict=True)
    return np.mean([mean_pinball_loss(target, q, alpha=level, sample_weight=weight) for q, level in pairs])


CASES: dict[str, tuple[Callable[[], Loss], Callable[..., float]]] = {
    "MSE": (MSE, lambda y, raw, w: mean_squared_error(y, raw[:, 0], sample_weight=w)),
    "MAE": (MAE, lambda y, raw, w: mean_absolute_error(y, raw[:, 0], sample_weight=w)),
    "Huber": (partial(Huber, delta=0.7), huber),
    "Quantile": (partial(Quantile, LEVELS), lambda y, raw, w: np.mean(pinballs(y, raw, w))),
    "JointMeanQuantile": (
        partial(JointMeanQuantile, LEVELS),
        lambda y, raw, w: mean_squared_error(y, raw[:, 0], sample_weight=w) + np.sum(pinballs(y, raw[:, 1:], w)),
    ),
    "GaussianNLL": (GaussianNLL, gaussian),
    "ImplicitQuantile": (implicit, implicit_pinballs),
}
"""Each loss in scaled units beside its reference: truth (values,), raw outputs (values, outputs), weights (values,)."""

every = pytest.mark.parametrize("name", [*CASES, "MAPE"])


def made(name):
    return MAPE() if name == "MAPE" else CASES[name][0]()


def drawn(loss):
    """Forecasts, targets, weights of 0 and 1, and units in which the target is far from 0."""
    torch.manual_seed(0)
    weight = (torch.rand(SHAPE) > 0.4).float()
    raw = loss.parameters_of(torch.randn(*SHAPE, loss.outputs))
    return raw, torch.randn(SHAPE), weight, 50 + torch.rand(5, 4, 1, 2), torch.tensor([2.0, 3])


def columns(*tensors):
    return [tensor.double().numpy().reshape(np.prod(SHAPE), -1) for tensor in tensors]


def expected(name, raw, target, weight, offset, scale):
    y, raw, w, offset, scale = columns(target, raw, weight, offset.expand(SHAPE), scale.expand(SHAPE))
    if name == "MAPE":
        return 100 * mean_absolute_percentage_error(
            (y * scale + offset)[:, 0], (raw * scale + offset)[:, 0], sample_weight=w[:, 0]
        )
    return CASES[name][1](y[:, 0], raw, w[:, 0])


# ---- all losses ----


@every
def test_a_loss_equals_its_reference_over_the_values_that_count(name):
    loss = made(name)
    arguments = drawn(loss)
    np.testing.assert_allclose(loss(*arguments).item(), expected(name, *arguments), rtol=2e-6)


@every
def test_fractional_weights_are_those_of_a_weighted_mean(name):
    loss = made(name)
    raw, target, weight, *units = drawn(loss)
    arguments = raw, target, weight * torch.rand(SHAPE), *units
    np.testing.assert_allclose(loss(*arguments).item(), expected(name, *arguments), rtol=2e-6)


@every
def test_a_value_has_a_gradient_in_every_output_if_and_only_if_it_has_weight(name):
    loss = made(name)
    raw, target, weight, *units = drawn(loss)
    raw.requires_grad_()
    loss(raw, target, weight, *units).backward()
    for output in range(loss.outputs):
        assert torch.equal(raw.grad[..., output] != 0, weight > 0)


@every
def test_the_loss_of_each_value_is_that_of_the_value_alone(name):
    loss = made(name)
    raw, target, _, offset, scale = drawn(loss)
    values = loss.elementwise(raw, target, offset, scale)
    assert values.shape == SHAPE
    one = torch.zeros(SHAPE)
    one[4, 1, 2, 0] = 1
    assert values[4, 1, 2, 0].item() == pytest.approx(expected(name, raw, target, one, offset, scale), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_in_scaled_units_does_not_ask_for_the_units(name):
    loss = made(name)
    raw, target, weight, offset, scale = drawn(loss)
    assert torch.equal(loss(raw, target, weight, offset, scale), loss(raw, target, weight, offset * 9, scale * 9))


@pytest.mark.parametrize(
    ("name", "outputs", "levels"),
    [
        ("MSE", 1, ()),
        ("MAE", 1, ()),
        ("MAPE", 1, ()),
        ("Huber", 1, ()),
        ("Quantile", 4, LEVELS),
        ("JointMeanQuantile", 5, LEVELS),
        ("GaussianNLL", 2, (0.05, 0.95)),
        ("ImplicitQuantile", 4, LEVELS),
    ],
)
def test_a_loss_says_how_many_outputs_it_needs_and_which_quantiles_it_gives(name, outputs, levels):
    loss = made(name)
    assert (loss.outputs, loss.levels) == (outputs, levels)
    raw = drawn(loss)[0]
    assert loss.point(raw).shape == SHAPE
    assert loss.quantiles(raw).shape == (*SHAPE, len(levels))


@pytest.mark.parametrize("name", ["MSE", "MAE", "MAPE", "Huber", "JointMeanQuantile", "GaussianNLL"])
def test_the_point_forecast_is_the_first_output(name):
    raw = drawn(made(name))[0]
    assert torch.equal(made(name).point(raw), raw[..., 0])


@every
def test_a_loss_adds_only_what_it_learns_to_a_checkpoint_and_follows_the_network_to_another_precision(name):
    loss = made(name).double()
    assert set(loss.state_dict()) == {name for name, _ in loss.named_parameters()}
    arguments = [argument.double() for argument in drawn(loss)]
    assert loss(*arguments).dtype == loss.quantiles(arguments[0]).dtype == torch.float64


def test_every_loss_has_a_reference_here_or_is_a_likelihood():
    ours = {name: cls for name, cls in subclasses(Loss).items() if cls.__module__.startswith("forecastlab.")}
    assert {name for name, cls in ours.items() if not issubclass(cls, Likelihood)} == {*CASES, "MAPE"} - {"GaussianNLL"}


# ---- what they are the loss of ----


def test_the_best_constant_is_the_mean_for_mse_and_the_median_for_mae():
    target = torch.tensor([0.0, 1.0, 2.0, 3.0, 100.0]).view(1, 5, 1, 1)
    for loss, best in ((MSE, 21.2), (MAE, 2.0)):
        candidates = torch.arange(0, 30, 0.1)
        values = [loss()(c.expand(1, 5, 1, 1, 1), target, torch.ones_like(target), *UNITS).item() for c in candidates]
        assert candidates[int(np.argmin(values))].item() == pytest.approx(best, abs=0.06)


def test_the_best_normal_distribution_has_the_mean_and_the_deviation_of_the_sample():
    sample = np.random.default_rng(0).normal(3, 2, 1000)
    loss = GaussianNLL((0.025, 0.975)).double()
    raw = torch.tensor([sample.mean(), sample.std()], dtype=torch.float64)
    raw = raw.view(1, 1, 1, 1, 2).requires_grad_()
    target = torch.as_tensor(sample).view(1, -1, 1, 1)
    loss(raw.expand(1, 1000, 1, 1, 2), target, torch.ones_like(target), *UNITS).backward()
    assert raw.grad.abs().max() < 1e-12
    bounds = sample.mean() + 1.959964 * sample.std() * np.array([-1, 1])
    np.testing.assert_allclose(loss.quantiles(raw.detach()).flatten(), bounds, rtol=1e-6)


def test_the_pinball_loss_of_each_level_is_least_at_the_quantile_of_the_sample():
    sample = np.random.default_rng(0).gamma(2, size=1001)
    candidates = torch.linspace(0, 10, 2001).double()
    losses = pinball(
        candidates[:, None, None].expand(-1, 1001, len(LEVELS)), torch.as_tensor(sample), torch.tensor(LEVELS).double()
    ).mean(1)
    np.testing.assert_allclose(candidates[losses.argmin(0)].numpy(), np.quantile(sample, LEVELS), atol=0.02)


def test_the_joint_loss_moves_the_mean_to_the_mean():
    raw = torch.zeros(1, 4, 1, 1, 4, requires_grad=True)
    target = torch.tensor([1.0, 2, 3, 6]).view(1, 4, 1, 1)
    (JointMeanQuantile()(raw + 3, target, torch.ones_like(target), *UNITS) * 4).backward()
    np.testing.assert_allclose(raw.grad[0, :, 0, 0, 0].numpy(), [4, 2, 0, -6])  # 2 (3 - y), which sums to 0


# ---- MAPE ----


def test_mape_does_not_depend_on_the_scaling_nor_on_the_anchor():
    torch.manual_seed(0)
    truth, forecast, last = 40 + 5 * torch.rand(3, *SHAPE)
    weight = torch.ones(SHAPE)
    found = [
        MAPE()((forecast[..., None] - offset[..., None]) / scale, (truth - offset) / scale, weight, offset, scale)
        for offset, scale in ((torch.zeros(SHAPE), torch.tensor(1.0)), (last, torch.tensor(7.0)))
    ]
    wanted = 100 * mean_absolute_percentage_error(truth.flatten(), forecast.flatten())
    assert [value.item() for value in found] == pytest.approx([wanted, wanted], rel=1e-5)


def test_a_truth_near_zero_counts_as_far_from_it_as_epsilon_scales():
    truth = torch.tensor([0.0, 0.1, -0.1, 4.0, -4.0]).view(1, 5, 1, 1)
    offset, scale = torch.tensor(10.0), torch.tensor(2.0)
    raw = ((truth + 1 - offset) / scale)[..., None]  # each is off by 1
    values = MAPE(epsilon=0.25).elementwise(raw, (truth - offset) / scale, offset, scale)
    np.testing.assert_allclose(values.flatten(), [200, 200, 200, 25, 25], rtol=1e-5)


# ---- quantiles ----


def test_quantiles_that_cross_are_sorted_when_they_are_reported():
    raw = torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    assert Quantile().quantiles(raw).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert Quantile().point(raw).tolist() == [2, 2]
    assert Quantile((0.5, 0.9, 0.99)).point(raw).tolist() == [1, 1]
    joint = torch.cat([torch.tensor([[7.0], [8.0]]), raw], -1)
    assert JointMeanQuantile().quantiles(joint).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert JointMeanQuantile().point(joint).tolist() == [7, 8]


def test_training_sees_the_quantiles_as_they_came():
    raw, target = torch.tensor([3.0, 1.0, 2.0]).view(1, 1, 1, 1, 3), torch.full((1, 1, 1, 1), 2.0)
    loss = Quantile()(raw, target, torch.ones_like(target), *UNITS).item()
    assert loss == pytest.approx((0.95 * 1 + 0.5 * 1 + 0.0) / 3)


@given(raw=st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4), truth=st.floats(-5, 5, width=32))
def test_sorting_is_never_worse(raw, truth):
    values = np.array([raw, Quantile(LEVELS).quantiles(torch.tensor(raw)).numpy()])
    before, after = (
        sum(mean_pinball_loss([truth], row[k : k + 1], alpha=level) for k, level in enumerate(LEVELS)) for row in values
    )
    assert after <= before + 1e-6


def test_the_quantiles_of_a_normal_distribution_are_scipys():
    loss = GaussianNLL(LEVELS, min_scale=0.01)
    raw = drawn(loss)[0]
    mean, deviation = raw[..., :1], raw[..., 1:].double()
    wanted = norm.ppf(np.array(LEVELS), mean, deviation)
    np.testing.assert_allclose(loss.quantiles(raw), wanted, rtol=1e-5, atol=1e-6)
    assert (loss.quantiles(raw).diff(dim=-1) > 0).all()


@pytest.mark.parametrize("output", [-1e4, -50.0, 1e4])
def test_an_extreme_scale_keeps_loss_and_gradient_finite(output):
    raw = torch.tensor([0.0, output]).view(1, 1, 1, 1, 2).requires_grad_()
    target = torch.full((1, 1, 1, 1), 3.0)
    gaussian = GaussianNLL()
    loss = gaussian(gaussian.parameters_of(raw), target, torch.ones_like(target), *UNITS)
    loss.backward()
    assert loss.isfinite()
    assert raw.grad.isfinite().all()


# ---- any quantile from one head ----


def test_training_draws_a_level_in_each_equal_part_from_the_generator_of_torch():
    loss = implicit().train()
    raw, target, _, *units = drawn(loss)
    torch.manual_seed(5)
    first, second = (loss.elementwise(raw, target, *units) for _ in range(2))
    torch.manual_seed(5)
    levels = (np.arange(5) + torch.rand(5, dtype=torch.float64).numpy()) / 5
    y, values = columns(target, raw)
    errors = [y[:, 0] - quantile_function(loss, values, level) for level in levels]
    wanted = np.mean([np.maximum(t * e, (t - 1) * e) for t, e in zip(levels, errors, strict=True)], 0)
    np.testing.assert_allclose(first.detach().flatten(), wanted, rtol=2e-5, atol=1e-6)
    assert not torch.equal(first, second)


def test_the_reported_quantiles_and_the_median_are_those_of_the_quantile_function_in_order():
    loss = ImplicitQuantile((0.1, 0.8, 0.95), features=3, frequencies=5)
    raw = drawn(loss)[0]
    (values,) = columns(raw)
    wanted = np.sort([quantile_function(loss, values, level) for level in (0.1, 0.5, 0.8, 0.95)], 0)
    np.testing.assert_allclose(loss.point(raw).detach().flatten(), wanted[1], rtol=1e-5, atol=1e-6)
    found = loss.quantiles(raw).detach().reshape(-1, 3)
    np.testing.assert_allclose(found, wanted[[0, 2, 3]].T, rtol=1e-5, atol=1e-6)


def test_an_implicit_forecast_is_exact_in_other_units_and_moved():
    loss = implicit().double()
    raw, unit, change = drawn(loss)[0].double(), 0.1 + torch.rand(SHAPE).double(), torch.randn(SHAPE).double()
    for told in (loss.point, lambda raw: loss.quantiles(raw)[..., -1]):
        torch.testing.assert_close(told(loss.times(raw, unit)), told(raw) * unit)
        torch.testing.assert_close(told(loss.shifted(raw, change)), told(raw) + change)


def test_one_head_learns_the_quantiles_of_exponential_noise_whose_scale_depends_on_the_input():
    loss = ImplicitQuantile(features=16, samples=16)
    decoder = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, loss.outputs))
    optimizer = torch.optim.Adam([*decoder.parameters(), *loss.parameters()], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200)
    for _ in range(1200):
        x = 2 * torch.rand(512, 1, 1, 1)
        y = x + (0.3 + x) * torch.empty_like(x).exponential_()
        optimizer.zero_grad()
        loss(decoder(x).unsqueeze(-2), y, torch.ones_like(y), *UNITS).backward()
        optimizer.step()
        schedule.step()
    x, levels = torch.tensor([0.3, 1.0, 1.7]).view(3, 1, 1, 1), torch.linspace(0.1, 0.9, 9).double()
    found = loss.quantiles_at(decoder(x).unsqueeze(-2), levels).detach().view(3, 9)
    wanted = expon.ppf(levels.numpy(), loc=x.view(3, 1), scale=0.3 + x.view(3, 1))
    assert (np.abs(found.numpy() - wanted) / (0.3 + x.view(3, 1).numpy())).max() < 0.15  # of the deviation


def test_the_score_of_an_implicit_forecast_is_twice_the_pinball_loss_of_all_levels():
    loss = implicit().double()
    raw, target = (part.double() for part in drawn(loss)[:2])
    y, values = columns(target, raw)
    levels = (np.arange(2000) + 0.5) / 2000
    error = y[:, 0] - np.sort([quantile_function(loss, values, level) for level in levels], 0)
    wanted = 2 * np.maximum(levels[:, None] * error, (levels[:, None] - 1) * error).mean(0)
    np.testing.assert_allclose(loss.crps(raw, target).detach().flatten(), wanted, rtol=5e-3, atol=1e-3)


# ---- arguments ----


@pytest.mark.parametrize("cls", [Quantile, JointMeanQuantile, GaussianNLL, ImplicitQuantile])
@pytest.mark.parametrize(
    "levels", [[], [0.5, 0.1], [0.5, 0.5], [0.0, 0.5], [0.5, 1.0], [0.5, float("nan")], [5, 50, 95], [-0.1, 0.5]]
)
def test_levels_that_are_no_ascending_probabilities_are_refused(cls, levels):
    with pytest.raises(ValueError, match=r"between 0 and 1, each once and in ascending order.* got \["):
        cls(levels)


def test_quantiles_without_a_median_have_no_point_forecast():
    with pytest.raises(ValueError, match=r"must include 0.5, .* got \[0.1, 0.9\]"):
        Quantile([0.1, 0.9])


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
@pytest.mark.parametrize(("cls", "name"), [(MAPE, "epsilon"), (Huber, "delta"), (GaussianNLL, "min_scale")])
def test_what_must_be_positive_is(cls, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive number, got {value}"):
        cls(**{name: value})


@pytest.mark.parametrize("name", ["features", "frequencies", "samples"])
def test_the_sizes_of_an_implicit_head_are_1_or_more(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got 0"):
        ImplicitQuantile(**{name: 0})


def model(loss: Callable[[], Loss] = MSE) -> Callable[[], Loss]:
    return loss


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--loss=MAPE", "--loss.epsilon=0.1"], {"epsilon": 0.1}),
        (["--loss=Huber", "--loss.delta=2"], {"delta": 2}),
        (["--loss=Quantile", "--loss.quantiles=[0.1, 0.5, 0.9]"], {"levels": (0.1, 0.5, 0.9), "outputs": 3}),
        (["--loss=Quantile"], {"levels": (0.05, 0.5, 0.95)}),
        (["--loss=JointMeanQuantile", "--loss.quantiles=[0.25]"], {"levels": (0.25,), "outputs": 2}),
        (["--loss=ImplicitQuantile", "--loss.features=4"], {"levels": (0.05, 0.5, 0.95), "outputs": 5}),
        (["--loss=GaussianNLL", "--loss.quantiles=[0.1, 0.9]", "--loss.min_scale=1"], {"levels": (0.1, 0.9)}),
    ],
)
def test_the_command_line_builds_every_loss_and_a_checkpoint_builds_it_again(arguments, wanted):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(model)
    described = describe(parser.instantiate(parser.parse_args(arguments)).loss)
    loss = build(json.loads(json.dumps(described)), Loss)
    assert {name: getattr(loss, name) for name in wanted} == wanted
    assert type(loss).__name__ == arguments[0].partition("=")[2]


def test_the_losses_of_older_checkpoints_are_found():
    for cls in (MSE, MAE):
        assert type(build({"class_path": f"forecastlab.losses.{cls.__name__}"}, Loss)) is cls
