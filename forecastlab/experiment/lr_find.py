"""`forecastlab fit --lr_find`: the training loss over the learning rate, and the rate that it suggests."""

import numpy as np
import pandas as pd
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.tuner import Tuner
from numpy.typing import ArrayLike, NDArray

from forecastlab.adapters.lightning import rates_and_losses
from forecastlab.errors import ConfigError, NotFiniteError
from forecastlab.figures.drawing import png
from forecastlab.figures.searches import learning_rates
from forecastlab.runs.files import write_output
from forecastlab.training.callbacks.run_folder import named_folder

SUFFIX = "-lr-find"
LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
BETA = 0.98
"""What Lightning smooths its losses with."""
WIDTH = 1 / 3
"""What they are smoothed with here, in decades of the learning rate."""


def find_learning_rate(trainer: Trainer, model: LightningModule, datamodule: LightningDataModule) -> None:
    """Trains some steps at rising learning rates, draws the loss, and suggests a tenth of the rate of the lowest one.

    The steps are those of Lightning's finder. Its curve and its suggestion are not used: an average that lags behind
    by half of the steps, and that begins at half of the loss, falls most steeply where nothing is learned yet.

    The rate of the config stays as it is, and nothing is trained with another one.

    Raises:
        ConfigError: if there is no curve.
    """
    if trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
        raise ConfigError("--lr_find trains a hundred steps: leave trainer.fast_dev_run out")
    trainer.fit_loop.max_epochs = STEPS  # an epoch may be a single step
    loggers, folder = trainer.loggers, named_folder(trainer)  # which Lightning exchanges, and does not always put back
    try:
        finder = Tuner(trainer).lr_find(
            model, datamodule=datamodule, min_lr=LOWEST, max_lr=HIGHEST, num_training=STEPS, update_attr=False
        )
        assert finder is not None
        found = finder.results
    except NotFiniteError:  # at a rate that is far too high; what came before it is what is wanted
        found = rates_and_losses(trainer)
    if len(found["loss"]) < 2:
        raise ConfigError("--lr_find: the loss is not finite even at the lowest rate; look at --data.scaler")
    if not trainer.is_global_zero:
        return
    losses = without_average(found["loss"])
    curve = smoothed(pd.DataFrame({"learning_rate": found["lr"][: len(losses)], "loss": losses}))
    lowest = int(curve["smoothed"].to_numpy().argmin())
    suggested = curve["learning_rate"].iloc[lowest] / 10 if lowest else None
    given = model.hparams["optimizer"]["init_args"].get("lr")
    if suggested is None:
        print("no learning rate is suggested: the loss rose from the first step on")
    else:
        print(
            f"suggested  learning rate {suggested:.2g}, a tenth of that of the lowest loss; the config's is {given}\n"
            f"to use it   pass --model.optimizer.init_args.lr {suggested:.2g}"
        )
    if folder is not None:
        figure = learning_rates(curve, suggested=suggested, given=given)
        write_output(curve.to_csv(index=False), folder / "lr_find.csv")
        write_output(png(figure), folder / "lr_find.png")
        for logger in loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_figure("learning_rate", figure)
                logger.experiment.flush()
        print(f"curve      {folder / 'lr_find.png'}")


def without_average(losses: ArrayLike) -> NDArray[np.float64]:
    """(steps,): the loss of each step, from the running averages that Lightning keeps."""
    averages = np.asarray(losses, dtype=np.float64)
    averages = averages * (1 - BETA ** np.arange(2, len(averages) + 2))
    before = np.concatenate([[0.0], averages[:-1]])
    result: NDArray[np.float64] = (averages - BETA * before) / (1 - BETA)
    return result


def smoothed(curve: pd.DataFrame) -> pd.DataFrame:
    """Adds `smoothed` to the columns `learning_rate` and `loss`, of which only rows with a finite loss are kept."""
    curve = curve[np.isfinite(curve["loss"])]
    decades = np.log10(curve["learning_rate"].to_numpy())
    weights = np.exp(-0.5 * ((decades[:, None] - decades) / WIDTH) ** 2)
    return curve.assign(smoothed=weights @ curve["loss"].to_numpy() / weights.sum(1))
