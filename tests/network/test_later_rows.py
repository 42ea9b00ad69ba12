"""A checkpoint reads later rows as it read those of its training: counted, by rows, with text and with markers."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.backbones.lstm import LSTM
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import DataError, ReadingNote
from forecastlab.training.forecaster import Forecaster
from tests.series import trainer

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")


def trained(folder, frame, **settings):
    """A network trained on a frame for an epoch, and loaded from its checkpoint."""
    torch.manual_seed(0)
    data = TableDataModule(frame, **{"lookback": 4, "splits": 3, "fold": 2, "batch_size": 16, **settings})
    running = trainer(max_epochs=1)
    running.fit(Forecaster(partial(LSTM, hidden_size=4), schema=data.schema), data)
    running.save_checkpoint(folder / "x.ckpt")
    return Forecaster.load(folder / "x.ckpt")


def frame(rows=60, **columns):
    return pd.DataFrame({**columns, "y": 10 + np.sin(np.arange(rows))})


def streamed(model, rows):
    """The last forecast of a stream of a frame's rows."""
    stream = model.stream()
    forecasts = [stream.update(row) for row in rows.to_dict("records")]
    return forecasts[-1]


def test_counted_rows_are_forecast_with_the_next_numbers(tmp_path):
    data = frame(n=range(100, 160))
    model = trained(tmp_path, data, time_column="n", frequency="1", horizon=2)
    found = model.forecast(data)
    assert found["ds"].tolist() == [160, 161]
    assert found["cutoff"].tolist() == [159, 159]
    pd.testing.assert_frame_equal(streamed(model, data), found)


def test_rows_without_times_are_forecast_from_the_number_of_the_last_one(tmp_path):
    model = trained(tmp_path, frame())
    assert model.forecast(frame(30))["ds"].tolist() == [30]
    with pytest.raises(DataError, match="expected a whole number as the time of the row"):
        model.stream().update({"time": "soon", "y": 1.0})


def test_the_rows_of_an_exchange_go_on_at_its_hours(tmp_path):
    hours = pd.date_range("2024-01-01", periods=24 * 28, freq="h")
    hours = hours[(hours.day_of_week < 5) & (hours.hour >= 9) & (hours.hour < 17)]
    data = frame(len(hours), ds=hours)
    model = trained(tmp_path, data, frequency="rows", horizon=3)
    monday = data[data["ds"] <= "2024-01-22 15:00"]  # few rows, from which the pattern could not be told
    expected = [pd.Timestamp(time) for time in ("2024-01-22 16:00", "2024-01-23 09:00", "2024-01-23 10:00")]
    assert model.forecast(monday[-6:])["ds"].tolist() == expected
    assert streamed(model, monday)["ds"].tolist() == expected


def test_text_is_read_with_the_words_of_the_training(tmp_path):
    days = pd.date_range("2024-01-01", periods=60)
    data = frame(ds=days, sky=["blue", "grey", "blue"] * 20)
    model = trained(tmp_path, data, features=["y", "sky"])
    by_hand = data.assign(**{"sky=blue": data["sky"] == "blue", "sky=grey": data["sky"] == "grey"})
    numbers = trained(tmp_path / "..", by_hand, features=["y", "sky=blue", "sky=grey"])
    found = model.forecast(data)
    pd.testing.assert_frame_equal(found, numbers.forecast(by_hand))
    pd.testing.assert_frame_equal(streamed(model, data), found)
    with pytest.warns(ReadingNote, match=r"column sky has 1 values that the training had not \(pink\)"):
        model.forecast(data.replace({"sky": {"grey": "blue"}}).assign(sky=[*data["sky"][:-1], "pink"]))


def test_a_number_that_is_text_later_is_refused(tmp_path):
    days = pd.date_range("2024-01-01", periods=60)
    model = trained(tmp_path, frame(ds=days, x=np.arange(60.0)), features=["y", "x"])
    with pytest.raises(DataError, match="column x: expected a number, got 'a'"):
        model.forecast(frame(ds=days, x="a"))


def test_markers_stay_missing_values(tmp_path):
    days = pd.date_range("2024-01-01", periods=60)
    data = frame(ds=days)
    data.loc[[7, 55], "y"] = -999.0
    model = trained(tmp_path, data, na_values=[-999], missing="ffill")
    filled = data.replace(-999.0, np.nan).ffill()
    found = model.forecast(data)
    np.testing.assert_array_equal(found["forecast"], model.forecast(filled)["forecast"])
    pd.testing.assert_frame_equal(streamed(model, data), found)


def test_a_stream_holds_what_is_known_where_rows_are_left_out(tmp_path):
    days = pd.date_range("2024-01-01", periods=61)
    data = frame(61, ds=days, open=[1.0, 0.0, 1.0] * 20 + [1.0]).drop(index=[20, 57])
    data.loc[60, "y"] = np.nan
    model = trained(tmp_path, data, known=["open"], missing="ffill", frequency="D")
    stream, rows = model.stream(), data.to_dict("records")
    found = [stream.update(row, ahead=rows[n + 1 : n + 2]) for n, row in enumerate(rows[:-1]) if n not in (19, 55)]
    assert found[-1] is not None


def test_several_columns_of_times_and_names_are_read_again(tmp_path):
    days = pd.date_range("2024-01-01", periods=60)
    parts = {"year": days.year, "month": days.month, "day": days.day}
    data = pd.concat([frame(shop="a", item=kind, **parts) for kind in ("x", "z")])
    model = trained(tmp_path, data, time_column=["year", "month", "day"], series_column=["shop", "item"])
    found = model.forecast(data)
    assert found["unique_id"].tolist() == ["a/x", "a/z"]
    assert found["ds"].tolist() == [pd.Timestamp("2024-03-01")] * 2
