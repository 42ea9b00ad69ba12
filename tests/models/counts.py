"""Panels of counts, and how often intervals of a forecast hold the truth at each level of the series.

    python -m tests.models.counts FOLDER [RECIPE ...]     the folder that holds benchmarks/monash

trains every recipe, or the named ones, on every panel, writes the figures to `counts.csv` beside this file, and their
tables into docs/recipes.md. Without a folder it writes the tables of the stored figures.
"""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import forecastlab
from forecastlab.benchmarks.series import monash

HORIZON, ORIGINS, WEEK = 7, 2, 7
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
HELD_OUT = 30
"""The last rows of each series of vehicle trips are the test window of its archive, and are not looked at."""
SAMPLED = 20
"""A sample of trips takes one in so many."""
SIZE = 4.0
"""The seeded panel has the variance m + m² / SIZE."""
LIKELIHOOD = {
    "data.lookback": 28,
    "data.min_history": 14,
    "data.batch_size": 128,
    "data.windows_per_epoch": 5120,
    "model.backbone": "LSTM",
    "model.backbone.hidden_size": 32,
    "model.decoder": "Linear",
    "model.loss": "NegativeBinomial",
    "model.loss.quantiles": list(LEVELS),
    "model.window_norm": "level",
    "model.anchor": "none",
    "model.loss_units": "scaled",
    "model.linear_window": False,
    "model.intervals": [],
    "trainer.max_epochs": 40,
    "trainer.enable_progress_bar": False,
}
"""A negative binomial around an LSTM: what the automatic recipe has instead is left out."""
INFLATED = {
    **{name: value for name, value in LIKELIHOOD.items() if not name.startswith("model.loss.")},
    "model.loss": {
        "class_path": "ZeroInflated",
        "init_args": {"distribution": {"class_path": "NegativeBinomial", "init_args": {"quantiles": list(LEVELS)}}},
    },
}
RECIPES = {
    "quantiles": {"model.intervals": [0.8, 0.9], "trainer.enable_progress_bar": False},
    "`NegativeBinomial`": LIKELIHOOD,
    "`ZeroInflated`": INFLATED,
}
"""What is compared. "quantiles" is the automatic recipe, calibrated for both intervals."""
NAIVE, TRUE = "seasonal naive", "true distribution"
STORED = Path(__file__).parent / "counts.csv"
PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def negative_binomial(series=120, rows=112, size=SIZE, seed=0):
    """A panel of counts whose distribution is known: levels from 0.3 to 100, a week, variance m + m² / size.

    Returns:
        The frame (unique_id, ds, y), and the means m, (series, rows).
    """
    generator = np.random.default_rng(seed)
    level = np.exp(np.linspace(np.log(0.3), np.log(100), series))
    week = np.array([1.0, 1.0, 1.1, 1.2, 1.5, 0.7, 0.5])
    mean = level[:, None] * week[np.arange(rows) % WEEK]
    drawn = generator.poisson(generator.gamma(size, mean / size))
    return long(drawn, [f"s{number:03d}" for number in range(series)]), mean


def long(values, names, starts="2024-01-01"):
    """Series (rows,) each as a frame unique_id, ds, y."""
    starts = [starts] * len(names) if isinstance(starts, str) else starts
    parts = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(start, periods=len(own), freq="D"), "y": own})
        for name, start, own in zip(names, starts, values, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def vehicle_trips(folder):
    """The daily trips of 329 bases of taxis, without their test windows."""
    found = monash("D")([Path(folder) / "benchmarks/monash/vehicle_trips_dataset_without_missing_values.tsf"])
    return long([own[:-HELD_OUT].astype(int) for own in found.values], found.names, found.starts)


def sampled(frame, one_in=SAMPLED, seed=0):
    """The counts of a sample that takes each trip with the same probability: what a survey would see."""
    return frame.assign(y=np.random.default_rng(seed).binomial(frame["y"], 1 / one_in))


def panels(folder):
    """The panels by name, each with the means of its distribution (series, rows) where they are known."""
    trips = vehicle_trips(folder)
    return {
        "seeded": negative_binomial(),
        "trips": (trips, None),
        f"one trip in {SAMPLED}": (sampled(trips), None),
    }


def before(frame, rows):
    """A frame without the last rows of each series."""
    return frame[frame.groupby("unique_id").cumcount(ascending=False) >= rows]


def with_truth(told, frame):
    """Forecasts (unique_id, ds, forecast, bounds) beside the truth, the mean of the rows before, and the naive error.

    `scale` is the mean absolute error of the seasonal naive in the rows before; NaN if it is 0.
    """
    train = before(frame, ORIGINS * HORIZON)
    by = train.groupby("unique_id")["y"]
    change = (train["y"] - by.shift(WEEK)).abs().groupby(train["unique_id"]).mean()
    of_series = pd.DataFrame({"level": by.mean(), "scale": change.where(change > 0)}).reset_index()
    table = told.merge(frame, on=["unique_id", "ds"], validate="one_to_one")
    assert len(table) == ORIGINS * HORIZON * frame["unique_id"].nunique()
    return table.merge(of_series, on="unique_id")


def forecasts(frame, settings, **answers):
    """Trains on all rows but the last of each series, and forecasts those, a horizon at a time, beside the truth."""
    answers = {"series_column": "unique_id", "time_column": "ds", "fold": "all", **answers}
    train = before(frame, ORIGINS * HORIZON)
    model = forecastlab.fit(train, "y", HORIZON, settings={"seed_everything": 0, **settings}, **answers)
    told = [model.forecast(before(frame, back * HORIZON)) for back in range(ORIGINS, 0, -1)]
    return with_truth(pd.concat(told).drop(columns="y"), frame)


def seasonal_naive(frame):
    """The value of a week before, which is known at the origin, as all quantiles."""
    told = frame.assign(forecast=frame.groupby("unique_id")["y"].shift(WEEK))
    told = told[frame.groupby("unique_id").cumcount(ascending=False) < ORIGINS * HORIZON].drop(columns="y")
    bounds = dict.fromkeys(columns_of_levels().values(), told["forecast"])
    return with_truth(told.assign(**bounds), frame)


def true_distribution(frame, mean):
    """The distribution that the seeded panel was drawn from."""
    truth = stats.nbinom(SIZE, SIZE / (SIZE + mean.ravel()))
    bounds = {column: truth.ppf(level) for level, column in columns_of_levels().items()}
    told = frame.assign(forecast=mean.ravel(), **bounds).drop(columns="y")
    return with_truth(told[frame.groupby("unique_id").cumcount(ascending=False) < ORIGINS * HORIZON], frame)


def columns_of_levels():
    """The column of a forecast that has each quantile but the median."""
    lower = {level: f"forecast-lo-{100 * (1 - 2 * level):.0f}" for level in LEVELS if level < 0.5}
    return {**lower, **{level: f"forecast-hi-{100 * (2 * level - 1):.0f}" for level in LEVELS if level > 0.5}}


def by_level(table, groups=10):
    """How often intervals hold the truth, and how far forecasts err, for groups of series by their mean before.

    A distribution of whole numbers gives an end of an interval a probability of its own. So the share of truths within
    the interval should be at least what it promises, and the share of those within and not at an end at most that.

    Args:
        table: of `forecasts`.
        groups: how many, of equally many series.

    Returns:
        A row per group: `up_to` (the largest mean), `values` (how many), `zeros` (the share of zeros), for each
        interval `inside_90`, `within_90` (inside, and not at an end) and `width_90` (mean), and in units of `scale`
        `MASE` and `CRPS`, the mean of twice the pinball loss of the deciles but the median.
    """
    series = table.drop_duplicates("unique_id").set_index("unique_id")["level"]
    group = pd.qcut(series.rank(method="first"), groups, labels=False)
    told = {"group": table["unique_id"].map(group), "zeros": table["y"] == 0}
    for share in (80, 90):
        low, high = table[f"forecast-lo-{share}"], table[f"forecast-hi-{share}"]
        told[f"inside_{share}"] = table["y"].between(low, high)
        told[f"within_{share}"] = table["y"].between(low, high, inclusive="neither")
        told[f"width_{share}"] = high - low
    told["MASE"] = (table["y"] - table["forecast"]).abs() / table["scale"]
    deciles = {level: column for level, column in columns_of_levels().items() if 0.1 <= level <= 0.9}
    losses = [pinball(table["y"], table[column], level) for level, column in deciles.items()]
    told["CRPS"] = 2 * np.mean(losses, 0) / table["scale"]
    told = table[["level", "y"]].assign(**told)
    names = [name for name in told if name not in ("level", "y", "group")]
    found = told.groupby("group").agg(
        up_to=("level", "max"), values=("y", "size"), **{name: (name, "mean") for name in names}
    )
    return found.reset_index(drop=True)


def pinball(truth, quantile, level):
    """The loss that the quantile of a level makes smallest."""
    return np.maximum(level * (truth - quantile), (level - 1) * (truth - quantile))


def measured(folder, *recipes):
    """The figures of every recipe on every panel, a row per group of series; of recipes not named, the stored ones."""
    found = {}
    for panel, (frame, mean) in panels(folder).items():
        found[panel, NAIVE] = by_level(seasonal_naive(frame))
        if mean is not None:
            found[panel, TRUE] = by_level(true_distribution(frame, mean))
        for recipe, settings in RECIPES.items():
            if recipes and recipe not in recipes:
                continue
            found[panel, recipe] = by_level(forecasts(frame, settings))
            print(
                f"{panel}, {recipe}", found[panel, recipe].to_string(float_format="{:.3f}".format), sep="\n", flush=True
            )
    rows = pd.concat(found, names=["panel", "recipe", "group"]).reset_index()
    rows = rows.assign(group=rows["group"] + 1)
    if not recipes:
        return rows
    keys = ["panel", "recipe", "group"]
    before = pd.read_csv(STORED).set_index(keys)
    return rows.set_index(keys).combine_first(before).reindex(before.index)[before.columns].reset_index()


def block(rows):
    """The tables of stored figures, as they stand in docs/recipes.md."""
    parts = [errors(rows)]
    for panel, own in rows.groupby("panel", sort=False):
        parts += ["", *coverage(panel, own)]
    return "\n".join(parts)


def errors(rows):
    """A table of errors and of coverage over all series of a panel, each group weighted by its values."""
    lines = ["| panel | recipe | MASE | CRPS | in 80 % | in 90 % |", "|---|---|---:|---:|---:|---:|"]
    for (panel, recipe), own in rows.groupby(["panel", "recipe"], sort=False):
        mean = {name: np.average(own[name], weights=own["values"]) for name in ("MASE", "CRPS")}
        shares = [f"{np.average(own[f'inside_{share}'], weights=own['values']):.3f}" for share in (80, 90)]
        cells = [
            panel,
            recipe,
            f"{mean['MASE']:.3f}",
            f"{mean['CRPS']:.3f}",
            *(shares if recipe != NAIVE else ["", ""]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def coverage(panel, rows):
    """The table of a panel, a column per group: what lies within an interval, and what lies in it with its ends."""
    groups = sorted(rows["group"].unique())
    lines = [f"| {panel} | {' | '.join(map(str, groups))} |", f"|---|{'---:|' * len(groups)}"]
    about = rows[rows["recipe"] == NAIVE].set_index("group")
    lines.append(row("mean, up to", [f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in about["up_to"]]))
    lines.append(row("zeros", [f"{value:.2f}" for value in about["zeros"]]))
    for recipe, own in rows.groupby("recipe", sort=False):
        if recipe == NAIVE:
            continue
        for share in (80, 90):
            pairs = zip(own[f"within_{share}"], own[f"inside_{share}"], strict=True)
            lines.append(row(f"{recipe}, {share} %", [f"{100 * low:.0f}-{100 * high:.0f}" for low, high in pairs]))
    return lines


def row(name, cells):
    """A line of a table."""
    return f"| {name} | {' | '.join(cells)} |"


BETWEEN_MARKS = re.compile(r"(?<=<!-- counts -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def main(arguments):
    if arguments:
        measured(*arguments).to_csv(STORED, index=False, float_format="%.4f")
    text = block(pd.read_csv(STORED))
    PAGE.write_text(BETWEEN_MARKS.sub(lambda _: text, PAGE.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
