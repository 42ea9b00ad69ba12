import numpy as np
import pandas as pd
import pytest

from forecastlab.decoders import Seq2Seq
from forecastlab.errors import ConfigError, DataError
from forecastlab.losses import Quantile
from forecastlab.network.stream import Stream
from forecastlab.training.forecaster import Forecaster
from tests.frames import panel, wide
from tests.network.streams import BACKBONES, DECODERS, SMALL, network, rows_of
from tests.series import Series, as_if_trained, noise

NAN = np.nan


def require_equal(model, frame, known=()):
    """Feeds a frame row by row: after each the forecast is that of the frame so far. Returns how many there were."""
    stream, count = model.stream(), 0
    recipe = model.schema.recipe
    forecasts_from = model.schema.least_history
    begin = frame["ds"].iloc[0]
    if recipe["missing"] == "mask":
        begin = frame.loc[frame[recipe["targets"]].notna().any(axis=1), "ds"].iloc[0]
    for t, row in enumerate(rows_of(frame), 1):
        ahead = rows_of(frame[["ds", *known]].iloc[t : t + model.schema.horizon])
        if known and len(ahead) < model.schema.horizon:
            break
        found = stream.update(row, ahead if known else ())
        if not set(recipe["targets"]) & set(row) or (row["ds"] - begin).days + 1 < forecasts_from:
            assert found is None
            continue
        so_far = frame.iloc[:t]
        if known:
            so_far = pd.concat([so_far, frame[["ds", *known]].iloc[t : t + model.schema.horizon]])
        pd.testing.assert_frame_equal(found, model.forecast(so_far), rtol=1e-4, atol=1e-4)
        count += 1
    return count


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize(
    ("backbone", "decoder"),
    [*((name, "linear") for name in BACKBONES), *(("alstm", name) for name in DECODERS if name != "linear")],
)
def test_after_each_row_the_forecast_is_that_of_all_rows_so_far(tmp_path, backbone, decoder, lookback):
    frame, parts = wide(40), (BACKBONES[backbone], DECODERS[decoder])
    model = network(tmp_path, frame, parts[0], decoder=parts[1], lookback=lookback, horizon=3, features=["x", "y"])
    assert require_equal(model, frame.iloc[:12]) == (12 if lookback == "full" else 9)


@pytest.mark.parametrize("settings", [{}, {"missing": "mask"}, {"calendar": ["day_of_week"], "scaler": "minmax"}])
def test_so_it_is_while_the_window_reaches_behind_the_first_row(tmp_path, settings):
    frame = wide(40)
    frame.loc[5, "y"] = NAN if settings.get("missing") else frame.loc[5, "y"]
    model = network(tmp_path, frame, lookback=8, min_history=2, horizon=3, **settings)
    assert require_equal(model, frame.iloc[:12]) == (10 if settings.get("missing") else 11)


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize(
    "settings",
    [
        {"anchor": "last"},
        {"loss": Quantile},
        {"dropout": 0.5},
        {"calendar": ["day_of_week", "day_of_year"], "holidays": "DE"},
        {"derive": {"margin": {"y": 1, "price": -0.5}, "double": {"x": 2}}, "features": ["margin", "double"]},
        {
            "derive": {"margin": {"y": 1, "price": -0.5}},
            "targets": ["margin", "x"],
            "features": ["y"],
            "anchor": "last",
        },
        {"features": ["x"]},
        {"static": ["area"]},
        {"scaler": "minmax", "missing": "ffill"},
    ],
    ids=lambda settings: ",".join(settings),
)
def test_so_it_is_with_every_kind_of_column_and_setting(tmp_path, lookback, settings):
    frame = wide(40).assign(area=2.5)
    model = network(tmp_path, frame, lookback=lookback, horizon=2, **settings)
    assert require_equal(model, frame.iloc[:12]) >= 9


@pytest.mark.parametrize("anchor", ["last", "mean", "seasonal"])
@pytest.mark.parametrize("kind", ["last", "standard", "mean", "robust", "seasonal"])
def test_so_it_is_with_normalised_windows(tmp_path, kind, anchor):
    frame = wide(40)
    settings = {"features": ["y", "x"], "season_length": 2, "lookback": 5, "min_history": 3}
    model = network(tmp_path, frame, anchor=anchor, window_norm=kind, **settings)
    assert require_equal(model, frame.iloc[:12]) == 10


@pytest.mark.parametrize("lookback", [4, "full"])
def test_columns_known_in_advance_come_with_the_row(tmp_path, lookback):
    frame = wide(40)
    model = network(
        tmp_path, frame, decoder=Seq2Seq, lookback=lookback, horizon=3, known=["price"], calendar=["day_of_week"]
    )
    assert require_equal(model, frame.iloc[:14], known=["price"]) == (11 if lookback == "full" else 8)


GAPS = {"y": [2, 3, 7, 10], "x": [4, 5, 7, 12]}


def with_gaps(rows=16, leading=False):
    frame = wide(rows)
    for name, missing in GAPS.items():
        frame.loc[missing, name] = NAN
    if leading:
        frame.loc[:1, "y"] = NAN
        frame.loc[:5, "x"] = NAN
    return frame


@pytest.mark.parametrize(
    ("missing", "lookback", "leading"),
    [
        ("ffill", 5, False),
        ("ffill", "full", False),
        ("mask", 5, False),
        ("mask", "full", False),
        ("mask", 5, True),
        ("mask", "full", True),
        ("interpolate", 5, False),
        ("interpolate", 2, False),
    ],
)
@pytest.mark.parametrize("anchor", ["none", "last"])
def test_missing_values_are_filled_as_in_the_batch(tmp_path, missing, lookback, leading, anchor):
    frame = with_gaps(40, leading)
    model = network(tmp_path, frame, anchor=anchor, lookback=lookback, features=["x", "y"], missing=missing)
    assert require_equal(model, frame.iloc[:16]) >= 7


@pytest.mark.parametrize(
    ("missing", "lookback"), [("ffill", "full"), ("mask", "full"), ("mask", 4), ("interpolate", 4)]
)
def test_steps_of_the_calendar_that_are_left_out_are_rows_without_values(tmp_path, missing, lookback):
    frame = with_gaps(40).drop(index=[1, 6, 8, 9])
    settings = {"calendar": ["day_of_week"], "missing": missing, "lookback": lookback}
    model = network(tmp_path, frame, features=["x", "y"], **settings)
    assert require_equal(model, frame.iloc[:14]) >= 8


@pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
@pytest.mark.parametrize("fill", [{}, {"price": 0}])
def test_what_is_known_at_steps_that_are_left_out_is_as_in_the_batch(tmp_path, fill):
    whole = wide(40)
    frame = whole.drop(index=[6, 8, 9])
    model = network(tmp_path, frame, known=["price"], missing="ffill", lookback=4, fill=fill)
    stream, horizon = model.stream(), model.schema.horizon
    for place in frame.index[:10]:
        found = stream.update(whole.loc[place].to_dict(), whole.loc[place + 1 : place + horizon].to_dict("records"))
    later = whole.loc[place + 1 : place + horizon].assign(y=NAN)
    expected = model.forecast(pd.concat([frame.loc[:place], later]))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-4)


def test_months_and_hours_are_stepped_through_as_the_calendar_has_them(tmp_path):
    for frequency in ("MS", "h"):
        frame = wide(30, frequency=frequency).drop(index=[5])
        model = network(tmp_path, frame, frequency=frequency, missing="ffill", calendar=["hour"], lookback="full")
        stream = model.stream()
        for row in rows_of(frame):
            found = stream.update(row)
        pd.testing.assert_frame_equal(found, model.forecast(frame), rtol=1e-4, atol=1e-4)


def test_times_that_were_an_index_are_called_time():
    data = Series(noise(40), lookback=3)
    model = as_if_trained(Forecaster(SMALL, schema=data.schema)).eval()
    stream = model.stream()
    for time, values in noise(10).iterrows():
        found = stream.update({"time": time, **values})
    pd.testing.assert_frame_equal(found, model.forecast(noise(10)), rtol=1e-4)
    with pytest.raises(DataError, match="the row has no time; it has x, y"):
        stream.update({"x": 1.0, "y": 2.0})


# ---- several series ----


@pytest.mark.parametrize("scale_by", ["global", "series"])
def test_streams_of_one_network_do_not_disturb_each_other(tmp_path, scale_by):
    frame = panel(30)
    model = network(tmp_path, frame, series_column="unique_id", scale_by=scale_by, static=["area"], lookback="full")
    series = {name: part.iloc[:8] for name, part in frame.groupby("unique_id")}
    streams = {name: model.stream() for name in series}
    for t in range(8):
        model.forecast(frame)
        found = [streams[name].update(part.iloc[t].to_dict()) for name, part in series.items()]
    expected = model.forecast(pd.concat(series.values()))
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), expected, rtol=1e-4)


def test_a_series_without_a_scaling_of_its_own_is_refused(tmp_path):
    frame = panel(30)
    model = network(tmp_path, frame, series_column="unique_id", scale_by="series")
    with pytest.raises(ConfigError, match="series z was not among those the network was trained on"):
        model.stream().update({**frame.iloc[0].to_dict(), "unique_id": "z"})


def test_with_one_scaling_for_all_an_unknown_series_is_forecast(tmp_path):
    frame = panel(30)
    model = network(tmp_path, frame, series_column="unique_id", lookback="full")
    found = model.stream().update({**frame.iloc[0].to_dict(), "unique_id": "z"})
    assert found["unique_id"].tolist() == ["z"]


# ---- what it leaves alone ----


def test_a_network_that_is_being_trained_is_left_so(tmp_path):
    frame = wide(40)
    model = network(tmp_path, frame, lookback="full", dropout=0.5).train()
    model.decoder.eval()
    stream = model.stream()
    found = [stream.update(row)["forecast"].item() for row in rows_of(frame.iloc[:3])]
    assert model.training
    assert model.backbone.training
    assert not model.decoder.training
    again = model.stream()
    assert [again.update(row)["forecast"].item() for row in rows_of(frame.iloc[:3])] == found


def test_what_was_forecast_is_not_changed_by_later_rows(tmp_path):
    frame = with_gaps(40)
    model = network(tmp_path, frame, features=["x", "y"], missing="interpolate")
    stream = model.stream()
    found, kept = [], []
    for row in rows_of(frame.iloc[:14]):
        found.append(stream.update(row))
        kept.append(None if found[-1] is None else found[-1].copy())
    assert all(a is b is None or a.equals(b) for a, b in zip(found, kept, strict=True))


# ---- what is refused, and changes nothing ----


def fed(model, frame, rows):
    stream = model.stream()
    for row in rows_of(frame.iloc[:rows]):
        stream.update(row)
    return stream


REFUSED = {
    "before the last row": ({"ds": pd.Timestamp("2020-01-05")}, "rows come in order of time"),
    "a second time": ({"ds": pd.Timestamp("2020-01-06")}, "rows come in order of time"),
    "off the calendar": (
        {"ds": pd.Timestamp("2020-01-07 12:00")},
        "not on the calendar of the series, D from 2020-01-06",
    ),
    "of another zone": ({"ds": pd.Timestamp("2020-01-07", tz="UTC")}, "trained on times without a zone"),
    "without a time": ({"ds": None}, "cannot read None as a time"),
    "a number as time": ({"ds": 20200107}, "cannot read 20200107 as a time"),
    "text as time": ({"ds": "soon"}, "cannot read 'soon' as a time"),
    "an ambiguous time": ({"ds": "02/01/2020"}, "cannot read '02/01/2020' as a time"),
    "text as value": ({"x": "much"}, "x: expected a number, got 'much'"),
    "a list as value": ({"x": [1, 2]}, "x: expected a number"),
    "infinite": ({"y": np.inf}, "y: expected a finite number below 3.4e38, got inf"),
    "too large": ({"y": 1e39}, "y: expected a finite number below 3.4e38"),
    "missing": ({"x": None}, "x is missing at 2020-01-07"),
    "not a number": ({"y": NAN}, "y is missing at 2020-01-07"),
    "after a gap": ({"ds": pd.Timestamp("2020-01-09")}, "is missing at 2020-01-07"),
    "of another series": ({"unique_id": "b"}, "a stream takes one series: it has a, but the row is of b"),
    "of no series": ({"unique_id": None}, "the row has no unique_id"),
    "of another place": ({"area": 3.0}, "static covariate area must have one value, got 1.0 and then 3.0"),
}


@pytest.mark.parametrize("lookback", [4, "full"])
@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_a_row_that_is_refused_changes_nothing(tmp_path, lookback, change, words):
    frame = panel(30)
    model = network(tmp_path, frame, series_column="unique_id", static=["area"], features=["x", "y"], lookback=lookback)
    stream, again = fed(model, frame, 6), fed(model, frame, 6)
    row = frame.iloc[6].to_dict()
    with pytest.raises(DataError, match=words):
        stream.update({**row, **change})
    pd.testing.assert_frame_equal(stream.update(row), again.update(row))


def test_a_row_without_its_time_or_series_names_what_it_has(tmp_path):
    frame = panel(30)
    model = network(tmp_path, frame, series_column="unique_id")
    with pytest.raises(DataError, match="the row has no ds; it has unique_id, y"):
        model.stream().update({"unique_id": "a", "y": 1.0})
    with pytest.raises(DataError, match="the row has no unique_id, the name of its series; it has ds, y"):
        model.stream().update({"ds": pd.Timestamp("2020-01-01"), "y": 1.0})


def test_a_series_that_begins_without_a_value_is_refused_unless_that_is_an_input(tmp_path):
    model = network(tmp_path, wide(40), features=["x", "y"], missing="ffill", lookback="full")
    stream, (first, second, *_) = model.stream(), rows_of(wide(40))
    with pytest.raises(DataError, match=r"x is missing at 2020-01-01.*no value before it: begin with a whole row"):
        stream.update({**first, "x": None})
    found = stream.update(second)  # as if the first had not been
    pd.testing.assert_frame_equal(found, model.forecast(wide(40).iloc[1:2]), rtol=1e-4)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        ([], r"the known covariates \(price\) of the next 2 steps: pass ahead=\[...\] with a row for each, got 0"),
        ([{"price": 1.0}], "got 1"),
        ([{"price": 1.0}, {"price": None}], "must have a value in every row"),
        ([{"price": 1.0}, {"cost": 2.0}], "must have a value in every row"),
        ([{"price": 1.0}, {"price": "high"}], "price: expected a number, got 'high'"),
        (
            [{"ds": "2020-01-08", "price": 1.0}, {"ds": "2020-01-07", "price": 2.0}],
            "ahead: expected the known covariates of 2020-01-07 00:00:00, got those of 2020-01-08",
        ),
    ],
)
def test_what_is_known_in_advance_must_be_given(tmp_path, ahead, words):
    frame = wide(40)
    model = network(tmp_path, frame, known=["price"], horizon=2, lookback="full")
    stream, rows = model.stream(), rows_of(frame)
    for t in range(5):
        stream.update(rows[t], rows[t + 1 : t + 3])
    with pytest.raises(DataError, match=words):
        stream.update(rows[5], ahead)
    found = stream.update(rows[5], [{"price": row["price"]} for row in rows[6:8]])
    so_far = pd.concat([frame.iloc[:6], frame[["ds", "price"]].iloc[6:8]])
    pd.testing.assert_frame_equal(found, model.forecast(so_far), rtol=1e-4)


def test_a_row_needs_no_more_than_the_columns_that_the_network_reads(tmp_path):
    frame = wide(40)
    model = network(tmp_path, frame, lookback="full")
    stream = model.stream()
    assert isinstance(stream, Stream)
    for row in rows_of(frame.iloc[:5]):
        found = stream.update({"colour": "red", "y": str(row["y"]), "ds": str(row["ds"])})  # as a text file has them
    pd.testing.assert_frame_equal(found, model.forecast(frame.iloc[:5]), rtol=1e-4)
