"""Given settings rebuild a schedule at the epoch reached; the truth is torch alone, in a run that was never stopped."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, lr_scheduler, swa_utils

from forecastlab.backbones.rnn import RNN
from forecastlab.errors import ConfigError, DataError
from forecastlab.network.factory import subclasses
from forecastlab.training.callbacks.resumed_training import ResumedTraining
from forecastlab.training.forecaster import Forecaster

SCHEMA = {"features": ["x"], "targets": ["y"], "lookback": 3, "horizon": 2}
REACHED, MORE = 5, 6
LR = 0.1

CHANGES = {
    "StepLR": ({"step_size": 2, "gamma": 0.5}, {"step_size": 3, "gamma": 0.1}),
    "MultiStepLR": ({"milestones": [2, 4], "gamma": 0.5}, {"milestones": [1, 3, 7], "gamma": 0.2}),
    "ConstantLR": ({"factor": 0.5, "total_iters": 2}, {"factor": 0.25, "total_iters": 8}),
    "LinearLR": ({"start_factor": 0.5, "total_iters": 4}, {"start_factor": 0.1, "total_iters": 9}),
    "ExponentialLR": ({"gamma": 0.9}, {"gamma": 0.5}),
    "PolynomialLR": ({"total_iters": 5, "power": 1.0}, {"total_iters": 10, "power": 2.0}),
    "CosineAnnealingLR": ({"T_max": 5}, {"T_max": 11, "eta_min": 0.01}),
    "CosineAnnealingWarmRestarts": ({"T_0": 2}, {"T_0": 3, "T_mult": 2}),
    "OneCycleLR": ({"max_lr": 0.5, "total_steps": 5}, {"max_lr": 0.7, "total_steps": 11}),
    "CyclicLR": (
        {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 2},
        {"base_lr": 0.2, "max_lr": 0.9, "step_size_up": 3, "mode": "triangular2"},
    ),
    "SWALR": ({"swa_lr": 0.5, "anneal_epochs": 4}, {"swa_lr": 0.01, "anneal_epochs": 9}),
}
"""Arguments of the run that was stopped, and those that it is resumed with."""
NO_DATA = {
    "LambdaLR": {"lr_lambda": math.sqrt},
    "MultiplicativeLR": {"lr_lambda": math.sqrt},
    "SequentialLR": {"schedulers": [partial(lr_scheduler.ConstantLR)], "milestones": [2]},
    "ChainedScheduler": {"schedulers": [partial(lr_scheduler.ConstantLR)]},
}
"""Schedules whose arguments are no plain data: functions, and schedules that are built already."""
LATER = "ReduceLROnPlateau"
"""Its rates follow from the losses too."""
OF_TORCH = {
    name: cls
    for module in (lr_scheduler, swa_utils)
    for name, cls in vars(module).items()
    if isinstance(cls, type) and issubclass(cls, lr_scheduler.LRScheduler) and not name.startswith("_")
}
OF_TORCH.pop("LRScheduler")
OPTIMIZERS = {"SGD": partial(SGD, lr=LR, momentum=0.9), "Adam": partial(Adam, lr=LR)}


def network(optimizer, schedule=None):
    return Forecaster(partial(RNN, hidden_size=2), optimizer=optimizer, lr_scheduler=schedule, schema=SCHEMA)


def groups(optimizer):
    """What a schedule drives."""
    return [{name: group.get(name) for name in ("lr", "momentum", "betas")} for group in optimizer.param_groups]


def train(optimizer, schedule, epochs, losses=None):
    """Steps once an epoch; the groups that each epoch trains with."""
    seen = []
    for epoch in range(epochs):
        seen.append(groups(optimizer))
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = torch.full_like(weight, 0.01)
        optimizer.step()
        if schedule is not None:
            schedule.step(*([] if losses is None else [losses[epoch]]))
    return seen


def alone(optimizer, schedule, epochs, losses=None):
    """A run of torch's own, without any of this project's code."""
    built = optimizer([nn.Parameter(torch.ones(3))])
    return train(built, None if schedule is None else schedule(built), epochs, losses)


def resumed(before, after, epochs=REACHED, losses=None, change=lambda optimizer, schedule: None, more=True):
    """Trains a network with some settings, saves, and goes on with others; the groups of the later epochs."""
    old = network(*before)
    optimizer, schedule = old.optimizer_for(old.parameters())
    train(optimizer, schedule, epochs, losses)
    saved = [optimizer.state_dict()], [] if schedule is None else [schedule.state_dict()]
    saved = copy.deepcopy(saved)
    change(saved[0], saved[1])
    new = network(*after)
    new.load_state_dict(old.state_dict())
    states = ResumedTraining(new, old.hparams, more).states(*saved)
    optimizer, schedule = new.optimizer_for(new.parameters())
    for part, found in zip((optimizer, schedule), states, strict=True):
        for state in found:
            part.load_state_dict(state)
    return optimizer, schedule, states


def assert_close(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one == [
            {k: v if v is None else pytest.approx(v, rel=1e-12) for k, v in group.items()} for group in other
        ]


def test_every_schedule_of_torch_is_tried_here():
    assert set(CHANGES) | set(NO_DATA) | {LATER} == set(OF_TORCH)
    elsewhere = {cls.__name__ for cls in subclasses(lr_scheduler.LRScheduler).values() if "torch." in cls.__module__}
    assert elsewhere - {LATER} <= set(
        OF_TORCH
    )  # Lightning's of that name, which takes its place, is one of torch's too


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", CHANGES)
def test_given_arguments_give_the_rates_of_a_run_that_had_them_from_the_start(name, kind):
    before, after = (partial(OF_TORCH[name], **arguments) for arguments in CHANGES[name])
    optimizer, schedule, _ = resumed((OPTIMIZERS[kind], before), (OPTIMIZERS[kind], after))
    ours = train(optimizer, schedule, MORE)
    assert_close(ours, alone(OPTIMIZERS[kind], after, REACHED + MORE)[REACHED:])


@pytest.mark.parametrize("name", CHANGES)
def test_a_rate_and_arguments_that_are_given_at_once_both_count(name):
    before, after = (partial(OF_TORCH[name], **arguments) for arguments in CHANGES[name])
    faster = partial(SGD, lr=0.3, momentum=0.8)
    optimizer, schedule, _ = resumed((OPTIMIZERS["SGD"], before), (faster, after))
    assert_close(train(optimizer, schedule, MORE), alone(faster, after, REACHED + MORE)[REACHED:])


@pytest.mark.parametrize("name", CHANGES)
def test_a_given_rate_alone_gives_the_rates_of_a_run_that_had_it_from_the_start(name):
    schedule = partial(OF_TORCH[name], **CHANGES[name][1])
    faster = partial(SGD, lr=0.3, momentum=0.9)
    optimizer, built, _ = resumed((OPTIMIZERS["SGD"], schedule), (faster, schedule))
    assert_close(train(optimizer, built, MORE), alone(faster, schedule, REACHED + MORE)[REACHED:])


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", CHANGES)
def test_the_same_settings_go_on_to_the_last_bit(name, kind):
    schedule = partial(OF_TORCH[name], **CHANGES[name][1])
    settings = (OPTIMIZERS[kind], schedule)
    optimizer, built, _ = resumed(settings, settings)
    assert train(optimizer, built, MORE) == alone(*settings, REACHED + MORE)[REACHED:]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_memory_of_the_optimizer_is_kept_when_a_schedule_is_given(kind):
    before, after = (partial(OF_TORCH["StepLR"], **arguments) for arguments in CHANGES["StepLR"])
    _, _, ([state], _) = resumed((OPTIMIZERS[kind], before), (OPTIMIZERS[kind], after))
    name = {"SGD": "momentum_buffer", "Adam": "exp_avg"}[kind]
    assert all(float(memory[name].abs().sum()) > 0 for memory in state["state"].values())


@pytest.mark.parametrize("name", NO_DATA)
def test_a_schedule_whose_arguments_are_no_data_is_refused_before_it_trains(name):
    schedule = partial(OF_TORCH[name], **NO_DATA[name])
    with pytest.raises(ConfigError, match=r"^model\.lr_scheduler: "):
        network(Adam, schedule).configure_optimizers()


@pytest.mark.parametrize("steps", [REACHED - 2, REACHED])
def test_a_schedule_that_is_at_its_end_is_refused(steps):
    before = partial(OF_TORCH["OneCycleLR"], max_lr=1.0, total_steps=REACHED + 1)
    after = partial(OF_TORCH["OneCycleLR"], max_lr=1.0, total_steps=steps)
    with pytest.raises(
        ConfigError,
        match=rf"model\.lr_scheduler: OneCycleLR .* after {REACHED if steps == REACHED else steps + 2} epochs",
    ):
        resumed((Adam, before), (Adam, after))


def test_a_schedule_at_its_end_is_no_matter_when_no_epoch_is_to_come():
    schedule = partial(OF_TORCH["OneCycleLR"], max_lr=1.0, total_steps=REACHED)
    resumed((Adam, schedule), (Adam, schedule), more=False)


def test_another_schedule_begins_afresh():
    before, after = (partial(OF_TORCH[name], **CHANGES[name][1]) for name in ("StepLR", "OneCycleLR"))
    optimizer, schedule, _ = resumed((OPTIMIZERS["SGD"], before), (OPTIMIZERS["SGD"], after))
    assert_close(train(optimizer, schedule, MORE), alone(OPTIMIZERS["SGD"], after, MORE))


def test_another_optimizer_goes_on_with_the_schedule_at_the_epoch_reached():
    schedule = partial(OF_TORCH["CosineAnnealingLR"], T_max=REACHED + MORE)
    optimizer, built, ([state], _) = resumed((OPTIMIZERS["SGD"], schedule), (OPTIMIZERS["Adam"], schedule))
    assert state["state"] == {}
    assert_close(train(optimizer, built, MORE), alone(OPTIMIZERS["Adam"], schedule, REACHED + MORE)[REACHED:])


FALLING, STANDING = [5.0, 4.0, 3.0, 2.0, 1.0], [1.0] * 11


def plateau(**arguments):
    return partial(lr_scheduler.ReduceLROnPlateau, **{"factor": 0.5, "patience": 1, **arguments})


def test_reduce_on_plateau_goes_on_to_the_last_bit():
    settings = (OPTIMIZERS["SGD"], plateau())
    optimizer, schedule, _ = resumed(settings, settings, losses=STANDING)
    assert train(optimizer, schedule, MORE, STANDING) == alone(*settings, REACHED + MORE, STANDING)[REACHED:]


def test_reduce_on_plateau_takes_given_arguments_and_keeps_what_it_counted():
    # with a patience of 1 it is reduced after epochs 2 and 4; from there on by 0.1, after 3 more without a better loss
    optimizer, schedule, _ = resumed((SGD, plateau()), (SGD, plateau(factor=0.1, patience=2)), losses=STANDING)
    rates = [group["lr"] for (group,) in train(optimizer, schedule, MORE, STANDING)]
    start = 1e-3 / 4
    assert rates == pytest.approx([start] * 3 + [start * 0.1] * 3)
    assert schedule.best == 1.0


def test_reduce_on_plateau_scales_its_reduced_rate_by_a_given_one():
    settings = plateau()
    optimizer, _, _ = resumed((partial(SGD, lr=0.4), settings), (partial(SGD, lr=0.1), settings), losses=STANDING)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 4)


def test_reduce_on_plateau_is_not_below_a_lowest_rate_that_is_given():
    optimizer, _, _ = resumed((SGD, plateau()), (SGD, plateau(min_lr=5e-4)), losses=STANDING)
    assert optimizer.param_groups[0]["lr"] == 5e-4


def test_reduce_on_plateau_forgets_the_best_of_another_direction():
    _, schedule, _ = resumed((SGD, plateau()), (SGD, plateau(mode="max")), losses=FALLING)
    assert schedule.best == -math.inf


DAMAGES = {
    "a momentum of another shape": lambda optimizers, _: optimizers[0]["state"][0].update(exp_avg=torch.zeros(7)),
    "no momentum": lambda optimizers, _: optimizers[0]["state"][0].pop("exp_avg"),
    "a momentum that is a text": lambda optimizers, _: optimizers[0]["state"][0].update(exp_avg="x"),
    "a count that makes no sense": lambda optimizers, _: optimizers[0]["state"][0].update(step=torch.tensor(-1.0)),
    "momenta that are not finite": lambda optimizers, _: optimizers[0]["state"][0]["exp_avg"].fill_(math.nan),
    "a state for one weight more": lambda optimizers, _: optimizers[0]["state"].update({99: {}}),
    "no group": lambda optimizers, _: optimizers[0]["param_groups"].clear(),
    "no optimizer": lambda optimizers, _: optimizers.clear(),
    "no schedule": lambda _, schedules: schedules.clear(),
    "two schedules": lambda _, schedules: schedules.append(schedules[0]),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_states_that_do_not_fit_are_refused_before_anything_is_restored(what):
    settings = (OPTIMIZERS["Adam"], partial(OF_TORCH["StepLR"], step_size=2))
    with pytest.raises(DataError, match=r"cannot be resumed: .*It is damaged; use another checkpoint"):
        resumed(settings, settings, change=DAMAGES[what])


def test_the_network_is_left_as_it_was_when_states_are_tried():
    settings = (OPTIMIZERS["Adam"], partial(OF_TORCH["StepLR"], step_size=2))
    old, new = network(*settings), network(*settings)
    optimizer, schedule = old.optimizer_for(old.parameters())
    train(optimizer, schedule, 3)
    weights = copy.deepcopy(new.state_dict())
    states = copy.deepcopy(([optimizer.state_dict()], [schedule.state_dict()]))
    found = ResumedTraining(new, old.hparams, True).states(*states)
    assert all(torch.equal(value, weights[name]) for name, value in new.state_dict().items())
    assert all(weight.grad is None for weight in new.parameters())
    assert found[0][0]["param_groups"] == optimizer.state_dict()["param_groups"]
    assert found[1] == [schedule.state_dict()]
    for number, memory in found[0][0]["state"].items():
        assert all(torch.equal(value, optimizer.state_dict()["state"][number][name]) for name, value in memory.items())
