"""Small networks whose weights and scaling are no defaults, and what they forecast, without training."""

from functools import partial

import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.batch import Batch, Schema
from forecastlab.training.forecaster import Forecaster
from tests.series import as_if_trained

SMALL = partial(LSTM, hidden_size=3)
WINDOWS = Schema(("x", "y"), ("y",), horizon=2, lookback=6)
WHOLE = Schema(("x", "y"), ("y",), horizon=2, lookback="full")
RICH = Schema(
    features=("a", "y", "z", "b"),
    targets=("z", "y"),
    known=("b",),
    static=("s", "t", "u"),
    horizon=3,
    lookback=6,
    series=("one", "two", "three"),
)
"""All that a schema can have."""


def network(backbone=SMALL, schema=WINDOWS, seed=0, **arguments):
    """A network that has seen no training; its intervals are calibrated."""
    torch.manual_seed(seed)
    model = Forecaster(backbone, schema=schema if isinstance(schema, dict) else schema.as_dict(), **arguments)
    for name, buffer in model.scaling.named_buffers():
        buffer.copy_(torch.rand_like(buffer) + (9.5 if name.endswith("center") else 2.5))
    if model.intervals is not None:
        errors = torch.randn(200, model.schema.horizon, len(model.schema.targets), len(model.intervals.coverages))
        model.intervals.fit(errors.abs(), torch.ones(errors.shape[:3]))
    return as_if_trained(model).eval()


def inputs(model, rows, time, seed=1):
    """Random inputs of every kind, in original units, by name; those of width 0 too."""
    schema, generator = model.schema, torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64) * 3 + 10

    return {
        "history": draw(rows, time, len(schema.features)),
        "known": draw(rows, schema.horizon, len(schema.known)),
        "static": draw(rows, len(schema.static)),
        "last": draw(rows, len(schema.targets)),
        "series": torch.arange(rows) % max(len(schema.series), 1),
    }


def forecasts(model, given):
    """What the network forecasts: "forecast" and "quantiles", as arrays."""
    rows, schema = len(given["history"]), model.schema
    nothing = torch.zeros(rows, 1, schema.horizon, len(schema.targets))
    batch = Batch(
        history=given["history"],
        known=given["known"][:, None],
        static=given["static"],
        last=given["last"][:, None],
        target=nothing,
        weight=nothing,
        index=torch.zeros(rows, 1, dtype=torch.int64),
        series=given["series"],
    )
    with torch.no_grad():
        found = model.predict_step(batch)
    return {"forecast": found.forecast[:, 0].numpy(), "quantiles": found.quantiles[:, 0].numpy()}
