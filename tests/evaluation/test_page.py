import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from forecastlab.errors import ConfigError
from forecastlab.evaluation.page import Picture, Section, render
from forecastlab.evaluation.tables import Column, Table
from forecastlab.figures.drawing import DARK, LIGHT
from forecastlab.runs.files import write_output

EVIL = "<script>ran = true</script><img src=x onerror=alert(1)>\"'&"


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(page):
    parser = Elements()
    parser.feed(page)
    return parser.found


def evil_page():
    table = Table(EVIL, (Column(EVIL, (EVIL, "b"), flags=(EVIL, "")), Column("x", (1.0, 2.0), best="lowest")), (EVIL,))
    picture = Picture("p", EVIL, lambda theme: Figure(figsize=(1, 1), facecolor=theme.paper))
    section = Section(EVIL, [EVIL], [EVIL], [table], [picture], [(EVIL, f"</pre>{EVIL}")])
    return render(EVIL, [EVIL], [EVIL], [section], EVIL)


def test_every_text_is_escaped():
    page = evil_page()
    found = elements(page)
    assert "<script" not in page
    assert [tag for tag, _ in found].count("img") == 1
    assert not [name for _, attributes in found for name in attributes if name.startswith("on")]
    assert page.count("&lt;script&gt;ran = true&lt;/script&gt;") >= 12


def test_every_address_is_inside_the_page():
    addresses = [
        value
        for _, attributes in elements(evil_page())
        for name, value in attributes.items()
        if name in ("src", "srcset", "href", "action", "data", "poster", "background")
    ]
    assert len(addresses) == 2
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert not re.findall(r"url\(|@import", evil_page())


def test_a_policy_forbids_scripts_and_the_network():
    policies = [
        attributes["content"]
        for tag, attributes in elements(evil_page())
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_best_value_is_marked_and_a_picture_has_words():
    table = Table("T", (Column("m", ("a", "b")), Column("x", (1.0, 2.0), best="lowest")))
    picture = Picture("p", "What it shows", lambda theme: Figure(figsize=(1, 1)))
    page = render("t", [], [], [Section("s", tables=[table], pictures=[picture])], "f")
    assert '<td class="best">1.0000</td>' in page
    assert [attributes["alt"] for tag, attributes in elements(page) if tag == "img"] == ["What it shows"]


def test_a_picture_is_drawn_once_for_light_and_once_for_dark():
    drawn = []
    picture = Picture("p", "c", lambda theme: drawn.append(theme) or Figure(figsize=(1, 1)))
    picture.png()
    render("t", [], [], [Section("s", pictures=[picture])], "f")
    assert drawn == [LIGHT, DARK]


def test_a_file_is_written_with_its_folder_and_replaced(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_output("one", path)
    write_output(b"two", path)
    assert path.read_text() == "two"
    assert [other.name for other in path.parent.iterdir()] == ["file.txt"]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        write_output("x", tmp_path / "file" / "report.html")
