"""Any text in a cell leaves the table as wide as its head."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tausweep.results import markdown

CELL = st.text(st.characters(exclude_categories=["C", "Z"]))


def test_a_table_says_how_its_columns_are_aligned() -> None:
    lines = markdown.table(["a", "b"], [["1", "2"]], [markdown.LEFT, markdown.RIGHT])
    assert lines == ["| a | b |", "| :-- | --: |", "| 1 | 2 |"]
    assert markdown.table(["a"], [])[1] == "| --- |"


def test_a_padded_table_is_aligned_as_plain_text() -> None:
    aligned = [markdown.UNALIGNED, markdown.RIGHT]
    rows = [["digits", "9"], ["x|y", "1,000"]]
    assert markdown.table(["dataset", "runs"], rows, aligned, padded=True) == [
        "| dataset |  runs |",
        "| ------- | ----: |",
        "| digits  |     9 |",
        "| x\\|y    | 1,000 |",
    ]


@given(st.lists(st.tuples(CELL, CELL), max_size=3), st.booleans())
def test_no_cell_is_cut_by_what_is_in_it(rows: list[tuple[str, str]], padded: bool) -> None:
    for line in markdown.table(["a", "b"], rows, padded=padded):
        assert len(re.findall(r"(?<!\\)\|", line)) == 3
