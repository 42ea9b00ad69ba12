"""Begins a training with the weights of another one."""

from collections.abc import Mapping

from torch import Tensor

from forecastlab.data.trained_on import records_of
from forecastlab.errors import ConfigError
from forecastlab.network.agreement import schema_of, shape_of
from forecastlab.network.network import Network
from forecastlab.runs.checkpoint import read_checkpoint

OF_SERIES = ("embeddings.series", "smoothing.series")
"""Weights with a row for each series of a panel."""


def take_weights(network: Network, path: str) -> None:
    """Gives a network the weights of a checkpoint, but not its scaling and intervals.

    Weights of single series go to the series of the same names; new series keep those that they begin with.

    Args:
        network: the network that takes them.
        path: the checkpoint.

    Raises:
        ConfigError: if the weights have other names or shapes.
        DataError: if the checkpoint cannot be read.
    """
    checkpoint = read_checkpoint(path)
    ours = network.state_dict()
    trained = schema_of(checkpoint["hyper_parameters"]["schema"]).panel
    weights = checkpoint["state_dict"] | _by_name(checkpoint["state_dict"], trained, ours, network.schema.panel)
    for name in filter(_is_learned, [*ours, *weights]):
        expected, got = (shape_of(tensors.get(name)) for tensors in (ours, weights))
        if got != expected:
            raise ConfigError(
                f"model.weights_from: the weights of {path} are those of another network; the first to differ is "
                f"{name}: expected {expected}, got {got}"
            )
    network.load_state_dict({name: weights[name] for name in filter(_is_learned, ours)}, strict=False)
    network.trained_on = records_of(checkpoint)


def _is_learned(name: str) -> bool:
    """Whether an entry of the state_dict belongs to the network, and not to the data that it was fitted on."""
    return name.partition(".")[0] not in ("scaling", "intervals")


def _by_name(
    weights: Mapping[str, Tensor], trained: tuple[str, ...], ours: Mapping[str, Tensor], series: tuple[str, ...]
) -> dict[str, Tensor]:
    """The tables of a checkpoint that have a row for each series, with the rows of our series in our order."""
    shared = [name for name in series if name in trained]
    here, there = ([names.index(name) for name in shared] for names in (series, trained))
    tables = {}
    for name in OF_SERIES:
        if name in weights and name in ours and weights[name].shape[1:] == ours[name].shape[1:]:
            tables[name] = ours[name].clone()
            tables[name][here] = weights[name][there].to(ours[name])
    return tables
