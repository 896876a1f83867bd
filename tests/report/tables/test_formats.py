"""Every format of a table can be read back, and prints numbers as they are."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

import frames
from table_cells import cell, entries
from tausweep.report import tables
from tausweep.report.tables import formats
from tausweep.report.tables.cells import Measured
from tausweep.results import published
from tausweep.results.intervals import summary
from tausweep.study import StudyError


def test_bold_is_shown_in_every_format() -> None:
    frame = frames.records(("cifar10",), (0.3,), ("contrastive", "simple"))
    table = tables.table1(frame)
    text = entries(table)[("CIFAR10", "accuracy (%)", "measured", "contrastive τ = 0.3")]
    assert f"**{text}**" in table.text("md")
    number, spread = text.split(" ", 1)
    bold = f'<strong>{number}</strong><span class="spread"> {spread}</span></td>'
    assert f'<td class="measured best">{bold}' in table.text("html")
    assert rf"$\mathbf{{{text.split()[0]}}}_" in table.text("tex")
    assert table.cells["best"].sum() == 1


def test_csv_reads_back_to_equal_numbers(broken: pd.DataFrame) -> None:
    for table in (tables.table1(broken, published.records()), tables.full(broken)):
        again = pd.read_csv(
            io.StringIO(table.text("csv")), dtype={"temperature": str}, keep_default_na=True
        ).fillna({"temperature": ""})
        pd.testing.assert_frame_equal(again, table.cells, check_dtype=False, check_exact=True)


def test_markdown_rows_all_have_the_width_of_their_head(broken: pd.DataFrame) -> None:
    text = tables.full(broken, published.records()).text("md")
    blocks = [b.splitlines() for b in text.split("\n\n") if b.startswith("|")]
    assert len(blocks) == len(tables.full(broken, published.records()).panels)
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1
        assert set(block[1]) <= set("|:- ")


class Grid(HTMLParser):
    """Reads tables, checks nesting, and lays out spans."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[dict[str, str]]]] = []
        self.captions: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append(
                {"tag": tag, "text": "", **{k: v or "" for k, v in attributes}}
            )
        elif tag == "caption":
            self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "th" in self.open or "td" in self.open:
            self.tables[-1][-1][-1]["text"] += data
        elif "caption" in self.open:
            self.captions[-1] += data


def test_html_has_captions_scopes_and_rows_of_equal_width(broken: pd.DataFrame) -> None:
    for table in (tables.table1(broken, published.records()), tables.full(broken)):
        grid = Grid()
        grid.feed(table.text("html"))
        assert grid.open == []
        assert len(grid.tables) == len(grid.captions) == len(table.panels)
        assert all(caption.strip() for caption in grid.captions)
        for rows, panel in zip(grid.tables, table.panels, strict=True):
            width = len(panel.head) + len(panel.columns)
            hanging = [0] * width
            for row in rows:
                here = sum(1 for rest in hanging if rest)
                hanging = [max(rest - 1, 0) for rest in hanging]
                for item in row:
                    assert item["tag"] == "td" or item["scope"] in (
                        "col",
                        "colgroup",
                        "row",
                        "rowgroup",
                    )
                    span, down = int(item.get("colspan", 1)), int(item.get("rowspan", 1))
                    here += span
                    if down > 1:
                        free = next(i for i, rest in enumerate(hanging) if not rest)
                        hanging[free] = down - 1
                assert here == width


def test_names_cannot_break_out_of_html(broken: pd.DataFrame) -> None:
    frame = broken.replace({"dataset": {"my_own & data": "<script>alert(1)</script>"}})
    text = tables.table1(frame, scaled_down="<b>").text("html")
    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text


def test_tiny_numbers_are_printed_in_powers_and_zero_as_zero() -> None:
    assert formats.measured(summary([1e-12, 3e-12]), None)[0] == "2e-12"
    assert formats.measured(summary([0.0]), None)[0] == "0"
    entry = formats.Entry("measured", cell([2e-12]))
    assert "\\times 10^{-12}" in formats.latex_entry(
        formats.Entry(
            "measured",
            Measured(entry.cell.key, "gradient_balance", entry.cell.values, entry.cell.summary),
        )
    )


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.314, 2, "+0.31"), (-0.314, 2, "−0.31"), (-0.001, 2, "0.00"), (0.0, 3, "0.000")],
)
def test_differences_have_a_sign_unless_they_round_to_zero(
    value: float, digits: int, text: str
) -> None:
    assert formats.signed(value, digits) == text


def test_published_numbers_keep_their_decimals() -> None:
    shown = [formats.as_printed(v) for v in (79.2, 3.6, 0.0267, 3.917, 83.27)]
    assert shown == ["79.20", "3.60", "0.0267", "3.917", "83.27"]


def test_unknown_formats_are_refused(collected: pd.DataFrame) -> None:
    with pytest.raises(StudyError, match="table format xlsx: unknown"):
        tables.table1(collected).text("xlsx")
