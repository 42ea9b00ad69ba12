"""A trained network as a function of named tensors in original units. Each row of a batch has one forecast origin."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from forecastlab.adapters.torch import tree_flatten, tree_leaves, tree_unflatten
from forecastlab.batch import Batch, Prediction, State
from forecastlab.network.composition import Encoding
from forecastlab.network.network import Network


class Forecasting(nn.Module):
    """Maps a history to the forecast from its last row.

    Args:
        model: the network.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        history: Tensor,
        known: Tensor | None = None,
        static: Tensor | None = None,
        last: Tensor | None = None,
        series: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The forecast. Inputs that the network does not read may be left out.

        Args:
            history: (batch, time, features), in double precision as all other arguments but `series`.
            known: (batch, horizon, known): known covariates of the forecast steps.
            static: (batch, static)
            last: (batch, targets): the targets' last values.
            series: (batch,), integer: the number of each row's series, in the order of `Network.series_told_apart`; -1
                for one that the training had not, if only weights tell series apart.

        Returns:
            "forecast" (batch, horizon, targets) and, if the network has them, "quantiles" (batch, horizon, targets,
            levels), ascending; in double precision.
        """
        batch = _batch(self.model, history, known, static, last, series)
        return _outputs(self.model, self.model.predict(batch))


class Stepping(nn.Module):
    """Maps a row and the state before it to the forecast from this row and the state after it.

    The state is that of the backbone and, where the decoder attends to the past, the encoding of all rows so far. With
    several independent channels each of its tensors is (batch, targets, ...).

    Args:
        model: a network whose backbone is causal.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model
        self.channels = 1 if model.channels is None else len(model.schema.targets)
        _, self.form = tree_flatten(self._initial(1))

    def forward(
        self,
        row: Tensor,
        state: Sequence[Tensor],
        known: Tensor | None = None,
        static: Tensor | None = None,
        last: Tensor | None = None,
        series: Tensor | None = None,
    ) -> dict[str, Tensor | list[Tensor]]:
        """The forecast and the next state. Inputs that the network does not read may be left out.

        Args:
            row: (batch, features), in double precision as all other arguments but `state` and `series`.
            state: the tensors of the state, in order.
            known: (batch, horizon, known): known covariates of the forecast steps.
            static: (batch, static)
            last: (batch, targets): the targets' last values.
            series: (batch,), integer: the number of each row's series, in the order of `Network.series_told_apart`; -1
                for one that the training had not, if only weights tell series apart.

        Returns:
            The outputs of `Forecasting`, and "state", which the next call takes.
        """
        batch = _batch(self.model, row.unsqueeze(1), known, static, last, series)
        scaled = self.model.scaled(batch)
        if self.channels > 1:
            state = [part.flatten(0, 1) for part in state]
        backbone_state, *past = tree_unflatten(state, self.form)
        y, after = self.model.backbone.step(self.model.inputs(scaled)[:, 0], backbone_state)
        encoded = torch.cat([*past, y.unsqueeze(1)], 1)
        raw = self.model.decode(scaled, Encoding(encoded)).raw
        outputs = _outputs(self.model, self.model.prediction(raw, batch, scaled))
        return {**outputs, "state": self._leaves((after, encoded) if past else (after,))}

    def initial(self, rows: int) -> list[Tensor]:
        """The tensors of the state before the first row."""
        return self._leaves(self._initial(rows * self.channels))

    def _leaves(self, state: State) -> list[Tensor]:
        """The tensors of a state, batch first."""
        parts = [part.contiguous() for part in tree_leaves(state)]
        return [part.unflatten(0, (-1, self.channels)) for part in parts] if self.channels > 1 else parts

    def _initial(self, rows: int) -> State:
        start = self.model.backbone.initial_state(rows)
        if not self.model.decoder.attends:
            return (start,)
        return start, self.model.backbone.new_zeros(rows, 0, self.model.backbone.output_size)


def _batch(model: Network, history: Tensor, *others: Tensor | None) -> Batch:
    known, static, last, series = others
    rows, schema = history.shape[0], model.schema
    target = history.new_zeros(rows, 1, schema.horizon, len(schema.targets))
    return Batch(
        history=history,
        known=target.new_zeros(rows, 1, schema.horizon, len(schema.known)) if known is None else known.unsqueeze(1),
        static=target.new_zeros(rows, len(schema.static)) if static is None else static,
        last=target.new_zeros(rows, 1, len(schema.targets)) if last is None else last.unsqueeze(1),
        target=target,
        weight=target,
        index=torch.zeros(rows, 1, dtype=torch.int64, device=history.device),
        series=torch.zeros(rows, dtype=torch.int64, device=history.device) if series is None else series,
    )


def _outputs(model: Network, prediction: Prediction) -> dict[str, Tensor]:
    outputs = {"forecast": prediction.forecast.squeeze(1)}
    return outputs | {"quantiles": prediction.quantiles.squeeze(1)} if model.levels else outputs


def example(model: Network, rows: int, time: int | None) -> dict[str, Tensor]:
    """Random inputs of every kind in the schema, in the range of the data that the network was trained on.

    Args:
        model: the network.
        rows: rows of the batch.
        time: rows of the history; None for a single "row".
    """
    schema, scaling = model.schema, model.scaling
    generator = torch.Generator().manual_seed(rows)
    series = torch.randint(max(len(model.series_told_apart), 1), (rows,), generator=generator)

    def draw(name: str, *shape: int) -> Tensor:
        center: Tensor
        center, scale = (getattr(scaling, f"{name}_{part}") for part in ("center", "scale"))
        row = series if len(center) > 1 else torch.zeros_like(series)
        size = (rows, *shape, center.shape[1])
        values = torch.randn(size, generator=generator, dtype=center.dtype)
        center, scale = (part[row].view(rows, *[1] * len(shape), -1) for part in (center, scale))
        values = values * scale + center
        back = {"feature": model.transforms.features_back, "target": model.transforms.back}.get(name)
        return values if back is None else back(values)

    inputs = {"row": draw("feature")} if time is None else {"history": draw("feature", time)}
    inputs |= {"known": draw("known", schema.horizon), "static": draw("static"), "last": draw("target")}
    if model.series_told_apart:
        inputs["series"] = series
    return {name: values for name, values in inputs.items() if values.shape[-1]}


def read(function: nn.Module, inputs: Mapping[str, Tensor | list[Tensor]]) -> list[str]:
    """The names of the inputs that the outputs depend on."""
    asked = {
        name: values.clone().requires_grad_()
        for name, values in inputs.items()
        if isinstance(values, Tensor) and values.is_floating_point()
    }
    with torch.enable_grad():
        outputs = function(**{**inputs, **asked})
        total = torch.stack([part.double().sum() for part in tree_leaves(outputs) if part.is_floating_point()]).sum()
        gradients = torch.autograd.grad(total, list(asked.values()), allow_unused=True)
    unread = [name for name, gradient in zip(asked, gradients, strict=True) if gradient is None]
    return [name for name in inputs if name not in unread]
