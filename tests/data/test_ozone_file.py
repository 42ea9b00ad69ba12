import hashlib
import os
import time
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from forecastlab.data.cache import checksum
from forecastlab.data.ozone import COLUMNS, SHA256, SIZE, read_ozone
from forecastlab.data.sample import sample_ozone
from forecastlab.data.table import gaps
from forecastlab.errors import DataError
from tests.frames import table

# As the description of the data set lists them, written out.
EXPECTED_COLUMNS = """
Date WSR0 WSR1 WSR2 WSR3 WSR4 WSR5 WSR6 WSR7 WSR8 WSR9 WSR10 WSR11 WSR12 WSR13 WSR14 WSR15 WSR16 WSR17 WSR18 WSR19
WSR20 WSR21 WSR22 WSR23 WSR_PK WSR_AV T0 T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 T16 T17 T18 T19 T20 T21 T22
T23 T_PK T_AV T85 RH85 U85 V85 HT85 T70 RH70 U70 V70 HT70 T50 RH50 U50 V50 HT50 KI TT SLP SLP_ Precp class
""".split()  # noqa: SIM905  # a list of 74 literals is harder to compare with the description


def row(day, first="1.5", fill="2"):
    return ",".join([day, first, *[fill] * 71, "0."])


GOOD = [row("1/1/1998"), row("1/2/1998", "?"), row("1/5/1998", "-3.25")]


@pytest.fixture
def write(tmp_path):
    def written(content):
        path = tmp_path / "eighthr.data"
        path.write_bytes(content if isinstance(content, bytes) else "\n".join([*content, ""]).encode())
        return path

    return written


def refused(path):
    """The message with which reading is refused."""
    with pytest.raises(DataError) as caught:
        read_ozone(path)
    message = str(caught.value)
    assert len(message.splitlines()) <= 10
    assert message.startswith(str(path))
    assert "\n" in message, "the message says what to do"
    return message


def test_columns_are_those_of_the_description():
    assert list(COLUMNS) == EXPECTED_COLUMNS
    assert len(COLUMNS) == 74


def test_a_file_is_read_as_it_stands(write):
    raw = read_ozone(write(GOOD))
    assert raw.index.tolist() == [pd.Timestamp("1998-01-01"), pd.Timestamp("1998-01-02"), pd.Timestamp("1998-01-05")]
    assert raw.columns.tolist() == EXPECTED_COLUMNS[1:]
    np.testing.assert_array_equal(raw.WSR0, [1.5, np.nan, -3.25])
    assert (raw.iloc[:, 1:-1] == 2).all(axis=None)
    assert (raw["class"] == 0).all()


@pytest.mark.parametrize("cell", ["1", "1.", ".5", "-1.5", "+2", "1e3", "1.5E-2", "0"])
def test_every_notation_of_a_number_is_read(write, cell):
    assert read_ozone(write([row("1/1/1998", cell)])).WSR0.item() == float(cell)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n\n", b"\r\n\r\n", b"\n  \n"])
def test_line_ends_and_empty_last_lines_do_not_matter(write, ending):
    separator = b"\r\n" if b"\r" in ending else b"\n"
    path = write(separator.join(line.encode() for line in GOOD) + ending)
    assert len(read_ozone(path)) == 3


def test_a_byte_order_mark_does_not_matter(write):
    assert len(read_ozone(write(b"\xef\xbb\xbf" + "\n".join(GOOD).encode()))) == 3


def test_the_sample_written_as_a_file_is_read_back_exactly(write):
    sample = sample_ozone(400, seed=3)
    lines = [
        ",".join(
            [
                f"{day.month}/{day.day}/{day.year}",
                *("?" if np.isnan(value) else f"{value:.10g}" for value in values[:-1]),
                f"{values[-1]:.0f}.",
            ]
        )
        for day, values in zip(sample.index, sample.to_numpy(), strict=True)
    ]
    assert any("?" in line for line in lines)
    pd.testing.assert_frame_equal(read_ozone(write(lines)), sample)


def test_too_few_columns_name_the_line(write):
    short = GOOD[1].rsplit(",", 1)[0]
    assert "line 2: expected 74 columns with commas between, got 73" in refused(write([GOOD[0], short, GOOD[2]]))


def test_too_many_columns_name_the_line(write):
    assert "line 3: expected 74 columns with commas between, got 75" in refused(write([*GOOD[:2], GOOD[2] + ",1"]))


def test_a_comma_at_the_end_of_a_line_is_a_column_too_many(write):
    assert "line 1: expected 74 columns with commas between, got 75" in refused(write([GOOD[0] + ","]))


def test_an_empty_line_between_rows_names_the_line(write):
    assert "line 2: expected 74 columns with commas between, got 1" in refused(write([GOOD[0], "", GOOD[1]]))


def test_other_separators_name_the_line_and_show_it(write):
    message = refused(write([line.replace(",", ";") for line in GOOD]))
    assert "line 1: expected 74 columns with commas between, got 1 ('1/1/1998;1.5;" in message


@pytest.mark.parametrize(
    "text",
    ["n/a", "nan", "NaN", "inf", "-inf", "1_0", "0x1F", " 2", "2 ", "1..5", "--1", "1e", ".", "−3", "١"],
)
def test_text_in_a_number_names_line_and_column_and_shows_it(write, text):
    message = refused(write([GOOD[0], row("1/2/1998", text), GOOD[2]]))
    assert f"line 2, column 2 (WSR0): expected a number or ? (missing), got {text!a}" in message


def test_an_empty_cell_is_named(write):
    message = refused(write([row("1/1/1998", "")]))
    assert "line 1, column 2 (WSR0): expected a number or ? (missing), got nothing" in message


def test_text_in_the_last_column_is_named(write):
    message = refused(write([GOOD[0].removesuffix("0.") + "ozone"]))
    assert "line 1, column 74 (class): expected a number or ? (missing), got 'ozone'" in message


def test_long_and_strange_text_is_shown_in_one_short_line(write):
    message = refused(write([row("1/1/1998", "\x1b[31m\u2028é" + "x" * 5000)]))
    assert len(message) < 600
    assert message.isascii()
    assert "\x1b" not in message


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1e39"])
def test_values_too_large_for_single_precision_are_refused(write, text):
    message = refused(write([GOOD[0], row("1/2/1998", text)]))
    assert f"line 2, column 2 (WSR0): expected a finite number (at most 3.4e+38 in size), got {text!r}" in message


@pytest.mark.parametrize(
    "text",
    ["", "?", "1998-01-01", "13/1/1998", "2/30/1998", "2/29/1999", "1/1/98", "0/1/1998", "1/1/0000", "1/1/1998 "],
)
def test_malformed_dates_name_the_line_and_show_the_date(write, text):
    message = refused(write([GOOD[0], row(text)]))
    assert f"line 2, column 1 (Date): expected a date as month/day/year, got {text!r}" in message


def test_dates_out_of_order_name_the_line(write):
    message = refused(write([row("1/1/1998"), row("1/5/1998"), row("1/3/1998")]))
    assert "line 3: expected dates in order, but 1/3/1998 comes after 01/05/1998" in message


@pytest.mark.parametrize("again", ["1/2/1998", "01/02/1998"])
def test_double_dates_name_both_lines(write, again):
    message = refused(write([row("1/1/1998"), row("1/2/1998"), row("1/3/1998"), row(again)]))
    assert f"line 4: expected one row per date, but {again} is on line 2 too" in message


@pytest.mark.parametrize(
    "header",
    [
        ",".join(EXPECTED_COLUMNS),
        ",".join(f'"{name}"' for name in EXPECTED_COLUMNS),
        "id," + ",".join(EXPECTED_COLUMNS),
    ],
)
def test_a_header_row_is_called_one(write, header):
    message = refused(write([header, *GOOD]))
    assert "line 1: expected data, got a header row" in message
    assert "Remove the first line" in message


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\r\n  \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_called_empty(write, content):
    assert "the file is empty" in refused(write(content))


@pytest.mark.parametrize(
    "content",
    [
        b"\x1f\x8b\x08\x00\x00",
        b"PK\x03\x04\x00",
        b"\x00" * 100,
        "\n".join(GOOD).encode("utf-16"),
        GOOD[0].encode() + b"\n\xff\xfe",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["gzip", "zip", "zeros", "utf-16", "text and bytes", "png"],
)
def test_a_binary_file_is_called_one(write, content):
    message = refused(write(content))
    assert "expected text with numbers and commas, got something else: byte 0x" in message


def test_binary_bytes_name_their_position(write):
    message = refused(write(GOOD[0].encode() + b"\n1/2/\x00"))
    assert f"byte 0x00 at position {len(GOOD[0]) + 5} (line 2)" in message


def test_a_missing_file_is_named(tmp_path):
    assert "there is no such file" in refused(tmp_path / "nowhere" / "eighthr.data")


def test_a_folder_is_no_file(tmp_path):
    assert "expected a file, but this is a folder" in refused(tmp_path)


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "expected a file, but this is a device or pipe" in refused(tmp_path / "pipe")


def test_a_circle_of_links_is_an_error_of_ours(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "cannot be read" in refused(tmp_path / "a")


def test_a_file_without_permission_is_named(write):
    path = write(GOOD)
    assert len(read_ozone(path)) == 3
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root reads everything
            os.seteuid(65534)
        message = refused(path)
    finally:
        os.seteuid(user)
    assert "no permission to read this file" in message


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_impossible_paths_are_errors_of_ours(path):
    with pytest.raises(DataError):
        read_ozone(path)


def check_any_content(write, content):
    """Either a complete frame or an error of ours: nothing else."""
    path = write(content)
    try:
        raw = read_ozone(path)
    except DataError as error:
        message = str(error)
    else:
        message = ""
        assert raw.shape[1] == 73
        assert len(raw) >= 1
        assert raw.index.is_monotonic_increasing
        assert raw.index.is_unique
        assert not np.isinf(raw.to_numpy()).any()
    assert len(message.splitlines()) <= 10


fuzz = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.binary(max_size=2000))
@fuzz
def test_any_bytes_are_data_or_an_error_of_ours(write, content):
    check_any_content(write, content)


@given(st.text(alphabet="0123456789.,eE+-?/\n\r \t\"'aN_\ufeff\0\u0663", max_size=400))
@fuzz
def test_any_text_of_numbers_is_data_or_an_error_of_ours(write, content):
    check_any_content(write, content.encode())


@given(st.data())
@fuzz
def test_a_good_file_with_bytes_changed_is_data_or_an_error_of_ours(write, data):
    content = bytearray("\n".join([*GOOD, ""]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 5)))
        content[start:stop] = data.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b",", b"\n", b"?", b"9e999"]))
        )
    check_any_content(write, bytes(content))


@given(st.dates())
@example(date.min)
@example(date.max)
@fuzz
def test_every_date_of_the_calendar_is_read(write, day):
    raw = read_ozone(write([row(f"{day.month}/{day.day}/{day.year:04d}")]))
    found = raw.index[0]
    assert (found.year, found.month, found.day) == (day.year, day.month, day.day)


# The real file. Numbers below were computed with other tools: sha256sum, pandas.read_csv, numpy and scikit-learn.


@pytest.fixture(scope="module")
def reference(real_ozone):
    """The real file as pandas reads it."""
    frame = pd.read_csv(real_ozone, header=None, names=EXPECTED_COLUMNS, na_values="?")
    return frame.set_index(pd.to_datetime(frame.pop("Date"), format="%m/%d/%Y"))


@pytest.mark.real
def test_the_real_file_is_the_published_one(real_ozone):
    content = real_ozone.read_bytes()
    assert len(content) == SIZE == 818_329
    assert hashlib.sha256(content).hexdigest() == SHA256 == checksum(real_ozone)
    assert SHA256 == "9a24c3e5c43570148869fec02edcd44dd1cb06e97c2bbc0b6ab24ebdd21de37e"


@pytest.mark.real
def test_the_real_file_is_read_as_pandas_reads_it(real_ozone, reference):
    raw = read_ozone(real_ozone)
    assert raw.shape == (2534, 73)
    pd.testing.assert_frame_equal(raw, reference, check_index_type=False, check_exact=True)
    assert raw.index[0] == pd.Timestamp("1998-01-01")
    assert raw.index[-1] == pd.Timestamp("2004-12-31")


@pytest.mark.real
def test_the_real_file_is_read_quickly(real_ozone):
    took = []
    for _ in range(5):
        start = time.perf_counter()
        read_ozone(real_ozone)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.3


@pytest.mark.real
def test_the_first_1500_real_rows_have_their_known_gaps_and_missing_values(real_ozone):
    raw = read_ozone(real_ozone).iloc[:1500]
    found = gaps(raw.index, "D")
    assert len(found) == 4
    assert found["missing"].sum() == 13
    assert found.index.tolist() == [160, 540, 556, 747]
    assert raw.isna().sum().sum() == 2537
    assert raw.isna().any(axis=1).sum() == 296
    assert raw.T_PK.notna().all()


def ozone_table(raw, **settings):
    return table(raw, targets=("T_PK",), **settings)


@pytest.mark.real
def test_the_real_table_is_the_forward_filled_file(real_ozone, reference):
    rows = reference.iloc[:1500]
    kept = ozone_table(read_ozone(real_ozone).iloc[:1500])
    np.testing.assert_array_equal(kept.values.to_numpy(), rows.ffill().to_numpy())
    np.testing.assert_array_equal(kept.observed.to_numpy(), rows.notna().to_numpy())
    regular = ozone_table(read_ozone(real_ozone).iloc[:1500], regular=True)
    np.testing.assert_array_equal(regular.values.to_numpy(), rows.asfreq("D").ffill().to_numpy())
    assert len(regular.times) == 1513
    assert (~regular.observed).all(axis=1).sum() == 13


@pytest.mark.real
def test_persistence_scores_what_is_known_on_the_five_folds(real_ozone):
    y = ozone_table(read_ozone(real_ozone).iloc[:1500]).values.T_PK.to_numpy()
    scores = [np.mean((y[test] - y[test - 1]) ** 2) / np.var(y[train]) for train, test in TimeSeriesSplit(5).split(y)]
    np.testing.assert_allclose(scores, [0.2755, 0.1898, 0.1201, 0.3111, 0.2185], atol=5e-5)
