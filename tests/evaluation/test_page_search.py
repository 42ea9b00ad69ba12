"""A table of many rows in a page: its reader finds and sorts them, in a real browser."""

import base64
import hashlib
import re

import numpy as np
import pytest

from forecastlab.evaluation.page import Section, render
from forecastlab.evaluation.tables import Column, Table
from tests.evaluation.browser import look_at

EVIL = "<script>ran = true</script>"
USE = """
const box = page.querySelector("input"), told = page.querySelector("output");
const names = () => [...page.querySelectorAll("tbody tr")].filter(row => row.offsetHeight).map(
  row => row.cells[0].textContent);
const type = text => { box.value = text; box.dispatchEvent(new page.defaultView.Event("input")); };
const press = number => page.querySelectorAll("thead button")[number].click();
const order = () => [...page.querySelectorAll("th[scope=col]")].map(head => head.getAttribute("aria-sort"));
"""


def page_of(*columns):
    return render("t", [], [], [Section("s", tables=[Table("T", columns, search="a series")])], "f")


def names(count):
    return Column("series", tuple(f"shop {number}" for number in range(count)))


@pytest.fixture
def answer(tmp_path):
    """What a script in the page of a table gives."""

    def of(script, *columns):
        (tmp_path / "page.html").write_text(page_of(*columns))
        found, asked = look_at(tmp_path / "page.html", 1280, tmp_path, USE + script)
        assert asked == []
        assert not found["ran"]
        return found["answer"]

    return of


def test_the_rows_whose_names_hold_what_is_typed_are_shown_and_counted(answer):
    found = answer(
        'return ["", " SHOP 1 ", "nothing", ""].map(text => { type(text); return [names(), told.textContent]; })',
        Column("series", ("shop 1", "shop 2", "Shop 10", EVIL)),
    )
    every = ["shop 1", "shop 2", "Shop 10", EVIL]
    assert found == [[every, "4 of 4"], [["shop 1", "Shop 10"], "2 of 4"], [[], "0 of 4"], [every, "4 of 4"]]


def test_a_press_on_a_header_sorts_by_it_and_another_one_turns_the_order(answer):
    found = answer(
        "return [1, 1, 0, 0].map(number => { press(number); return [names(), order()]; })",
        Column("series", ("b 10", "b 9", "a", "c")),
        Column("error", (-1.5, 1200, None, 3), digits=1),
    )
    assert found == [
        [["b 9", "c", "b 10", "a"], [None, "descending"]],  # what has no number stays at the end
        [["b 10", "c", "b 9", "a"], [None, "ascending"]],
        [["a", "b 9", "b 10", "c"], ["ascending", None]],
        [["c", "b 10", "b 9", "a"], ["descending", None]],
    ]


def test_three_thousand_rows_are_found_and_sorted(answer):
    errors = np.random.default_rng(0).permutation(3000)
    (counted, first, last) = answer(
        "type('shop 299'); press(1); const found = told.textContent; type('');"
        "return [found, names().slice(0, 3), names().slice(-1)]",
        names(3000),
        Column("error", tuple(errors.tolist())),
    )
    assert counted == "11 of 3,000"  # 299 and 2990 to 2999
    order = np.argsort(-errors)
    assert first == [f"shop {number}" for number in order[:3]]
    assert last == [f"shop {order[-1]}"]


def test_the_controls_are_reached_by_the_keyboard_and_have_names(answer):
    found = answer(
        "const reached = [...page.querySelectorAll('*')].filter(one => one.tabIndex === 0);"
        "return reached.map(one => [one.tagName, one.ariaLabel ?? one.textContent])",
        names(2),
        Column("error", (1.0, 2.0)),
    )
    assert found == [["INPUT", "Find a series by name"], ["DIV", "T"], ["BUTTON", "series"], ["BUTTON", "error"]]


def test_a_long_table_scrolls_in_its_box_on_a_phone(tmp_path):
    columns = [Column(f"model {number}", (1.0,) * 200) for number in range(9)]
    (tmp_path / "page.html").write_text(page_of(names(200), *columns))
    found, _ = look_at(tmp_path / "page.html", 390, tmp_path, "return page.querySelector('.scroll').clientHeight")
    assert (found["scroll"], found["sticking_out"]) == (390, [])
    ((shown, whole),) = found["boxes"]
    assert whole > shown
    assert found["answer"] < 600


def test_the_policy_lets_the_script_of_the_search_run_and_no_other():
    page = page_of(names(2))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'\"" in page
    for word in ("fetch", "XMLHttpRequest", "import", "http", "eval", "innerHTML"):
        assert word not in script


def test_a_page_without_scripts_shows_the_whole_table(tmp_path):
    page = page_of(names(3))
    (tmp_path / "page.html").write_text(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL))
    find = "return page.querySelector('input').offsetHeight"
    found, _ = look_at(tmp_path / "page.html", 390, tmp_path, find)
    assert "shop 0" in found["text"]
    assert "shop 2" in found["text"]
    assert found["answer"] == 0  # a field that does nothing is not shown
