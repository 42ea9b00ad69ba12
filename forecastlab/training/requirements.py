"""What a training needs of its data and its trainer, checked before the first step."""

from typing import Any

import torch

from forecastlab.errors import ConfigError
from forecastlab.network.network import Network


def require_double(trainer: Any) -> None:
    """Raises ConfigError unless batches reach the network in double precision."""
    if trainer.strategy.root_device.type == "mps":
        raise ConfigError("Apple's GPU has no double precision, which scaling needs: set --trainer.accelerator cpu")
    plugin = trainer.precision_plugin
    if plugin.convert_input(torch.zeros(1, dtype=torch.float64)).dtype != torch.float64:
        raise ConfigError(
            f"trainer.precision: {plugin.precision} would round values before they are scaled: set 32-true, 64-true, "
            "bf16-mixed or 16-mixed"
        )


def require_trainable(network: Network, data: Any) -> None:
    """Raises ConfigError if a network cannot be trained, or its intervals cannot be calibrated, on a fold.

    Args:
        network: the network.
        data: the data module.
    """
    normalises = any(getattr(module, "needs_several_rows", False) for module in network.backbone.modules())
    if normalises and data.lookback == "full":
        raise ConfigError(
            f"{type(network.backbone).__name__} normalises over the sequences of a batch, but lookback: full makes "
            "one sequence of a fold. Set --data.lookback to a number of rows"
        )
    if network.intervals is None:
        return
    if data.validation == "test":
        raise ConfigError("model.intervals are calibrated on the validation range, which validation: test scores")
    window = network.intervals.window
    if window is None:
        return
    if data.fold == "all":
        raise ConfigError(
            "model.interval_window follows the errors on rows that did not train the network, and fold: all trains "
            "on every row: leave it out, so that intervals stay as wide as on the validation tail, or choose "
            "another fold for a network that is followed"
        )
    known = len(data.ranges.validation) - network.schema.horizon + 1
    if window > known:
        raise ConfigError(
            f"model.interval_window is {window} origins, but the validation range has {known}: those before them "
            "are of rows that the network is trained on, and its errors there are smaller than those to come. Set "
            f"it to {known} or less, or enlarge data.val_size"
        )


def require_positive(network: Network, data: Any) -> None:
    """Raises ConfigError if a network divides by the level of targets that are not all above 0.

    Args:
        network: the network.
        data: the data module.
    """
    if network.smoothing is None:
        return
    count, example = 0, ""
    for numbers, part in data.panel.parts():
        rows = part.rows
        wrong = (rows.observed & (rows.target <= 0)).nonzero()
        count += len(wrong)
        if len(wrong) and not example:
            row, target = wrong[0].tolist()
            name = data.panel.names[numbers[part.places()[0][row]]]
            example = f"{data.targets[target]} of series {name} is {rows.target[row, target].item():g}"
    if example:
        raise ConfigError(
            f"model.smoothing: {network.settings['smoothing']} is multiplicative and needs targets above 0, but "
            f"{example} (and so are {count} values in all): set model.smoothing none, model.anchor last and "
            "model.window_norm seasonal"
        )
