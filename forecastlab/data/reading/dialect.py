"""`Dialect`: how the cells of a file are written, where the file alone does not tell."""

from dataclasses import dataclass
from typing import Literal

from forecastlab.errors import ConfigError


@dataclass(frozen=True)
class Dialect:
    r"""How a file writes its cells; the names are those of `pandas.read_csv`. What is None is found out.

    Attributes:
        sep: what separates the cells of a text: one character, or "\s+" for runs of blanks.
        decimal: mark before the fraction of a number.
        thousands: mark between the thousands of a number.
        encoding: name of the text's encoding, such as "utf-8" or "cp1252".
        header: whether the first line holds the names of the columns; False calls them 0, 1, ...
        comment: character that begins a comment, which ends with its line.
        na_values: texts and numbers that stand for a missing value, besides the empty cell, NA, NaN and the like.
        sheet_name: name or number, from 0, of the sheet of an Excel file.

    Raises:
        ConfigError: for marks that contradict each other, or that are no single character.
    """

    sep: str | None = None
    decimal: Literal[".", ","] | None = None
    thousands: str | None = None
    encoding: str | None = None
    header: bool | None = None
    comment: str | None = None
    na_values: tuple[str | float, ...] = ()
    sheet_name: str | int = 0

    def __post_init__(self) -> None:
        if self.sep is not None and len(self.sep) != 1 and self.sep != r"\s+":
            raise ConfigError(rf"sep: expected one character, or \s+ for runs of blanks, got {self.sep!r}")
        for name, mark in (("thousands", self.thousands), ("comment", self.comment)):
            if mark is not None and len(mark) != 1:
                raise ConfigError(f"{name}: expected one character, got {mark!r}")
        if self.decimal not in (None, ".", ","):
            raise ConfigError(f"decimal: expected . or , got {self.decimal!r}")
        if self.thousands is not None and self.thousands == self.decimal:
            raise ConfigError(f"thousands and decimal are both {self.decimal!r}: expected two marks that differ")
