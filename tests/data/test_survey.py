"""Files in the form in which their publishers make them, and what a survey finds in them."""

import numpy as np
import pandas as pd
import polars
import pytest
import yaml

from forecastlab.data.survey import OpenQuestionError, survey
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.errors import ConfigError, DataError
from forecastlab.experiment.proposal import config_for

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")
ROWS = 24 * 60


def wave(rows, season=24, noise=0.1, seed=0):
    """A season with some noise, which is no counter and has no value far from the others."""
    random = np.random.default_rng(seed)
    return 50 + 10 * np.sin(2 * np.pi * np.arange(rows) / season) + random.normal(0, noise, rows)


HOURS = pd.date_range("2021-01-01", periods=ROWS, freq="h")
DAYS = pd.date_range("2019-01-01", periods=700)


def household_power():
    """Date, time, semicolons and a question mark for what is missing."""
    times = pd.date_range("2006-12-16 17:24", periods=3000, freq="min")
    power = [f"{value:.3f}" for value in wave(3000, 1440)]
    power[100] = "?"
    frame = pd.DataFrame({"Date": times.strftime("%d/%m/%Y"), "Time": times.strftime("%H:%M:%S"), "Power": power})
    return frame.to_csv(sep=";", index=False), {"time_column": ["Date", "Time"], "na_values": ["?"]}


def air_quality():
    """Decimal commas, points in times of day, empty columns at the end and -200 for what is missing."""
    values = wave(ROWS).round(1)
    values[[5, 6, 300]] = -200
    cells = [str(value).replace(".", ",") for value in values]
    rows = [f"{t:%d/%m/%Y};{t:%H.%M.%S};{cell};;" for t, cell in zip(HOURS, cells, strict=True)]
    return "\n".join(["Date;Time;CO(GT);;", *rows]), {"time_column": ["Date", "Time"]}


def beijing():
    """Parts of times in columns, and a counter."""
    columns = {"year": HOURS.year, "month": HOURS.month, "day": HOURS.day, "hour": HOURS.hour, "pm2.5": wave(ROWS)}
    return pd.DataFrame({"No": range(1, ROWS + 1), **columns}).to_csv(index=False), {"target": "pm2.5"}


def bike_sharing():
    """A date and an hour, without the rows in which nothing was rented."""
    frame = pd.DataFrame({"dteday": HOURS.strftime("%Y-%m-%d"), "hr": HOURS.hour, "cnt": wave(ROWS).round()})
    return frame.drop(index=[100, 101, 700]).to_csv(index=False), {"time_column": ["dteday", "hr"]}


def metro():
    """Some times twice, with another weather."""
    frame = pd.DataFrame({"date_time": HOURS, "weather": "Clear", "traffic_volume": wave(ROWS).round()})
    again = frame.iloc[[50, 51, 400]].assign(weather="Rain")
    return pd.concat([frame, again]).sort_values("date_time").to_csv(index=False), {"duplicates": "first"}


def covid():
    """A column per date, month first."""
    frame = pd.DataFrame({"Country/Region": ["A", "B", "C"], "Lat": [1.5, 2.5, 3.5]})
    days = pd.date_range("2020-01-22", periods=300)
    labels = [f"{day.month}/{day.day}/{day:%y}" for day in days]
    table = pd.DataFrame([wave(300, 7, seed=seed) for seed in range(3)], columns=labels)
    return pd.concat([frame, table], axis=1).to_csv(index=False), {}


def prices():
    """Business days without holidays, the newest first."""
    days = pd.date_range("2020-01-01", periods=600, freq="B").delete([40, 41, 200])
    return pd.DataFrame({"Date": days, "Close": wave(597, 250)})[::-1].to_csv(index=False), {}


def exchange():
    """Half hours of an exchange."""
    halves = pd.date_range("2024-01-02", periods=48 * 60, freq="30min")
    clock = halves.hour * 60 + halves.minute
    halves = halves[(halves.day_of_week < 5) & (clock >= 570) & (clock <= 930)]
    return pd.DataFrame({"ts": halves, "price": wave(len(halves), 13)}).to_csv(index=False), {}


def weekly_co2():
    """Weeks with a mark of what is missing."""
    values = wave(400, 52) + 0.05 * np.arange(400)
    values[[20, 21]] = -999.99
    return pd.DataFrame({"ds": pd.date_range("2010-01-02", periods=400, freq="7D"), "co2": values}).to_csv(
        index=False
    ), {}


def rossmann():
    """Stores with closed days, promotions that are known for the days to come, and a type."""
    parts = []
    for number, kind in ((1, "a"), (2, "b"), (3, "a")):
        sales = wave(700, 7, seed=number).round(1)
        sales[-14:] = np.nan
        promo = (np.arange(700) // 14) % 2
        columns = {"Date": DAYS, "Sales": sales, "Promo": promo, "StoreType": kind}
        parts.append(pd.DataFrame({"Store": number, **columns}))
    return pd.concat(parts).to_csv(index=False), {}


def annual():
    return pd.DataFrame({"YEAR": range(1900, 2000), "SUNACTIVITY": wave(100, 11)}).to_csv(index=False), {}


FORMS = {
    household_power: {"targets": ["Power"], "time_column": ["Date", "Time"], "missing": "ffill"},
    air_quality: {"targets": ["CO(GT)"], "na_values": [-200.0], "missing": "ffill"},
    beijing: {"targets": ["pm2.5"], "time_column": ["year", "month", "day", "hour"], "season_length": 24},
    bike_sharing: {"targets": ["cnt"], "time_column": ["dteday", "hr"], "missing": "ffill"},
    metro: {"targets": ["traffic_volume"], "duplicates": "first", "time_column": "date_time"},
    covid: {"targets": ["y"], "series_column": "Country/Region", "season_length": 7},
    prices: {"targets": ["Close"], "time_column": "Date", "missing": "ffill"},
    exchange: {"targets": ["price"], "frequency": "rows"},
    weekly_co2: {"targets": ["co2"], "na_values": [-999.99], "missing": "ffill"},
    rossmann: {"targets": ["Sales"], "series_column": "Store", "known": ["Promo"], "static": ["StoreType"]},
    annual: {"targets": ["SUNACTIVITY"], "time_column": "YEAR", "missing": "error"},
}
"""What is to be found in each."""


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_file_as_its_publisher_makes_it_becomes_a_config_that_trains(form, tmp_path):
    text, answers = form()
    path = tmp_path / "data.csv"
    path.write_text(text)
    config = yaml.safe_load(config_for(survey(str(path), answers), "data.csv", answers))
    settings = config["data"]["init_args"]
    assert {name: settings.get(name) for name in FORMS[form]} == FORMS[form]
    module = TableDataModule(**settings)
    assert all(module.samples(part) > 0 for part in ("fit", "validation", "test"))
    assert module.panel.not_at_the_end() == {}


def test_a_polars_parquet_with_a_zone_is_read(tmp_path):
    times = polars.datetime_range(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-20"), "1h", eager=True)
    frame = polars.DataFrame({"when": times.dt.replace_time_zone("Europe/Berlin"), "load": wave(len(times))})
    frame.write_parquet(tmp_path / "load.parquet")
    seen = survey(str(tmp_path / "load.parquet"), {})
    assert seen.settings["time_column"] == "when"
    assert str(seen.tables[0].times.tz) == "Europe/Berlin"
    assert seen.season == 24


@pytest.mark.parametrize(("seasonal", "season"), [((), 1), ((1,), 24), ((0, 2), 24)])
def test_a_season_counts_if_one_target_repeats_so(seasonal, season):
    times = pd.date_range("2024-01-01", periods=1000, freq="h")
    steps = np.random.default_rng(0).normal(size=(3, 1000)).cumsum(1)
    values = {
        name: wave(1000) if number in seasonal else steps[number]
        for number, name in enumerate(("load", "price", "rain"))
    }
    assert survey(pd.DataFrame({"when": times, **values}), {"target": list(values)}).season == season


@pytest.mark.parametrize(
    ("columns", "option", "choices"),
    [
        ({"ds": DAYS, "a": wave(700), "b": wave(700)}, "target", ["a", "b"]),
        ({"ds": [*DAYS[:-1], DAYS[3]], "y": wave(700)}, "duplicates", ["first", "last", "mean", "sum"]),
        (
            {"ds": [*DAYS[:350]] * 2, "y": wave(700), "p": ["a"] * 350 + ["b"] * 350, "q": ["c"] * 350 + ["d"] * 350},
            "series_column",
            ["p", "q"],
        ),
    ],
)
def test_what_the_file_leaves_open_is_asked_with_all_answers(columns, option, choices):
    with pytest.raises(OpenQuestionError) as question:
        survey(pd.DataFrame(columns), {})
    assert (question.value.option, question.value.choices) == (option, choices)
    assert f"--{option}" in str(question.value)
    survey(pd.DataFrame(columns), {option: choices[0]})


@pytest.mark.parametrize(("rows", "horizon"), [(12, 1), (30, 3), (72, 9), (5000, 14)])
def test_the_choices_fit_to_the_length_of_the_series(rows, horizon):
    frame = pd.DataFrame({"ds": pd.date_range("2000-01-01", periods=rows), "y": wave(rows, 7)})
    config = yaml.safe_load(config_for(survey(frame, {}), "data.csv", {}))["data"]["init_args"]
    assert config["horizon"] == horizon


def test_answers_win_over_what_was_seen():
    frame = pd.DataFrame({"ds": DAYS, "y": wave(700, 7)})
    answers = {"horizon": 3, "lookback": 10, "season_length": 5, "missing": "mask"}
    text = config_for(survey(frame, answers), "data.csv", answers)
    config = yaml.safe_load(text)["data"]["init_args"]
    assert {name: config[name] for name in answers} == answers
    assert "horizon: 3  # as you said" in text


def test_days_by_the_clocks_of_a_zone_are_days_though_one_has_23_hours():
    days = pd.date_range("2023-01-01", periods=150, tz="Europe/Berlin")
    seen = survey(pd.DataFrame({"ds": days, "y": np.arange(150.0)}), {})
    assert "frequency" not in seen.settings
    assert seen.tables[0].frequency == "D"


def test_a_question_to_a_function_names_the_argument_that_answers_it():
    asked = OpenQuestionError("several could be it", "series_column", ["a, b", "c"], in_python=True)
    assert str(asked) == "several could be it: a, b, c. Answer with series_column=['a', 'b']"
    assert str(OpenQuestionError("which", "series_column", ["c"])) == "which: c. Answer with --series_column, such as c"


def test_a_survey_reads_as_the_table_of_what_it_saw():
    days = pd.date_range("2023-01-01", periods=50)
    said = repr(survey(pd.DataFrame({"ds": days, "y": np.arange(50.0)}), {}))
    assert said.splitlines()[0].split() == ["shape", "50", "rows,", "2", "columns"]
    assert "target      y: minimum 0" in said


@pytest.mark.parametrize("answer", ["a,b", "a, b", ["a", "b"]])
def test_several_targets_are_named_together(answer):
    frame = pd.DataFrame({"day": DAYS, "a": wave(700, 7), "b": wave(700, 7, seed=1), "c": wave(700, 7, seed=2)})
    seen = survey(frame, {"target": answer})
    assert seen.settings["targets"] == ["a", "b"]
    assert [label for label, _ in seen.facts].count("target") == 2
    assert seen.covariates == ["c"]


@pytest.mark.parametrize("word", ["?", "-", "n/a", "missing"])
def test_a_word_among_the_numbers_of_a_target_marks_missing_ones(word):
    cells = [f"{value:.3f}" for value in wave(700, 7)]
    cells[90] = word
    seen = survey(pd.DataFrame({"day": DAYS, "y": cells}), {})
    assert seen.settings["na_values"] == [word]
    assert not seen.tables[0].observed["y"].iloc[90]


def test_any_other_text_among_numbers_is_no_mark():
    cells = [f"{value:.3f}" for value in wave(700, 7)]
    cells[90] = "12 units"
    with pytest.raises(DataError, match="expected a number, got '12 units'"):
        survey(pd.DataFrame({"day": DAYS, "y": cells}), {})


def test_series_that_end_at_different_times_are_tested_on_their_own_last_rows():
    parts = [pd.DataFrame({"day": DAYS[:rows], "id": rows, "y": wave(rows, 7)}) for rows in (300, 500, 700)]
    seen = survey(pd.concat(parts), {})
    config = yaml.safe_load(config_for(seen, "x.csv", {}))["data"]["init_args"]
    assert config["fold_by"] == "series"


def test_the_published_ozone_file_is_read_by_its_name(real_ozone, monkeypatch):
    monkeypatch.setenv("FORECASTLAB_DATA", str(real_ozone.parent.parent))
    seen = survey(str(real_ozone), {}, "ozone")
    assert seen.settings["targets"] == ["51"]
    raw = pd.read_csv(real_ozone, header=None, na_values="?")
    np.testing.assert_allclose(seen.tables[0].values["51"][seen.tables[0].observed["51"]], raw[51].dropna())


def test_a_recipe_for_one_whole_sequence_is_refused_with_what_to_do():
    frame = pd.DataFrame({"day": DAYS, "y": wave(700, 7)})
    with pytest.raises(ConfigError, match="lookback: a recipe reads windows, so it takes a number of rows, got 'full'"):
        config_for(survey(frame, {}), "x.csv", {"lookback": "full"})


def test_an_answer_that_has_spaces_is_quoted_as_every_shell_takes_it():
    asked = OpenQuestionError("which", "target", ["Umsatz in €", "b"])
    assert str(asked) == 'which: Umsatz in €, b. Answer with --target, such as "Umsatz in €"'
