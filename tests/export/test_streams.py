"""Streams that are saved go on as if they had not been."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.decoders import AttentionPooling
from forecastlab.errors import ConfigError, DataError
from forecastlab.export import load_streams, save_streams
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel, wide
from tests.network.streams import BACKBONES, SMALL, network, rows_of
from tests.series import as_if_trained

BEFORE, ROWS = 9, 16


def require_the_same_after(folder, model, fed, later):
    """Feeds two streams the same later rows, of which one went through a file; returns how many forecasts there were.

    Args:
        fed: streams, each at a row of its own.
        later: of each, the rows that follow.
    """
    path = folder / "streams.safetensors"
    save_streams(fed, path)
    restored = load_streams(model, path)
    assert [stream.series for stream in restored] == [stream.series for stream in fed]
    forecasts = 0
    for stream, other, rows in zip(fed, restored, later, strict=True):
        for row in rows:
            expected, found = stream.update(row), other.update(row)
            if expected is None:
                assert found is None
            else:
                pd.testing.assert_frame_equal(found, expected, check_exact=True)
                forecasts += 1
    return forecasts


def at(model, rows, *places):
    """Streams that have taken in the first so many rows, and the rows that follow."""
    fed = [model.stream() for _ in places]
    for stream, place in zip(fed, places, strict=True):
        for row in rows[:place]:
            stream.update(row)
    return fed, [rows[place:ROWS] for place in places]


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_restored_stream_gives_the_same_forecasts_to_the_last_bit(tmp_path, backbone, lookback):
    frame = wide(40)
    model = network(tmp_path, frame, BACKBONES[backbone], lookback=lookback, anchor="last")
    fed, later = at(model, rows_of(frame), 0, 2, BEFORE)
    assert require_the_same_after(tmp_path, model, fed, later) >= 30


def test_so_it_is_where_the_decoder_attends_to_all_rows(tmp_path):
    frame = wide(40)
    model = network(tmp_path, frame, decoder=AttentionPooling, lookback="full")
    fed, later = at(model, rows_of(frame), 3, BEFORE)
    assert require_the_same_after(tmp_path, model, fed, later) == 2 * ROWS - 3 - BEFORE


@pytest.mark.parametrize("missing", ["ffill", "mask", "interpolate"])
def test_so_it_is_in_the_middle_of_a_gap(tmp_path, missing):
    frame = wide(40)
    frame.loc[[2, 7, 8, 9, 12], "x"] = np.nan
    model = network(tmp_path, frame, features=["x", "y"], missing=missing, lookback=4)
    fed, later = at(model, rows_of(frame), BEFORE)
    assert require_the_same_after(tmp_path, model, fed, later) == ROWS - BEFORE


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
def test_what_is_known_in_advance_holds_over_steps_that_are_left_out(tmp_path):
    frame = wide(40)
    model = network(tmp_path, frame, features=["y"], known=["price"], missing="ffill", lookback=4, horizon=1)
    rows = rows_of(frame)
    stream = model.stream()
    for row, ahead in pairwise(rows[: BEFORE + 1]):
        stream.update(row, [ahead])
    save_streams([stream], tmp_path / "streams.safetensors")
    (restored,) = load_streams(model, tmp_path / "streams.safetensors")
    behind = rows[BEFORE + 3 : BEFORE + 5]  # three rows are left out
    for row, ahead in pairwise(behind):
        pd.testing.assert_frame_equal(restored.update(row, [ahead]), stream.update(row, [ahead]), check_exact=True)


@pytest.mark.parametrize("lookback", [4, "full"])
def test_intervals_go_on_from_the_errors_that_were_seen(tmp_path, lookback):
    frame = wide(60)
    data = module(tmp_path, frame, frequency="D", features=["y", "x"], fold=3, horizon=3, lookback=lookback)
    torch.manual_seed(0)
    model = as_if_trained(Forecaster(SMALL, intervals=[0.5, 0.8], interval_window=6, schema=data.schema)).eval()
    model.scaling.load_state_dict(data.scaling.state_dict())
    model.intervals.margin.copy_(torch.rand(model.intervals.margin.shape).sort(0).values)
    rows = rows_of(frame)
    fed = [model.stream() for _ in range(3)]
    for stream, place in zip(fed, (2, 7, 30), strict=True):
        for row in rows[:place]:
            stream.update(row)
    later = [rows[place : place + 9] for place in (2, 7, 30)]
    assert require_the_same_after(tmp_path, model, fed, later) >= 23


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_streams_of_a_panel_keep_their_series_static_values_and_zone(tmp_path, zone):
    frame = panel(30)
    frame["ds"] = frame["ds"].dt.tz_localize(zone)
    model = network(
        tmp_path, frame, series_column="unique_id", scale_by="series", static=["area"], lookback="full", frequency="D"
    )
    groups = [rows_of(part) for _, part in frame.groupby("unique_id")]
    fed = [model.stream() for _ in groups]
    for stream, rows in zip(fed, groups, strict=True):
        for row in rows[:BEFORE]:
            stream.update(row)
    later = [[{**row, "area": None} for row in rows[BEFORE:ROWS]] for rows in groups]
    assert require_the_same_after(tmp_path, model, fed, later) == 3 * (ROWS - BEFORE)


def test_a_file_of_another_network_is_refused(tmp_path):
    frame, path = wide(40), tmp_path / "streams.safetensors"
    model = network(tmp_path, frame)
    save_streams(at(model, rows_of(frame), 5)[0], path)
    with torch.no_grad():
        next(model.parameters())[0] += 1
    with pytest.raises(DataError, match="has the states of another network, or of other weights"):
        load_streams(model, path)


def test_a_damaged_file_is_refused(tmp_path):
    frame, path = wide(40), tmp_path / "streams.safetensors"
    model = network(tmp_path, frame)
    save_streams(at(model, rows_of(frame), 5)[0], path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="was not written by save_streams, or is damaged"):
        load_streams(model, path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="is not a safetensors file"):
        load_streams(model, path)


def test_streams_of_two_networks_and_none_are_refused(tmp_path):
    frame = wide(40)
    one, other = network(tmp_path, frame), network(tmp_path, frame)
    for streams in ([], [one.stream(), other.stream()]):
        with pytest.raises(ConfigError, match="one or more streams of one network"):
            save_streams(streams, tmp_path / "streams.safetensors")
    assert not (tmp_path / "streams.safetensors").exists()
