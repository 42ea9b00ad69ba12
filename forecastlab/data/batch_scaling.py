"""`BatchScaling`: scaled batches for a module of one's own, and its forecasts back in original units."""

import torch
from torch import Tensor, nn

from forecastlab.batch import Batch, Scaling, Schema
from forecastlab.data.transform import Transforms


class BatchScaling(nn.Module):
    """Scales the batches of one data module, and turns what is forecast of them back into original units.

    A `Network` does both by itself, and takes batches in original units. This is for another module that is trained on
    the same batches. As a part of that module it goes to its device and is saved with its weights. It has no
    parameters. `data.batch_scaling` makes it.

    The targets are transformed first, where `data.transform` says so, and then all columns are scaled by
    `data.scaling`, which is fitted on the training rows of the fold alone.

    Args:
        schema: names of the data.
        scaling: fitted on them; its rows are the series of the data, or one that serves all.

    Raises:
        ConfigError: if the schema names a transform that is none.
    """

    def __init__(self, schema: Schema, scaling: Scaling) -> None:
        super().__init__()
        self.scaling = scaling
        self._transforms = Transforms(schema)

    def forward(self, batch: Batch) -> Batch:
        """A batch in original units -> the same batch, scaled, in torch's default precision.

        Weights, row numbers and series stay as they are. A feature that is also a target is scaled as a feature:
        `history` and `target` may differ in their units, `last` and `target` do not.
        """
        series, dtype = batch.series, torch.get_default_dtype()
        plain = self._transforms.applied(batch)
        return batch._replace(
            history=self.scaling.scale("feature", plain.history, series).to(dtype),
            known=self.scaling.scale("known", plain.known, series).to(dtype),
            static=self.scaling.scale("static", plain.static, series).to(dtype),
            last=self.scaling.scale("target", plain.last, series).to(dtype),
            target=self.scaling.scale("target", plain.target, series).to(dtype),
            weight=batch.weight.to(dtype),
        )

    def back(self, forecast: Tensor, series: Tensor) -> Tensor:
        """Scaled targets -> the same shape in original units, in double precision.

        Args:
            forecast: (batch, ..., targets), scaled: point forecasts or quantiles, not differences or deviations.
            series: (batch,), `Batch.series` of the batch that was forecast.
        """
        center, scale = self.scaling.target_units(forecast, series)
        return self._transforms.back(forecast.double() * scale + center)
