"""Tables in print: Markdown that GitHub renders, LaTeX with booktabs, HTML as a fragment."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2

from tausweep.report.tables.cells import Measured
from tausweep.report.tables.latex_text import escape_latex
from tausweep.results import intervals, labels
from tausweep.results.markdown import LEFT, RIGHT, table

FORMATS = ("csv", "md", "tex", "html")
Kind = Literal["measured", "published", "difference"]
MISSING = "—"
SOME_DIVERGED = "†"
COLLAPSED = "‡"
OTHER_CODE = "§"
MARKS = {
    SOME_DIVERGED: "† Some runs diverged; the mean is over the survivors, so it is optimistic.",
    COLLAPSED: "‡ In some runs training collapsed: all test embeddings are one point to the "
    "accuracy of float32. These runs count in the mean.",
    OTHER_CODE: "§ Some runs were made by other code than most of the table; they are included.",
}
"""What each mark after the number of seeds means."""


@dataclass(frozen=True)
class Entry:
    """One entry of a printed table: what it shows of a cell."""

    kind: Kind
    cell: Measured
    bold: bool = False

    @property
    def state(self) -> str:
        """``measured``, ``published``, ``difference``, ``diverged`` or ``missing``."""
        if self.kind == "published":
            return "missing" if self.cell.published is None else "published"
        if self.kind == "difference":
            return "missing" if self.cell.difference is None else "difference"
        if self.cell.summary.n:
            return "measured"
        return "diverged" if self.cell.diverged else "missing"

    @property
    def marks(self) -> str:
        """Marks of a measured cell, see ``MARKS``; empty if it has none."""
        if self.state != "measured":
            return ""
        mark = SOME_DIVERGED if self.cell.diverged else ""
        mark += COLLAPSED if self.cell.collapsed else ""
        return mark + (OTHER_CODE if self.cell.other_code else "")

    def parts(self) -> tuple[str, str, str]:
        """Number, half-width and n in print; parts that do not apply are empty."""
        digits = labels.measure(self.cell.column).digits
        if self.state == "missing":
            return (MISSING if self.kind == "measured" else ""), "", ""
        if self.state == "diverged":
            return "diverged", "", ""
        if self.state == "published":
            return self.cell.printed or as_printed(self.cell.published or 0.0), "", ""
        if self.state == "difference":
            return signed(self.cell.difference or 0.0, digits), "", ""
        mean, half, n = measured(self.cell.summary, digits)
        return mean, half, n + self.marks

    @property
    def number(self) -> str:
        """The printed number without interval and number of seeds."""
        return self.parts()[0]

    @property
    def spread(self) -> str:
        """The interval and the number of seeds after a space, or empty."""
        _, half, n = self.parts()
        interval = f" ± {half}" if half else ""
        return f"{interval}{f' ({n})' if n else ''}"

    def text(self) -> str:
        """The entry as plain text."""
        return self.number + self.spread


@dataclass(frozen=True)
class ColumnHead:
    """The head of a column; neighbouring columns of a group share the group's head."""

    group: str
    label: str = ""

    @property
    def text(self) -> str:
        """Both in one line."""
        return f"{self.group} {self.label}".strip()


@dataclass(frozen=True)
class Row:
    """The heads of a row, one per column of heads, and its entries."""

    head: tuple[str, ...]
    entries: list[Entry]


@dataclass(frozen=True)
class Panel:
    """One grid of a table."""

    heading: str
    head: tuple[str, ...]
    columns: list[ColumnHead]
    rows: list[Row]

    def groups(self) -> list[tuple[str, list[ColumnHead]]]:
        """Groups of neighbouring columns."""
        return [(g, list(c)) for g, c in itertools.groupby(self.columns, lambda c: c.group)]


def measured(summary: intervals.Summary, digits: int | None) -> tuple[str, str, str]:
    """Mean, half-width (empty for one seed) and n of a summary, as ``format_cell`` prints them.

    Numbers below 0.001 without fixed decimals, such as rounding errors, get an exponent.
    """
    if digits is None and 0 < abs(summary.mean) < 1e-3:
        half = "" if summary.half_width is None else f"{summary.half_width:.1g}"
        return f"{summary.mean:.2g}", half, str(summary.n)
    mean, half_width = intervals.format_parts(summary, digits)
    return mean.replace("-", "−"), half_width, str(summary.n)


def as_printed(value: float) -> str:
    """A published number, with at least two decimals, if the text of its source is not known."""
    text = f"{value:.10g}"
    decimals = len(text.partition(".")[2])
    return text if decimals >= 2 or "e" in text else f"{value:.2f}"


def signed(value: float, digits: int | None) -> str:
    """A difference with its sign, which is left out if it rounds to 0."""
    text = f"{value:+.3g}" if digits is None else f"{value:+.{digits}f}"
    return text.lstrip("+-") if not float(text) else text.replace("-", "−")


def markdown(name: str, title: str, caption: str, panels: Sequence[Panel]) -> str:
    """Tables for GitHub's Markdown, with the caption after the title."""
    parts = [f"**{_plain(title)}.** {_plain(caption)}"]
    for panel in panels:
        if panel.heading:
            parts.append(f"**{_plain(panel.heading)}**")
        heads = [*panel.head, *(column.text for column in panel.columns)]
        rows = [[*row.head, *map(_bold, row.entries)] for row in panel.rows]
        aligned = [LEFT] * len(panel.head) + [RIGHT] * len(panel.columns)
        lines = table(list(map(_plain, heads)), (list(map(_plain, row)) for row in rows), aligned)
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _bold(entry: Entry) -> str:
    return f"**{entry.text()}**" if entry.bold else entry.text()


def _plain(text: str) -> str:
    """Text escaped for Markdown, except for stars, which make entries bold."""
    return text.replace("\\", "\\\\").replace("_", "\\_")


MARKS_OF_CELLS = {SOME_DIVERGED: r"\dagger ", COLLAPSED: r"\ddagger ", OTHER_CODE: r"\S "}


def latex_entry(entry: Entry) -> str:
    """The mean with its half-width as subscript and n as superscript, to save width."""
    number, half, n = entry.parts()
    if entry.state in ("missing", "diverged"):
        return rf"\textit{{{number}}}" if entry.state == "diverged" else escape_latex(number)
    mantissa = re.sub(r"e([+−-]?)0*(\d+)$", r"\\times 10^{\g<1>\2}", number)
    below = f"_{{\\pm {half}}}" if half else ""
    marked = "".join(MARKS_OF_CELLS.get(character, character) for character in n)
    above = f"^{{({marked})}}" if n else ""
    body = f"{{{mantissa.replace('−', '-')}}}"
    return rf"$\mathbf{body}{below}{above}$" if entry.bold else f"${body}{below}{above}$"


def latex(name: str, title: str, caption: str, panels: Sequence[Panel]) -> str:
    """One panel as a ``table`` scaled to the line, several as a ``longtable`` each."""
    template = _latex_templates().get_template("table.tex" if len(panels) == 1 else "longtable.tex")
    return template.render(
        name=name, title=title, caption=caption, panels=panels, entry=latex_entry,
        spans=row_spans, stacked=_stacked, rules=_rules, row_head=_row_head,
    )  # fmt: skip


def html(name: str, title: str, caption: str, panels: Sequence[Panel]) -> str:
    """One ``table`` element per panel, with scopes for the heads; the report styles it."""
    return _html_templates().get_template("table.html").render(
        name=name, title=title, caption=caption, panels=panels, spans=row_spans
    )  # fmt: skip


def row_spans(rows: Sequence[Row]) -> list[list[int]]:
    """How many rows each head spans; 0 if a head above spans it."""
    spans = [[1] * len(row.head) for row in rows]
    for level in range(len(rows[0].head) - 1 if rows else 0):
        first = 0
        for place in range(1, len(rows)):
            if rows[place].head[: level + 1] == rows[first].head[: level + 1]:
                spans[first][level] += 1
                spans[place][level] = 0
            else:
                first = place
    return spans


def _stacked(text: str) -> str:
    """A long head in several short lines."""
    lines = textwrap.wrap(text, 13, break_long_words=False) or [""]
    return r"\begin{tabular}[b]{@{}r@{}}" + r"\\".join(map(escape_latex, lines)) + r"\end{tabular}"


def _row_head(row: Row, spans: Sequence[int]) -> str:
    """A row's heads, without those that the row above shares."""
    shown = (escape_latex(h) if span else "" for h, span in zip(row.head, spans, strict=True))
    return " & ".join(shown)


def _rules(panel: Panel) -> str:
    """Thin rules below groups that span several columns."""
    rules, place = [], len(panel.head) + 1
    for _, columns in panel.groups():
        if len(columns) > 1:
            rules.append(rf"\cmidrule(lr){{{place}-{place + len(columns) - 1}}}")
        place += len(columns)
    return "".join(rules)


@cache
def _html_templates() -> jinja2.Environment:
    return _environment(autoescape=True)


@cache
def _latex_templates() -> jinja2.Environment:
    # LaTeX is full of braces and percent signs, so other delimiters are used.
    environment = _environment(
        autoescape=False,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    environment.filters["latex"] = escape_latex
    return environment


def _environment(**options: Any) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        **options,
    )
