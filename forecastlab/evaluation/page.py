"""One HTML page of text, tables and figures that needs no other file and no network."""

import base64
import hashlib
import importlib.resources
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from forecastlab.evaluation.tables import Table
from forecastlab.figures.drawing import COLOURS, DARK, LIGHT, Theme, png


@dataclass(frozen=True)
class Picture:
    """A figure with its words.

    Attributes:
        name: what its file is called, without the ending.
        caption: what it shows and how to read it.
        draw: makes the figure in the colours of a theme.
        colours: how many different ones its file has; None for all.
    """

    name: str
    caption: str
    draw: Callable[[Theme], Figure]
    colours: int | None = COLOURS
    _drawn: dict[Theme, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def png(self, theme: Theme = LIGHT) -> bytes:
        """The figure as a PNG file; drawn once per theme."""
        if theme not in self._drawn:
            self._drawn[theme] = png(self.draw(theme), colours=self.colours)
        return self._drawn[theme]


@dataclass(frozen=True)
class Section:
    """A part of a page, shown in the order of its attributes.

    Attributes:
        title: its heading.
        paragraphs: text.
        points: a list.
        tables: tables, with their titles and notes.
        pictures: figures, side by side where there is room.
        details: (heading, text as it is) of what is folded up.
    """

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    details: Sequence[tuple[str, str]] = ()


def render(title: str, lead: Sequence[str], warnings: Sequence[str], sections: Sequence[Section], made_by: str) -> str:
    """The page as HTML; all text is escaped. The only script that runs is ours, and only where a table is searched.

    Every figure is in it twice, for light and for dark screens.

    Args:
        title: of the page.
        lead: paragraphs below the title.
        warnings: what must be known before any number is read.
        sections: the rest.
        made_by: the last line.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["embedded"] = _embedded
    searched = any(table.search for section in sections for table in section.tables)
    script = _template("search.js") if searched else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(light=LIGHT, dark=DARK, script=script, digest=digest)
    return environment.from_string(_template("page.html")).render(
        title=title, lead=lead, warnings=warnings, sections=sections, made_by=made_by
    )


def _template(name: str) -> str:
    return importlib.resources.files("forecastlab.evaluation").joinpath("templates", name).read_text("utf-8")


def _embedded(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode()
