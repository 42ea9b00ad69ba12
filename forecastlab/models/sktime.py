"""A forecaster for sktime; it needs the extra `sktime`, and is imported from here alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from forecastlab.errors import ForecastlabError
from forecastlab.experiment.config import Config
from forecastlab.models.fit import trained

try:
    from sktime.forecasting.base import BaseForecaster
except ImportError:
    raise ForecastlabError(
        "forecastlab.models.sktime needs sktime, which is not installed.\n"
        "Install it in an environment of its own, since it pins pandas: pip install 'forecastlab[sktime]'"
    ) from None

CHOSEN = {
    "early_stopping": {"patience": 10},
    "trainer": {"max_epochs": 100, "gradient_clip_val": 1.0, "devices": 1},
}
"""How long it trains at most."""


class SktimeForecaster(BaseForecaster):  # type: ignore[misc]  # sktime may not be there
    """A network in the form of sktime: one for all columns of `y`, trained on every row.

    Its horizon is the last step of `fh`. The number of epochs is found on the last eighth of the rows, and fresh
    weights are then trained on all of them. Exogenous data are not read. Missing values are masked.

    Args:
        backbone: name of a backbone or hybrid.
        lookback: rows that are read; None for two horizons, at least 8, and at most a quarter of the rows.
        season_length: rows in a season, for MASE.
        settings: further values of the config by dotted name, which win, such as {"trainer.max_epochs": 20}.

    Attributes:
        model_: the fitted `Model`.

    Example:
        >>> from sktime.datasets import load_airline
        >>> from forecastlab.models.sktime import SktimeForecaster
        >>> forecaster = SktimeForecaster("GRU", lookback=24)
        >>> forecaster.fit(load_airline(), fh=range(1, 13))  # doctest: +SKIP
        SktimeForecaster(...)
        >>> forecaster.predict()  # doctest: +SKIP
    """

    _tags = {  # noqa: RUF012  # sktime reads it
        "authors": ["forecastlab"],
        "maintainers": ["forecastlab"],
        "python_dependencies": ["torch", "lightning"],
        "y_inner_mtype": "pd.DataFrame",
        "capability:multivariate": True,
        "capability:exogenous": False,
        "capability:insample": False,
        "capability:pred_int": False,
        "capability:pred_int:insample": False,
        "capability:missing_values": True,
        "capability:update": True,
        "requires-fh-in-fit": True,
    }

    def __init__(
        self,
        backbone: str = "LSTM",
        lookback: int | None = None,
        season_length: int = 1,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.backbone = backbone
        self.lookback = lookback
        self.season_length = season_length
        self.settings = settings
        super().__init__()

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> "SktimeForecaster":
        frame, horizon = _plain(y), int(max(fh.to_relative(self.cutoff)))
        lookback = self.lookback or max(1, min(max(2 * horizon, 8), len(frame) // 4))
        data = {
            "path": frame,
            "targets": list(frame.columns),
            "missing": "mask",
            "horizon": horizon,
            "lookback": lookback,
            "fold": "all",
            "val_size": max(horizon, len(frame) // 8),
            "season_length": self.season_length,
        }
        model = {"backbone": self.backbone, "anchor": "last", "window_norm": "standard" if lookback >= 8 else "last"}
        config = Config.of({"data": {"class_path": "TableDataModule", "init_args": data}, "model": model, **CHOSEN})
        self.model_ = trained(config.with_values(self.settings) if self.settings else config)
        self._rows = y
        return self

    def _update(self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True) -> "SktimeForecaster":
        self._rows = y.combine_first(self._rows)[list(self._rows.columns)]
        return self._fit(self._rows, None, self.fh) if update_params else self

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
        forecast = self.model_.forecast(_plain(self._rows))
        steps = [int(step) - 1 for step in fh.to_relative(self.cutoff)]
        columns = [forecast.loc[forecast["target"] == str(name), "forecast"].to_numpy() for name in self._rows.columns]
        values = np.stack(columns, axis=1)[steps]
        return pd.DataFrame(values, index=fh.to_absolute_index(self.cutoff), columns=self._rows.columns)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Small networks, for sktime's tests.

        Args:
            parameter_set: which set; there is one.
        """
        few = {"trainer.max_epochs": 1, "trainer.accelerator": "cpu", "model.backbone.hidden_size": 3}
        return [{"lookback": 2, "settings": few}, {"backbone": "GRU", "lookback": 3, "settings": few}]


def _plain(y: pd.DataFrame) -> pd.DataFrame:
    """The rows as a data module takes them: names as text, and periods as the times at which they begin."""
    frame = y.set_axis([str(name) for name in y.columns], axis=1)
    if isinstance(frame.index, pd.PeriodIndex):
        return frame.set_axis(frame.index.to_timestamp())
    return frame if isinstance(frame.index, pd.DatetimeIndex) else frame.reset_index(drop=True)
