"""Streams that are updated together are where they would be if each had been updated alone."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forecastlab.decoders import DeepAR
from forecastlab.errors import ConfigError, DataError, NewSeriesNote, RefusedRowsError
from forecastlab.export import load_streams, save_streams
from forecastlab.losses import GaussianNLL, Quantile
from forecastlab.network import stream as streaming
from tests.frames import panel, wide
from tests.network.streams import BACKBONES, DECODERS, network, rows_of
from tests.network.test_interval_window import network as with_intervals

ROWS, COUNT = 12, 5


def exact(model):
    """The network in double precision, in which the order of a sum makes no difference worth the name."""
    return model.double()


def require_equal(model, series, ahead=()):
    """Feeds streams together and others alone; returns how many forecasts were compared.

    Args:
        series: of each stream, its rows; they may differ in number and in time.
        ahead: names of the columns known in advance.
    """
    horizon = model.schema.horizon
    together, alone = ([model.stream() for _ in series] for _ in range(2))
    compared = 0
    for place in range(max(map(len, series))):
        numbers = [number for number, rows in enumerate(series) if place < len(rows) - (horizon if ahead else 0)]
        if not numbers:
            break
        rows = [series[number][place] for number in numbers]
        later = [series[number][place + 1 : place + 1 + horizon] if ahead else () for number in numbers]
        found = model.update_streams([together[number] for number in numbers], rows, later)
        for order, number in enumerate(numbers):
            expected = alone[number].update(rows[order], later[order])
            if expected is None:
                assert found is None or order not in found.index
                continue
            part = found.loc[[order]].reset_index(drop=True)
            pd.testing.assert_frame_equal(part, expected, rtol=1e-9, atol=1e-9)
            compared += 1
    return compared


def shifted(frame, count=COUNT):
    """Several series that differ in level, and begin at different times."""
    return [rows_of(frame.assign(y=frame["y"] + 3 * number).iloc[number : number + ROWS]) for number in range(count)]


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize(
    ("backbone", "decoder"),
    [*((name, "linear") for name in BACKBONES), *(("alstm", name) for name in DECODERS if name != "linear")],
)
def test_streams_that_are_updated_together_forecast_what_each_does_alone(tmp_path, backbone, decoder, lookback):
    model = network(tmp_path, wide(40), BACKBONES[backbone], decoder=DECODERS[decoder], lookback=lookback, horizon=3)
    assert require_equal(exact(model), shifted(wide(40))) == COUNT * (ROWS - (0 if lookback == "full" else 3))


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_so_it_is_with_gaps_and_steps_that_are_left_out_by_some(tmp_path, missing, lookback):
    frame = wide(40)
    model = network(tmp_path, frame, lookback=lookback, features=["x", "y"], missing=missing, calendar=["day_of_week"])
    series = shifted(frame)
    for number, rows in enumerate(series):
        del rows[3 : 3 + number]  # steps of the calendar
        rows[5].pop("x" if number % 2 else "y")
    assert require_equal(exact(model), series) >= 20


@pytest.mark.parametrize("lookback", [4, "full"])
def test_so_it_is_with_columns_that_are_known_in_advance(tmp_path, lookback):
    frame = wide(40)
    settings = {"known": ["price"], "calendar": ["day_of_week"], "decoder": DECODERS["seq2seq"]}
    model = network(tmp_path, frame, lookback=lookback, horizon=2, **settings)
    assert require_equal(exact(model), shifted(frame), ahead=["price"]) >= 7 * COUNT


@pytest.mark.parametrize("scale_by", ["global", "series"])
def test_so_it_is_for_series_with_scalings_and_vectors_of_their_own(tmp_path, scale_by):
    frame = panel(30)
    model = network(
        *(tmp_path, frame),
        **{"series_column": "unique_id", "scale_by": scale_by, "static": ["area"], "lookback": "full"},
        embeddings={"series": 2},
    )
    torch.nn.init.normal_(model.embeddings.get_parameter(next(name for name, _ in model.embeddings.named_parameters())))
    series = [rows_of(part.iloc[:ROWS]) for _, part in frame.groupby("unique_id")]
    assert require_equal(exact(model), [*series[::-1], series[0]]) == (len(series) + 1) * ROWS


@pytest.mark.parametrize(
    "settings", [{"loss": Quantile}, {"window_norm": "standard", "anchor": "last"}, {"targets": ["y", "x"]}]
)
def test_so_it_is_with_quantiles_normalised_windows_and_several_targets(tmp_path, settings):
    model = network(tmp_path, wide(40), **{"lookback": 4, "features": ["y", "x"], "horizon": 2, **settings})
    assert require_equal(exact(model), shifted(wide(40))) == COUNT * (ROWS - 3)


def test_so_it_is_with_intervals_that_follow_past_errors(tmp_path):
    frame = wide(60)
    model, _ = with_intervals(tmp_path, frame, horizon=2)
    series = [rows_of(frame.assign(y=frame["y"] + number)) for number in range(2)]
    assert require_equal(exact(model), series) > 100


def test_so_it_is_where_forecasts_are_drawn(tmp_path):
    model = network(tmp_path, wide(40), decoder=partial(DeepAR, hidden_size=4, samples=10), loss=GaussianNLL, horizon=2)
    assert require_equal(exact(model), shifted(wide(40), 3)) >= 20


def test_so_it_is_where_more_streams_come_than_the_network_runs_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "STREAMS_AT_ONCE", 2)
    model = network(tmp_path, wide(40), lookback="full")
    assert require_equal(exact(model), shifted(wide(40))) == COUNT * ROWS


def test_in_single_precision_they_differ_by_rounding_alone(tmp_path):
    model = network(tmp_path, wide(40), lookback="full")
    rows, streams = [series[0] for series in shifted(wide(40))], [model.stream() for _ in range(COUNT)]
    found = model.update_streams(streams, rows)
    expected = pd.concat([model.stream().update(row) for row in rows])["forecast"]
    np.testing.assert_allclose(found["forecast"], expected, rtol=1e-5)


def test_streams_that_were_updated_together_are_saved_and_go_on_to_the_last_bit(tmp_path):
    model, series = network(tmp_path, wide(40), lookback="full"), shifted(wide(40))
    fed = [model.stream() for _ in series]
    for place in range(6):
        model.update_streams(fed, [rows[place] for rows in series])
    save_streams(fed, tmp_path / "streams.safetensors")
    restored = load_streams(model, tmp_path / "streams.safetensors")
    for place in range(6, ROWS):
        rows = [rows[place] for rows in series]
        found, expected = model.update_streams(restored, rows), model.update_streams(fed, rows)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_what_a_stream_keeps_is_in_memory_of_its_own(tmp_path):
    model, series = network(tmp_path, wide(40), lookback="full"), shifted(wide(40))
    fed = [model.stream() for _ in series]
    model.update_streams(fed, [rows[0] for rows in series])
    for stream in fed:
        for part in (stream.kept.encoded, *stream.kept.state[0]):
            assert part.untyped_storage().nbytes() == part.numel() * part.element_size()


def test_the_index_says_which_stream_a_forecast_is_of(tmp_path):
    model, series = network(tmp_path, wide(40), lookback=4, horizon=2), shifted(wide(40))
    fed = [model.stream() for _ in range(3)]
    for place in range(3):
        assert model.update_streams(fed[1:2], [series[1][place]]) is None
    found = model.update_streams(fed, [series[0][0], series[1][3], series[2][0]])
    assert found.index.name == "stream"
    assert found.index.tolist() == [1, 1]


# ---- what is refused, and changes nothing ----


def test_rows_that_are_refused_are_all_named_and_no_stream_changes(tmp_path):
    model, series = network(tmp_path, wide(40), lookback=4), shifted(wide(40))
    fed, again = ([model.stream() for _ in series] for _ in range(2))
    for streams in (fed, again):
        for place in range(5):
            model.update_streams(streams, [rows[place] for rows in series])
    rows = [rows[5] for rows in series]
    bad = [*rows]
    bad[1], bad[3] = {**rows[1], "y": "much"}, series[3][2]
    with pytest.raises(RefusedRowsError) as caught:
        model.update_streams(fed, bad)
    assert set(caught.value.refused) == {1, 3}
    with pytest.raises(DataError, match="y: expected a number, got 'much'"):
        raise caught.value.refused[1]
    said = str(caught.value).splitlines()
    assert said[0] == "2 of 5 rows are refused, and no stream has changed:"
    assert said[2].startswith("row 3: the row is at 2020-01-06")
    pd.testing.assert_frame_equal(model.update_streams(fed, rows), model.update_streams(again, rows), check_exact=True)


def test_the_error_of_many_rows_is_short_and_travels_between_processes():
    error = RefusedRowsError({number: DataError(f"bad {number}\nmore") for number in range(8)}, 10)
    assert str(error).splitlines()[5:] == [
        "row 4: bad 4",
        "and 3 more",
        "Give the other rows without those of error.refused",
    ]
    assert str(pickle.loads(pickle.dumps(error)).refused[7]) == "bad 7\nmore"


def test_a_forecast_that_is_not_finite_is_refused_with_its_series(tmp_path):
    frame = panel(30)
    model = network(tmp_path, frame, series_column="unique_id", lookback="full", features=["y"])
    series = [rows_of(part) for _, part in frame.groupby("unique_id")]
    fed = [model.stream() for _ in series]
    rows = [rows[0] for rows in series]
    model.scaling.target_scale.fill_(np.inf)
    with pytest.raises(RefusedRowsError) as caught:
        model.update_streams(fed, rows)
    assert all("is not finite" in str(error) for error in caught.value.refused.values())
    assert str(caught.value.refused[1]).startswith("the forecast of series b from 2020-01-01")
    assert [stream.series for stream in fed] == [None] * len(fed)


def test_series_without_a_scaling_are_refused_beside_others(tmp_path):
    frame = panel(30)
    model = network(tmp_path, frame, series_column="unique_id", scale_by="series", lookback="full")
    row = frame.iloc[0].to_dict()
    with pytest.raises(RefusedRowsError) as caught:
        model.update_streams([model.stream(), model.stream()], [row, {**row, "unique_id": "z"}])
    (error,) = caught.value.refused.values()
    assert isinstance(error, ConfigError)
    assert "series z was not among those" in str(error)


def test_new_series_are_noted_together(tmp_path):
    frame = panel(30)
    model = network(tmp_path, frame, series_column="unique_id", embeddings={"series": 2}, lookback="full")
    rows = [{**frame.iloc[0].to_dict(), "unique_id": name} for name in ("y", "z")]
    with pytest.warns(NewSeriesNote, match=r"2 series were not among .* \(y, z\)") as notes:
        model.update_streams([model.stream(), model.stream()], rows)
    assert len(notes) == 1


def test_streams_of_others_streams_given_twice_and_too_few_rows_are_refused(tmp_path):
    model, other = (network(tmp_path, wide(40), lookback="full") for _ in range(2))
    row, stream = rows_of(wide(1))[0], model.stream()
    with pytest.raises(ConfigError, match="expected streams of this network"):
        model.update_streams([other.stream()], [row])
    with pytest.raises(ConfigError, match="a stream is there twice"):
        model.update_streams([stream, stream], [row, row])
    with pytest.raises(ConfigError, match="expected a row for each of 1 streams, got 2"):
        model.update_streams([stream], [row, row])
    with pytest.raises(ConfigError, match="expected a row for each of 1 streams, got 1, and 2 lists of rows ahead"):
        model.update_streams([stream], [row], [(), ()])
    assert model.update_streams([], []) is None


# ---- times are read as those of a single stream ----

TIMES = st.sampled_from(
    [
        *("2020-01-01", "2020-01-02", "2020-01-02 00:00", "2020-01-03"),
        *(pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02").as_unit("s"), pd.Timestamp("2020-01-02T12")),
        *(pd.Timestamp("2020-01-02", tz="UTC"), np.datetime64("2020-01-02"), 20200102, "02/01/2020", None, [1], np.nan),
    ]
)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=6))
def test_what_is_written_for_one_stream_never_changes_how_the_time_of_another_is_read(model_of_days, pairs):
    together, alone = ([model_of_days.stream() for _ in pairs] for _ in range(2))
    for turn in range(2):
        rows = [{"ds": pair[turn], "x": 1.0, "y": 2.0 + number} for number, pair in enumerate(pairs)]
        expected = {}
        for number, (stream, row) in enumerate(zip(alone, rows, strict=True)):
            try:
                stream.update(row)
            except DataError as error:
                expected[number] = str(error)
        try:
            model_of_days.update_streams(together, rows)
            refused = {}
        except RefusedRowsError as error:
            refused = {number: str(one) for number, one in error.refused.items()}
            fine = [number for number in range(len(pairs)) if number not in refused]
            model_of_days.update_streams([together[number] for number in fine], [rows[number] for number in fine])
        assert refused == expected


@pytest.fixture(scope="module")
def model_of_days(tmp_path_factory):
    return network(tmp_path_factory.mktemp("days"), wide(40), lookback="full", missing="ffill")
