"""The average of the weights of a training: what it is, where it is used, and how a training goes on with it."""

from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch.optim import Adam

from forecastlab.errors import ConfigError, DataError
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.training.callbacks import Checkpoints
from forecastlab.training.forecaster import Forecaster
from forecastlab.training.weight_average import WeightAverage
from tests.series import Series, noise, trainer
from tests.training.networks import SMALL


class Watch(Callback):
    """Keeps the weights after each step of the optimizer, and those that each validation scores."""

    def __init__(self):
        self.steps, self.validated, self.made = [], [], 0

    def on_train_batch_end(self, trainer, module, *arguments):
        if trainer.global_step > self.made:
            self.steps.append(flat(module))
        self.made = trainer.global_step

    def on_validation_epoch_end(self, trainer, module):
        self.validated.append(flat(module))


def flat(module):
    return np.concatenate([parameter.detach().numpy().ravel().copy() for parameter in module.parameters()])


def averages(steps, eta):
    """The formula of Shamir and Zhang in double precision."""
    found, average = [], None
    for t, weights in enumerate(steps, start=1):
        share = (eta + 1) / (t + eta)
        average = weights.astype(float) if t == 1 else (1 - share) * average + share * weights
        found.append(average)
    return found


def data():
    return Series(noise(80), fold=2, batch_size=8)


def fitted(epochs=3, callbacks=(), batches=1, ckpt_path=None, source=None, **settings):
    torch.manual_seed(1)
    source = data() if source is None else source
    model = Forecaster(SMALL, schema=source.schema, optimizer=partial(Adam, lr=0.05), **settings)
    running = trainer(max_epochs=epochs, callbacks=list(callbacks), accumulate_grad_batches=batches)
    running.fit(model, source, ckpt_path=ckpt_path, weights_only=False)
    return model, running


def test_the_mean_of_all_steps_and_one_that_forgets_the_first_ones_by_hand():
    weights = [2.0, 4.0, 9.0, 1.0]
    for eta, expected in ((0, 16 / 4), (1, (1 * 2 + 2 * 4 + 3 * 9 + 4 * 1) / 10)):  # η = 1 weighs step t by t
        average, parameter = WeightAverage(eta), torch.nn.Parameter(torch.zeros(1))
        for step, weight in enumerate(weights, start=1):
            parameter.data.fill_(weight)
            average.follow([parameter], step)
        assert average.weights[0].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("eta", [0, 8])
def test_the_average_is_validated_and_left_in_the_network_while_the_training_goes_on_without_it(eta):
    watch, without = Watch(), Watch()
    model, running = fitted(callbacks=[watch], weight_average=eta)
    fitted(callbacks=[without])
    np.testing.assert_array_equal(watch.steps, without.steps)  # the optimizer never sees the average
    expected = averages(watch.steps, eta)
    batches = len(watch.steps) // 3
    np.testing.assert_allclose(watch.validated, expected[batches - 1 :: batches], rtol=0, atol=1e-6)
    np.testing.assert_allclose(flat(model), expected[-1], rtol=0, atol=1e-6)
    assert np.abs(flat(model) - watch.steps[-1]).max() > 0.01
    loss = running.callback_metrics["val/loss"]
    assert running.validate(model, data(), verbose=False)[0]["val/loss"] == pytest.approx(loss.item(), rel=1e-6)


def test_steps_of_several_batches_count_once():
    watch = Watch()
    model, running = fitted(callbacks=[watch], weight_average=2, batches=3)
    assert len(watch.steps) == running.global_step == 3 * -(-running.num_training_batches // 3)
    np.testing.assert_allclose(flat(model), averages(watch.steps, 2)[-1], rtol=0, atol=1e-6)


def test_a_network_that_learns_with_noise_is_nearer_to_the_truth_by_its_average():
    # Steps of constant length scatter around the minimum; the mean of the truth is 0 by construction.
    generator = np.random.default_rng(0)
    weight, steps = 5.0, []
    for _ in range(400):
        weight -= 0.3 * (weight + generator.normal(0, 1))
        steps.append(weight)
    average, parameter = WeightAverage(8), torch.nn.Parameter(torch.zeros(1))
    distances = []
    for step, value in enumerate(steps, start=1):
        parameter.data.fill_(value)
        average.follow([parameter], step)
        distances.append(abs(average.weights[0].item()))
    assert np.mean(distances[200:]) < 0.5 * np.mean(np.abs(steps[200:]))


def checkpointed(folder, epochs, ckpt_path=None, **settings):
    """A training with our checkpoints in a folder."""
    watch = Watch()
    callbacks = [watch, Checkpoints(write_interval=0)]
    torch.manual_seed(1)
    source = data()
    model = Forecaster(SMALL, schema=source.schema, optimizer=partial(Adam, lr=0.05), **settings)
    running = trainer(max_epochs=epochs, callbacks=callbacks, default_root_dir=folder, enable_checkpointing=True)
    running.fit(model, source, ckpt_path=ckpt_path, weights_only=False)
    return model, watch


def test_a_training_that_is_resumed_ends_with_the_same_bits(tmp_path):
    whole, steps = checkpointed(tmp_path / "whole", 6, weight_average=8)
    checkpointed(tmp_path / "part", 3, weight_average=8)
    last = next((tmp_path / "part").rglob("last.ckpt"))
    resumed, later = checkpointed(tmp_path / "part", 6, ckpt_path=str(last), weight_average=8)
    np.testing.assert_array_equal(flat(resumed), flat(whole))
    np.testing.assert_array_equal(later.steps, steps.steps[len(later.steps) :])


def test_checkpoints_hold_the_average_and_the_last_one_also_the_weights_of_the_training(tmp_path):
    model, watch = checkpointed(tmp_path, 3, weight_average=8)
    last, best = (read_checkpoint(next(tmp_path.rglob(name))) for name in ("last.ckpt", "best.ckpt"))
    names = [name for name, _ in model.named_parameters()]

    def flattened(weights):
        return np.concatenate([weights[name].numpy().ravel() for name in names])

    np.testing.assert_array_equal(flattened(last["state_dict"]), flat(model))
    np.testing.assert_array_equal(flattened(last["training_weights"]), watch.steps[-1])
    assert "training_weights" not in best
    assert any(np.array_equal(flattened(best["state_dict"]), weights) for weights in watch.validated)
    loaded = Forecaster.load(next(tmp_path.rglob("last.ckpt")))
    np.testing.assert_array_equal(flat(loaded), flat(model))


def test_the_average_can_be_left_out_or_taken_up_when_a_training_is_resumed(tmp_path):
    _, steps = checkpointed(tmp_path / "with", 6, weight_average=8)
    checkpointed(tmp_path / "one", 3, weight_average=8)
    last = next((tmp_path / "one").rglob("last.ckpt"))
    model, later = checkpointed(tmp_path / "one", 6, ckpt_path=str(last))
    np.testing.assert_array_equal(later.steps, steps.steps[len(later.steps) :])
    np.testing.assert_array_equal(flat(model), steps.steps[-1])
    checkpointed(tmp_path / "none", 3)
    last = next((tmp_path / "none").rglob("last.ckpt"))
    model, later = checkpointed(tmp_path / "none", 6, ckpt_path=str(last), weight_average=0)
    np.testing.assert_array_equal(later.steps, steps.steps[len(later.steps) :])
    assert not np.array_equal(flat(model), steps.steps[-1])


def test_weights_of_another_network_in_a_checkpoint_are_refused(tmp_path):
    checkpointed(tmp_path, 2, weight_average=8)
    last = next(tmp_path.rglob("last.ckpt"))
    checkpoint = torch.load(last, weights_only=False)
    name = next(iter(checkpoint["training_weights"]))
    checkpoint["training_weights"][name] = torch.zeros(1, 2, 3)
    torch.save(checkpoint, last)
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        checkpointed(tmp_path, 3, ckpt_path=str(last), weight_average=8)
    checkpoint["training_weights"] = [1, 2]
    torch.save(checkpoint, last)
    with pytest.raises(DataError, match="training_weights"):
        checkpointed(tmp_path, 3, ckpt_path=str(last), weight_average=8)


def test_a_training_after_one_that_was_interrupted_while_it_validated_begins_anew():
    class Interrupts(Callback):
        def on_validation_batch_start(self, *arguments):
            raise KeyboardInterrupt

    torch.manual_seed(1)
    source = data()
    model = Forecaster(SMALL, schema=source.schema, optimizer=partial(Adam, lr=0.05), weight_average=8)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trainer(max_epochs=3, callbacks=[Interrupts()]).fit(model, source)
    watch = Watch()
    trainer(max_epochs=3, callbacks=[watch]).fit(model.train(), source)
    np.testing.assert_allclose(flat(model), averages(watch.steps, 8)[-1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("eta", [-1, float("inf"), float("nan")])
def test_a_number_that_gives_no_average_is_refused(eta):
    with pytest.raises(
        ConfigError, match=rf"model\.weight_average must be a number of at least 0, or null .* got {eta}"
    ):
        Forecaster(SMALL, schema=data().schema, weight_average=eta)
