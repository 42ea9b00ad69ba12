"""Recipes of tests, which the processes of a benchmark import."""

from forecastlab.errors import ConfigError


def tiny(seen, answers):
    """A small LSTM that reads few windows."""
    data = {**seen.settings, "horizon": answers["horizon"], "lookback": 28, "val_size": answers["horizon"] + 20}
    return {
        "data": {"class_path": "TableDataModule", "init_args": {**data, "stride": 40, "batch_size": 32}},
        "model": {
            "backbone": {"class_path": "LSTM", "init_args": {"hidden_size": 4}},
            "loss": {"class_path": "Quantile", "init_args": {"quantiles": [0.1, 0.5, 0.9]}},
            "anchor": "last",
        },
        "trainer": {"max_epochs": 2},
    }


def short(seen, answers):
    """The same for series of a few rows."""
    values = tiny(seen, answers)
    values["data"]["init_args"] |= {"lookback": 3, "val_size": answers["horizon"]}
    return values


def refusing(seen, answers):
    """It finds no config for short horizons."""
    if answers["horizon"] == 24:
        raise ConfigError("these series are too short")
    return tiny(seen, answers)


not_a_function = 5
