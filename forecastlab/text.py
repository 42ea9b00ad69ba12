"""Text that is printed: every table goes through `aligned`."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Lines of columns, two blanks apart.

    Args:
        rows: cells; every row has one for each column.
        right: for each column whether it is aligned at its right side, as numbers are.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def counted(number: int, word: str) -> str:
    """A number of things in words, such as "1 fold" and "2 folds"."""
    return f"{number} {word}{'' if number == 1 else 's'}"
