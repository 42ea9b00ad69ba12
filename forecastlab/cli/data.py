"""`forecastlab data`: what the source holds."""

from collections.abc import Sequence

import jsonargparse
import yaml
from jsonargparse import ArgumentParser

from forecastlab.cli.messages import explain
from forecastlab.cli.options import take
from forecastlab.cli.runs import read_config
from forecastlab.data.datamodule import ForecastDataModule
from forecastlab.data.folds import walk_forward
from forecastlab.data.ozone_datamodule import OzoneDataModule
from forecastlab.data.table import gaps
from forecastlab.errors import ConfigError


def data(args: Sequence[str]) -> None:
    """Prints rows, range, gaps, missing values and folds of a data source.

    Args:
        args: the command line after the sub-command; `--config` takes the `data` part of a config of `fit`.
    """
    paths, rest = take(args, "--config", "-c")
    parts = [content["data"] for content in map(read_config, paths) if "data" in content]
    module = data_module(parts or [{"class_path": OzoneDataModule.__name__}], rest)
    print(describe(module))


def data_module(parts: Sequence[object], args: Sequence[str] = ()) -> ForecastDataModule:
    """Builds the data module of a config.

    Args:
        parts: what configs hold under `data`; later ones win.
        args: options that win over them.

    Raises:
        ConfigError: for a setting that cannot be used.
    """
    parser = ArgumentParser(
        prog="forecastlab data",
        description="What the source holds; --config takes a config of fit, whose data part is read.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_subclass_arguments(ForecastDataModule, "data")
    given = [f"--data={yaml.safe_dump(part, default_flow_style=True)}" for part in parts]
    try:
        config = parser.parse_args([*given, *args])
    except jsonargparse.ArgumentError as error:
        raise ConfigError(explain(str(error), [name.lstrip("-") for name in parser._option_string_actions])) from None
    module: ForecastDataModule = parser.instantiate(config).data
    return module


def describe(module: ForecastDataModule) -> str:
    """What a data module's source holds, as text."""
    table = module.table
    holes = gaps(table.times, table.frequency)
    missing = ~table.observed
    targets = missing[module.targets].sum()
    lines = [
        f"series      {table.name}",
        f"rows        {len(table.times)} ({table.times[0]:%Y-%m-%d} .. {table.times[-1]:%Y-%m-%d}, "
        f"frequency {table.frequency})",
        f"columns     {table.values.shape[1]}: {len(module.features)} features, target {', '.join(module.targets)}",
        f"gaps        {len(holes)}, {holes['missing'].sum()} missing steps"
        + "".join(f"\n              {gap['from']:%Y-%m-%d} .. {gap['to']:%Y-%m-%d}" for _, gap in holes.iterrows()),
        f"missing     {missing.to_numpy().sum()} values in {missing.any(axis=1).sum()} rows, filled forward; "
        + ", ".join(f"{name}: {count or 'none'}" for name, count in targets.items()),
        "folds       target rows, half-open: fit, validation (" + module.validation + "), test",
    ]
    for number in range(1, module.splits + 1):
        fold = walk_forward(
            len(table.times),
            number,
            splits=module.splits,
            test_size=module.test_size,
            gap=module.gap,
            first_target=module.first_target,
            validation=module.validation,
            val_fraction=module.val_fraction,
        )
        ranges = ", ".join(f"{part.start}..{part.stop}" for part in (fold.fit, fold.validation, fold.test))
        lines.append(f"  {number}           {ranges}  (test from {table.times[fold.test.start]:%Y-%m-%d})")
    return "\n".join(lines)
