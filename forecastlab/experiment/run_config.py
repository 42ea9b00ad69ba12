"""`RunConfig`: the config of a run, in its folder, its checkpoints and its logs."""

from functools import cached_property
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from forecastlab.runs.files import write_whole
from forecastlab.runs.run import CONFIG
from forecastlab.training.callbacks import Checkpoints, RunLogger
from forecastlab.training.callbacks.run_folder import named_folder

CONFIG_KEYS = ("seed_everything", "threads", "experiment", "early_stopping", "checkpoints", "trainer", "model", "data")
"""The parts of a config that a checkpoint carries: all but what belongs to one call."""


METRICS = ("val/best_loss", "test/mse_scaled", "test/mae", "test/rmse", "test/mase", "test/skill")
"""What TensorBoard's table shows beside the hyper-parameters."""


class RunConfig(SaveConfigCallback):
    """Keeps the run's config: in the run folder, in its checkpoints, and as TensorBoard's hyper-parameters."""

    @cached_property
    def text(self) -> str:
        """The config as YAML."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
        return yaml.safe_dump({key: config[key] for key in CONFIG_KEYS if key in config}, sort_keys=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = named_folder(trainer)
        if stage != "fit" or folder is None or not trainer.is_global_zero:
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / CONFIG, self.text)
        config = yaml.safe_load(self.text)
        parameters = _flat({key: config[key] for key in ("model", "data", "seed_everything")})
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):  # its table shows metrics beside them
                logger.log_hyperparams(parameters, dict.fromkeys(METRICS, 0.0))
            else:
                logger.log_hyperparams(parameters)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gives the table what the run is judged by: of a curve it would show the last point."""
        checkpoints = trainer.checkpoint_callback
        if isinstance(checkpoints, Checkpoints) and checkpoints.best_epoch >= 0 and trainer.is_global_zero:
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    logger.experiment.add_scalar("val/best_loss", checkpoints.best_score, trainer.global_step)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.text


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names; classes without their module, lists as text; what is empty is left out."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}".replace(".init_args", "").replace(".class_path", "")
        if isinstance(value, dict):
            flat |= _flat(value, f"{name}.")
        elif key == "class_path":
            flat[name] = value.rpartition(".")[2]
        elif value is not None and value != []:
            flat[name] = value if isinstance(value, str | bool | int | float) else str(value)
    return flat
