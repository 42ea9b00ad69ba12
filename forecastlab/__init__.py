"""forecastlab: recurrent networks for time series, with numbers that can be trusted."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecastlab.benchmarks.benchmark import benchmark
    from forecastlab.data.ozone_datamodule import OzoneDataModule
    from forecastlab.data.table_datamodule import TableDataModule
    from forecastlab.evaluation.compare import compare
    from forecastlab.evaluation.crossval import crossval
    from forecastlab.evaluation.reconciliation import reconcile
    from forecastlab.experiment.config import Config
    from forecastlab.export import load_safetensors
    from forecastlab.models.fit import fit
    from forecastlab.models.model import Model
    from forecastlab.network.network import Network
    from forecastlab.training.forecaster import Forecaster
    from forecastlab.tuning.tune import tune

__version__ = "0.3.0.dev7"
__all__ = [
    "Config",
    "Forecaster",
    "Model",
    "Network",
    "OzoneDataModule",
    "TableDataModule",
    "benchmark",
    "compare",
    "crossval",
    "fit",
    "load_safetensors",
    "reconcile",
    "tune",
]

_MODULES = {
    "Config": "forecastlab.experiment.config",
    "Forecaster": "forecastlab.training.forecaster",
    "Model": "forecastlab.models.model",
    "Network": "forecastlab.network.network",
    "OzoneDataModule": "forecastlab.data.ozone_datamodule",
    "TableDataModule": "forecastlab.data.table_datamodule",
    "benchmark": "forecastlab.benchmarks.benchmark",
    "compare": "forecastlab.evaluation.compare",
    "crossval": "forecastlab.evaluation.crossval",
    "fit": "forecastlab.models.fit",
    "load_safetensors": "forecastlab.export",
    "reconcile": "forecastlab.evaluation.reconciliation",
    "tune": "forecastlab.tuning.tune",
}
"""Where the public names are; importing the package imports none of them, and no torch."""


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None and name[:1].isupper():
        module = _parts().get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_parts()})


def _parts() -> dict[str, str]:
    """Where the backbones, hybrids, decoders and losses are; their files are looked through when one is asked for."""
    found: dict[str, str] = importlib.import_module("forecastlab.public_names").parts()
    return found
