"""A small network that is trained and loaded from its checkpoint."""

from functools import partial

from forecastlab.backbones.lstm import LSTM
from forecastlab.training.forecaster import Forecaster
from tests.frames import module
from tests.series import trainer

SMALL = partial(LSTM, hidden_size=4)


def fitted(folder, frame, **arguments):
    """A network trained for an epoch, and loaded from its checkpoint."""
    parts = {name: arguments.pop(name) for name in ("decoder", "loss", "intervals", "dropout") if name in arguments}
    data = module(folder, frame, **{"frequency": "D", **arguments})
    running = trainer(max_epochs=1)
    running.fit(Forecaster(SMALL, **parts, schema=data.schema), data)
    running.save_checkpoint(folder / "x.ckpt")
    return Forecaster.load(folder / "x.ckpt")
