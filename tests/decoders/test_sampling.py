import math

import pytest
import torch

from forecastlab.decoders.sampling import ScheduledSampling


def at(step, **arguments):
    """The probability of the truth after so many training steps."""
    sampling = ScheduledSampling(**arguments)
    sampling.step.fill_(step)
    return sampling.probability().item()


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.9), (1, 0.85), (10, 0.4), (13, 0.25), (14, 0.2), (15, 0.2), (10**9, 0.2)]
)
def test_linear_decay_falls_by_its_slope_to_its_floor(step, expected):
    assert at(step, sampling="linear", teacher_forcing=0.9, slope=0.05, floor=0.2) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("step", "expected"), [(0, 1), (1, 0.5), (2, 0.25), (5, 0.03125), (10**6, 0)])
def test_exponential_decay_is_a_power(step, expected):
    assert at(step, sampling="exponential", k=0.5) == pytest.approx(expected, rel=1e-6)
    assert at(step, sampling="exponential", k=0.5, teacher_forcing=0.8) == pytest.approx(0.8 * expected, rel=1e-6)


@pytest.mark.parametrize("step", [0, 1, 7, 20, 60, 1000])
def test_inverse_sigmoid_decay_equals_the_papers_formula(step):
    expected = 10 / (10 + math.exp(step / 10))
    assert at(step, sampling="inverse_sigmoid", k=10) == pytest.approx(expected, rel=1e-5)
    assert at(step, sampling="inverse_sigmoid", k=10, teacher_forcing=0.5) == pytest.approx(expected / 2, rel=1e-5)


def test_inverse_sigmoid_decay_ends_at_zero_and_not_in_an_overflow():
    assert at(10**7, sampling="inverse_sigmoid", k=1) == 0


def test_without_decay_the_probability_stays():
    assert at(0, teacher_forcing=0.25) == at(10**6, teacher_forcing=0.25) == 0.25


@pytest.mark.parametrize("sampling", ["linear", "exponential", "inverse_sigmoid"])
def test_default_decays_are_at_one_half_after_about_seven_hundred_steps(sampling):
    assert at(0, sampling=sampling) > 0.99
    assert at(715, sampling=sampling) == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    "arguments",
    [
        {"teacher_forcing": 0.3},
        {"sampling": "linear", "slope": 0.1},
        {"sampling": "exponential", "k": 0.8},
        {"sampling": "inverse_sigmoid", "k": 3},
    ],
)
def test_the_truth_is_drawn_as_often_as_its_probability_says(arguments):
    sampling, count = ScheduledSampling(**arguments), 40_000
    for _ in range(6):
        probability = sampling.probability().item()
        fed = sampling(count // 8, 8)
        assert fed.shape == (count // 8, 8)
        tolerance = 4 * math.sqrt(probability * (1 - probability) / count)
        assert fed.double().mean().item() == pytest.approx(probability, abs=tolerance + 1e-9)


def test_every_sequence_and_every_step_has_a_draw_of_its_own():
    fed = ScheduledSampling(teacher_forcing=0.5)(4000, 8).double()
    correlation = torch.corrcoef(fed.T) - torch.eye(8)
    assert correlation.abs().max() < 0.1
    assert fed.mean(1).std().item() == pytest.approx(math.sqrt(0.25 / 8), rel=0.05)  # as of eight coins


def test_draws_come_from_the_global_generator():
    sampling = ScheduledSampling(teacher_forcing=0.5)
    torch.manual_seed(5)
    first = sampling(6, 7)
    torch.manual_seed(5)
    assert torch.equal(sampling(6, 7), first)
    assert not torch.equal(sampling(6, 7), first)


def test_full_teacher_forcing_draws_nothing_and_none_at_all_never_feeds_the_truth():
    before = torch.get_rng_state()
    assert ScheduledSampling()(6, 7) is None
    assert torch.equal(torch.get_rng_state(), before)
    assert not ScheduledSampling(teacher_forcing=0.0)(600, 7).any()


def test_steps_are_counted_saved_and_counted_on():
    arguments = {"sampling": "exponential", "k": 0.9}
    sampling = ScheduledSampling(**arguments)
    for _ in range(5):
        sampling(2, 3)
    assert {name: value.item() for name, value in sampling.state_dict().items()} == {"step": 5}
    resumed = ScheduledSampling(**arguments)
    resumed.load_state_dict(sampling.state_dict())
    resumed(2, 3)
    assert resumed.step == 6
    assert resumed.probability().item() == pytest.approx(0.9**6)


def test_halving_the_precision_of_a_network_does_not_touch_the_count():
    sampling = ScheduledSampling(sampling="linear")
    sampling.step.fill_(100_001)
    assert sampling.half().step.item() == 100_001
    assert sampling.bfloat16().step.dtype == torch.int64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampling": "cosine"}, "sampling must be none, linear, exponential or inverse_sigmoid"),
        ({"teacher_forcing": 1.1}, "teacher_forcing must be at least 0 and at most 1"),
        ({"teacher_forcing": math.nan}, "teacher_forcing must be at least 0 and at most 1"),
        ({"teacher_forcing": 0.0, "sampling": "linear"}, "teacher_forcing must be above 0"),
        ({"k": 0.5}, "k belongs to exponential and inverse_sigmoid"),
        ({"sampling": "linear", "k": 0.5}, "k belongs to exponential and inverse_sigmoid"),
        ({"sampling": "exponential", "k": 1.0}, "k must be above 0 and below 1"),
        ({"sampling": "exponential", "k": 0.0}, "k must be above 0 and below 1"),
        ({"sampling": "inverse_sigmoid", "k": 0.9}, "k must be at least 1"),
        ({"sampling": "exponential", "slope": 0.1}, "slope and floor belong to linear"),
        ({"floor": 0.0}, "slope and floor belong to linear"),
        ({"sampling": "linear", "slope": 0.0}, "slope must be above 0"),
        ({"sampling": "linear", "floor": 0.6, "teacher_forcing": 0.5}, "floor must be at least 0 and at most"),
        ({"sampling": "linear", "floor": -0.1}, "floor must be at least 0 and at most"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScheduledSampling(**arguments)
