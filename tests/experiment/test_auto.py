"""The rules of the automatic recipe."""

import numpy as np
import pytest

from forecastlab.experiment import auto


@pytest.mark.parametrize(
    ("lengths", "horizon", "season", "rows"),
    [
        ([7000], 30, 7, 504),  # 72 of at most 73 weeks: 24 segments of three
        ([8640] * 7, 48, 24, 504),
        ([8640] * 7, 96, 24, 1008),  # twice as many for a long horizon
        ([700] * 400, 48, 24, 504),
        ([115] * 1000, 18, 12, 96),  # 8 years of 115 - 18 months
        ([44] * 700, 8, 4, 36),
        ([120], 12, 12, 24),  # 108 windows, four for each row that is read
        ([30], 12, 12, 12),  # at least one season
        ([20] * 500, 6, 1, 14),
        ([900] * 300, 13, 1, 128),
        ([5], 2, 12, 3),
        ([3], 3, 1, 1),
    ],
)
def test_nearly_as_many_rows_are_read_as_there_are_in_whole_seasons(lengths, horizon, season, rows):
    assert auto.lookback(np.array(lengths), horizon, season) == rows


@pytest.mark.parametrize(
    ("rows", "season", "length"),
    [
        (504, 24, 24),
        (504, 7, 21),
        (511, 7, 7),
        (48, 2, 2),
        (96, 2, 4),
        (96, 12, 4),
        (36, 4, 2),
        (24, 12, 1),
        (480, 96, 24),
        (720, 144, 36),
        (128, 1, 8),
        (13, 1, 1),
    ],
)
def test_segments_divide_the_season_and_make_few_steps(rows, season, length):
    assert auto.segment(rows, season) == length


@pytest.mark.parametrize(
    ("windows", "horizon", "targets", "batch", "per_epoch", "epochs", "patience"),
    [
        (100, 12, 1, 16, None, 100, 25),
        (6000, 30, 1, 256, None, 41, 10),
        (10**6, 18, 1, 256, 12800, 20, 5),
        (1, 1, 1, 16, None, 100, 25),
        (8000, 48, 7, 73, 3650, 20, 5),  # 511 sequences
        (8000, 720, 7, 9, 450, 20, 3),  # 45,360 values
        (100, 24, 7, 16, None, 100, 25),
        (10**6, 100, 1000, 1, 50, 20, 3),
        (100, 60, 1, 16, None, 100, 15),
    ],
)
def test_a_training_has_about_a_thousand_batches(windows, horizon, targets, batch, per_epoch, epochs, patience):
    found = auto.training(windows, horizon, targets)
    assert found == {
        "batch_size": batch,
        "windows_per_epoch": per_epoch,
        "epochs": epochs,
        "patience": patience,
        "lr": 5e-4 if horizon > 48 else 2e-3,
    }


def test_a_network_reads_segments_and_gives_quantiles_in_units_of_its_window():
    monthly = auto.model(96, 18, 12, 1, True, True, panel=True)
    assert monthly["backbone"]["class_path"] == "Patches"
    assert (monthly["window_norm"], monthly["loss_units"], monthly["intervals"]) == ("seasonal", "window", [0.9])
    assert "channels" not in monthly
    assert "decoder" not in monthly
    assert auto.model(480, 720, 96, 7, True, True, panel=True)["decoder"]["class_path"] == "Segments"
    assert "decoder" not in auto.model(480, 720, 96, 7, False, True, panel=True)
    short = auto.model(12, 12, 12, 3, False, False, panel=False)
    assert short["backbone"]["class_path"] == "GRU"
    assert (short["window_norm"], short["channels"]) == ("mean", "independent")
    assert "intervals" not in short
    assert "loss_units" not in short, "the windows of one series have one unit"
