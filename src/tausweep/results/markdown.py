"""Tables in GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LEFT, RIGHT, CENTRE, UNALIGNED = ":--", "--:", ":-:", "---"
"""Alignment of a column, as in the line below the heads."""


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    aligned: Sequence[str] | None = None,
    *,
    padded: bool = False,
) -> list[str]:
    """The lines of a table.

    Args:
        heads: One per column. Heads and cells may contain Markdown; pipes are escaped.
        rows: Each has as many cells as there are heads.
        aligned: How each column is aligned; unaligned if not given.
        padded: Whether columns are padded with spaces, so that the text is readable as it is.
    """
    rule = list(aligned or [UNALIGNED] * len(heads))
    lines = [[escape_pipes(cell) for cell in row] for row in (heads, *rows)]
    if padded:
        widths = [max(len(UNALIGNED), *map(len, column)) for column in zip(*lines, strict=True)]
        lines = [
            [
                _filled(cell, width, side)
                for cell, width, side in zip(row, widths, rule, strict=True)
            ]
            for row in lines
        ]
        rule = [f"{side[0]}{'-' * (w - 2)}{side[-1]}" for side, w in zip(rule, widths, strict=True)]
    return [f"| {' | '.join(row)} |" for row in (lines[0], rule, *lines[1:])]


def escape_pipes(text: str) -> str:
    """Text with its pipes escaped, so that they do not end a cell."""
    return text.replace("|", "\\|")


def _filled(cell: str, width: int, side: str) -> str:
    return cell.rjust(width) if side == RIGHT else cell.ljust(width)
