from functools import partial

import pytest
from torch.optim import SGD

from forecastlab.backbones.lstm import LSTM
from forecastlab.training.callbacks import Pruning
from forecastlab.training.forecaster import Forecaster
from tests.series import Series, noise, trainer


def trained(judge, **arguments):
    """A callback, and the trainer, after a training of four epochs at most."""
    data = Series(noise(60), fold=2)
    model = Forecaster(partial(LSTM, hidden_size=4), optimizer=partial(SGD, lr=0.1), schema=data.schema)
    pruning = Pruning(judge)
    done = trainer(max_epochs=4, callbacks=[pruning], num_sanity_val_steps=1, **arguments)
    done.fit(model, data)
    return pruning, done


@pytest.mark.parametrize(("every", "epochs"), [(1, [0, 1, 2, 3]), (2, [1, 3])])
def test_every_validated_epoch_is_reported_and_the_best_kept(every, epochs):
    told = []
    pruning, done = trained(lambda *report: told.append(report), check_val_every_n_epoch=every)
    assert [epoch for epoch, _ in told] == epochs
    assert told[-1][1] == float(done.callback_metrics["val/loss"])
    assert pruning.best == min(loss for _, loss in told)
    assert not pruning.pruned


def test_the_training_ends_when_the_judge_says_so():
    pruning, done = trained(lambda epoch, loss: epoch == 1)
    assert pruning.pruned
    assert done.current_epoch == 2


def test_a_training_that_is_over_anyway_is_not_ended():
    pruning, done = trained(lambda epoch, loss: epoch == 3)
    assert not pruning.pruned
    assert done.current_epoch == 4
