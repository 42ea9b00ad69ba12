"""Begins a training with the weights of another one."""

from forecastlab.data.trained_on import records_of
from forecastlab.errors import ConfigError
from forecastlab.network.agreement import shape_of
from forecastlab.network.network import Network
from forecastlab.runs.checkpoint import read_checkpoint


def take_weights(network: Network, path: str) -> None:
    """Gives a network the weights of a checkpoint, but not its scaling and intervals.

    Args:
        network: the network that takes them.
        path: the checkpoint.

    Raises:
        ConfigError: if the weights have other names or shapes.
        DataError: if the checkpoint cannot be read.
    """
    checkpoint = read_checkpoint(path)
    weights, ours = checkpoint["state_dict"], network.state_dict()
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
