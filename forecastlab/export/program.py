"""A trained network captured by torch.export: one program for every batch size and, if possible, every length."""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from forecastlab import __version__
from forecastlab.adapters.torch import tree_leaves
from forecastlab.errors import ConfigError, DataError
from forecastlab.export.functions import Forecasting, Stepping, example, read
from forecastlab.export.obstacles import LengthWatch, first_line, obstacle
from forecastlab.export.raw_rows import described_rows
from forecastlab.network.network import Network

VERSION = 3
"""The version of the description of a program.

Since version 2, original units are in double precision. Since version 3, `rows` says how the inputs are made.
"""

WORST = 1e-3
"""The largest allowed difference from the network, relative to its largest scaled output."""

STATE = "state_"
"""The prefix of the names of a state's tensors. Names of the next state have "next_" before it."""

FORECASTS = ("forecast", "quantiles")
"""The names of the outputs in original units."""

Axes: TypeAlias = list[str | int]
"""The axes of a tensor: a size, or a name if the axis may have any size."""

Run: TypeAlias = Callable[[Mapping[str, Tensor]], Sequence[Tensor]]
"""Runs a program: it maps inputs by name to the outputs, in order."""


class Exported(NamedTuple):
    """The result of an export."""

    files: list[Path]
    """The files that were written."""
    lines: list[str]
    """Lines that describe the export."""


@dataclass(frozen=True)
class Program:
    """A network as torch.export captured it.

    Attributes:
        function: the captured module.
        exported: the program of torch.export.
        inputs: axes of the inputs, by name and in order.
        outputs: axes of the outputs, likewise.
        symbols: names of the axes, by their symbols in `exported`.
        about: the description for programs that run it, as plain data.
        fixed: the reason why the history has a fixed number of rows; None if it may have any number.
    """

    function: Forecasting | Stepping
    exported: ExportedProgram
    inputs: dict[str, Axes]
    outputs: dict[str, Axes]
    symbols: dict[str, str]
    about: dict[str, Any]
    fixed: str | None

    def lines(self) -> list[str]:
        """Its tensors with their axes, and the dynamic axes, in words."""
        lines = [
            f"{kind}: " + ", ".join(f"{name} ({', '.join(map(str, axes))})" for name, axes in tensors.items())
            for kind, tensors in (("inputs", self.inputs), ("outputs", self.outputs))
        ]
        lines.append(f"dynamic axes: {', '.join(dict.fromkeys(self.symbols.values()))}")
        if self.fixed is not None:
            lines.append(f"time is fixed at {self.inputs['history'][1]}: {self.fixed}")
        return lines

    def check(self, run: Run) -> float:
        """Compares the written program with the network, on random inputs of other sizes than those of the capture.

        Args:
            run: runs the written program.

        Returns:
            The largest difference, relative to the largest value of an output. Forecasts are compared in scaled units,
            so that the level of a series does not hide a difference.

        Raises:
            DataError: if they differ by more than rounding.
        """
        worst = 0.0
        for rows in (1, 5):
            inputs = self.draw(rows)
            expected = tree_leaves(self.function(**nested(inputs)))
            for name, *both in zip(self.outputs, expected, run(inputs), strict=True):
                ours, theirs = (self._scaled(name, values.double(), inputs) for values in both)
                if not ours.numel():
                    continue
                largest = ours.abs().max().clamp(min=1e-3)  # a thousandth of the target's scale is negligible
                worst = max(worst, float((ours - theirs).abs().max() / largest))
        if not worst <= WORST:
            raise DataError(
                f"the exported program differs from the network by {worst:.0e} of the largest scaled value: it is not "
                "written"
            )
        return worst

    def _scaled(self, name: str, values: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """An output in scaled units; the tensors of a state do not change."""
        if name not in FORECASTS:
            return values
        scaling, series = self.function.model.scaling, inputs.get("series", torch.zeros(len(values), dtype=torch.int64))
        targets = self.function.model.transforms.of_targets
        if name == "forecast":
            return scaling.scale("target", targets(values), series)
        return scaling.scale("target", targets(values.mT), series).mT

    def draw(self, rows: int) -> dict[str, Tensor]:
        """Random inputs for a batch of some rows."""
        model = self.function.model
        if isinstance(self.function, Stepping):
            drawn = example(model, rows, None)
            drawn |= {f"{STATE}{number}": part for number, part in enumerate(_states(self.function, rows)[-1])}
        else:
            given = self.inputs["history"][1]
            drawn = example(model, rows, given if isinstance(given, int) else _length(model) + 3)
        return {name: drawn[name] for name in self.inputs}


def capture(model: Network, step: bool = False) -> Program:
    """Captures a network, on the CPU.

    Args:
        model: the network.
        step: whether the program takes one row and the state before it, and gives the state after it.

    Raises:
        ConfigError: if it cannot be captured; the message names the operation.
    """
    if model.draws:
        raise ConfigError(
            f"{type(model.decoder).__name__} draws its forecasts, and a program of fixed steps has no random numbers: "
            "export a network with the decoder Seq2Seq or Linear"
        )
    twin = Network.rebuild(model.settings, {name: part.cpu() for name, part in model.state_dict().items()})
    twin.requires_grad_(False)  # a program needs no gradients of its weights
    with quiet():
        return _steps(twin) if step else _windows(twin)


def nested(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs by name, as the captured module takes them: the tensors of a state form a list."""
    state = [values for name, values in inputs.items() if name.startswith(STATE)]
    rest = {name: values for name, values in inputs.items() if not name.startswith(STATE)}
    return rest | {"state": state} if state else rest


def difference(worst: float) -> str:
    """The result of `Program.check`, in words."""
    return f"largest difference from the network: {worst:.0e} of the largest scaled value"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides the messages of torch's exporters, which are meant for their authors."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _windows(model: Network) -> Program:
    function = Forecasting(model)
    inputs = example(model, 2, _length(model))
    inputs = {name: inputs[name] for name in read(function, inputs)}
    rows = {name: {0: Dim.DYNAMIC} for name in inputs}
    all_axes = {**rows, "history": {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}}
    fixed = "linear_window has a weight for each row" if model.linear_window is not None else None
    if fixed is None:
        try:
            return _program(model, function, _export(function, inputs, all_axes), None)
        except Exception as error:
            fixed = obstacle(error) or _maker_of_length(function, inputs, all_axes) or first_line(error)
            if model.schema.lookback == "full":
                raise ConfigError(f"lookback: full needs a program for histories of any length, but {fixed}") from error
    inputs["history"] = example(model, 2, int(model.schema.lookback))["history"]
    try:
        exported = _export(function, inputs, rows)
    except Exception as error:
        raise ConfigError(f"the network cannot be exported: {obstacle(error) or first_line(error)}") from error
    return _program(model, function, exported, fixed)


def _steps(model: Network) -> Program:
    if not model.backbone.causal:
        raise ConfigError(f"{type(model.backbone).__name__} is not causal: it cannot be run row by row")
    if model.schema.lookback != "full":
        raise ConfigError(
            f"the network forecasts from windows of {model.schema.lookback} rows, not from a state: export it as it "
            "is, and give it the last rows each time"
        )
    function = Stepping(model)
    states = _states(function, 2)
    inputs: dict[str, Any] = {**example(model, 2, None), "state": states[-1]}
    inputs = {name: inputs[name] for name in read(function, inputs)}
    shapes: dict[str, Any] = {name: {0: Dim.DYNAMIC} for name in inputs}
    shapes["state"] = _growing(states)
    try:
        exported = _export(function, inputs, shapes)
    except Exception as error:
        raise ConfigError(f"the network cannot be exported: {obstacle(error) or first_line(error)}") from error
    return _program(model, function, exported, None)


def _export(function: nn.Module, inputs: Mapping[str, Any], shapes: Mapping[str, Any]) -> ExportedProgram:
    exported = torch.export.export(function, (), kwargs=dict(inputs), dynamic_shapes=dict(shapes), strict=False)
    for module in exported.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths of this machine do not belong in the file
    return exported


def _program(model: Network, function: Forecasting | Stepping, exported: ExportedProgram, fixed: str | None) -> Program:
    nodes = {node.name: node for node in exported.graph.nodes}
    symbols: dict[str, str] = {}
    inputs = {name: _axes(name, nodes[name], symbols) for name in exported.graph_signature.user_inputs}
    state = [name for name in inputs if name.startswith(STATE)]
    names = [*FORECASTS[: 2 if model.levels else 1], *(f"next_{name}" for name in state)]
    outputs = {
        name: _axes(name, nodes[node], symbols)
        for name, node in zip(names, exported.graph_signature.user_outputs, strict=True)
    }
    start = function.initial(1) if isinstance(function, Stepping) else []
    about = {
        "format": "forecastlab",
        "version": VERSION,
        "forecastlab": __version__,
        **{name: list(getattr(model.schema, name)) for name in ("features", "targets", "known", "static")},
        "series": list(model.series_told_apart),
        "horizon": model.schema.horizon,
        "lookback": model.schema.lookback,
        "rows": described_rows(model.schema),
        "levels": list(model.levels),
        "inputs": inputs,
        "outputs": outputs,
        "dtypes": {name: _dtype(node.meta["val"]) for name, node in nodes.items() if name in inputs},
        "state": [_described(name, part[0]) for name, part in zip(state, start, strict=True)],
    }
    return Program(function, exported, inputs, outputs, symbols, about, fixed)


def _axes(name: str, node: torch.fx.Node, symbols: dict[str, str]) -> Axes:
    """The axes of an input or output; symbols that are new get a name."""
    axes: Axes = []
    for axis, size in enumerate(node.meta["val"].shape):
        if isinstance(size, int):
            axes.append(size)
            continue
        for symbol in size.node.expr.free_symbols:
            symbols.setdefault(str(symbol), _axis_name(name, axis, symbols))
        axes.append(re.sub(r"\w+", lambda part: symbols.get(part[0], part[0]), str(size)))
    return axes


def _axis_name(name: str, axis: int, symbols: Mapping[str, str]) -> str:
    if axis == 0:
        return "batch"
    if name == "history":
        return "time"
    number = len({other for other in symbols.values() if other.startswith("past")})
    return f"past_{number}" if number else "past"


def _described(name: str, values: Tensor) -> dict[str, Any]:
    """Describes a tensor of the initial state: in NumPy it is full((batch, *shape), value, dtype)."""
    value = values.flatten()[0].item() if values.numel() else 0.0
    return {
        "input": name,
        "output": f"next_{name}",
        "shape": list(values.shape),
        "dtype": _dtype(values),
        "value": value if bool((values == value).all()) else values.tolist(),
    }


def _dtype(values: Tensor) -> str:
    """NumPy's name of a tensor's dtype."""
    return str(values.dtype).removeprefix("torch.")


def _states(function: Stepping, rows: int) -> list[list[Tensor]]:
    """The tensors of the state before the first row, and after each of three rows."""
    states = [function.initial(rows)]
    for _ in range(3):
        states.append(function(example(function.model, rows, None)["row"], states[-1])["state"])
    return states


def _growing(states: Sequence[Sequence[Tensor]]) -> list[dict[int, Any]]:
    """The dynamic axes of the tensors of a state, from a few steps. Axes that grow in the same way share one size."""
    dims: dict[tuple[int, ...], Any] = {}
    axes: list[dict[int, Any]] = []
    for parts in zip(*states, strict=True):
        axes.append({0: Dim.DYNAMIC})
        for axis, sizes in enumerate(zip(*(part.shape for part in parts), strict=True)):
            if len(set(sizes)) > 1:
                axes[-1][axis] = dims.setdefault(sizes, Dim(f"past_{len(dims)}"))
    return axes


def _length(model: Network) -> int:
    """The number of rows of the example history. torch.export would take a single row for a constant."""
    return 8 if model.schema.lookback == "full" else max(int(model.schema.lookback), 2)


def _maker_of_length(function: nn.Module, inputs: Mapping[str, Tensor], shapes: Mapping[str, Any]) -> str | None:
    """Captures again, to find the line that turns the length into a number."""
    lines: list[str] = []
    with contextlib.suppress(Exception):
        _export(LengthWatch(function, lines), inputs, shapes)
    return lines[0] if lines else None
