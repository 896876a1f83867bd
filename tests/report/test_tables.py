"""Tables: their numbers are those of the records, and every format can be read."""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import frames
from tausweep.report import tables
from tausweep.report.tables import formats
from tausweep.report.tables.cells import Cells, Measured, best
from tausweep.report.tables.latex_text import MARKS, escape_latex
from tausweep.results import published
from tausweep.results.cells import Key, printed
from tausweep.results.intervals import summary
from tausweep.study import StudyError
from tausweep.study.columns import ACCURACY, GEOMETRY, PENALTY, SEPARATION, SIZES, TRAINING

GRID = (0.07, 0.3, 0.7, 1.0)


@pytest.fixture(scope="module")
def collected() -> pd.DataFrame:
    """Complete records of two datasets, three seeds."""
    return frames.records(temperatures=GRID)


@pytest.fixture(scope="module")
def broken() -> pd.DataFrame:
    """The same with a diverged cell, a diverged seed, a missing cell and a single seed."""
    frame = frames.records(("cifar10", "my_own & data"), temperatures=GRID)
    frame = frames.mark(frame, "diverged", dataset="cifar10", loss="contrastive", temperature=0.07)
    frame = frames.mark(
        frame, "diverged", dataset="cifar10", loss="contrastive", temperature=1.0, seed=1
    )
    frame = frames.mark(frame, "missing", dataset="cifar10", loss="simple")
    for seed in (0, 2):
        frame = frames.mark(
            frame, "failed", dataset="cifar10", loss="hard_contrastive", temperature=0.3, seed=seed
        )
    return frame


def entries(table: tables.Table, panel: int = 0) -> dict[tuple[str, ...], str]:
    """Printed text by row head and column head."""
    grid = table.panels[panel]
    return {
        (*row.head, column.text): entry.text()
        for row in grid.rows
        for column, entry in zip(grid.columns, row.entries, strict=True)
    }


def test_table1_has_the_papers_shape(collected: pd.DataFrame) -> None:
    panel = tables.table1(collected, published.records()).panels[0]
    assert [column.text for column in panel.columns] == [
        *(f"contrastive τ = {printed(t)}" for t in GRID),
        "simple",
        *(f"hard contrastive τ = {printed(t)}" for t in GRID),
        "hard simple",
    ]
    assert [row.head for row in panel.rows[:9]] == [
        ("CIFAR10", measure, value)
        for measure in ("accuracy (%)", "uniformity", "tolerance")
        for value in ("measured", "published", "difference")
    ]
    assert len(panel.rows) == 18


def test_table1_takes_the_studys_own_temperatures_if_it_lacks_the_papers() -> None:
    frame = frames.records(("digits",), temperatures=(0.1, 0.3, 1.0))
    panel = tables.table1(frame, published.records()).panels[0]
    assert [c.label for c in panel.columns[:3]] == ["τ = 0.1", "τ = 0.3", "τ = 1.0"]
    assert {row.head[2] for row in panel.rows} == {"measured"}
    finer = frames.records(("cifar10",), temperatures=frames.GRID)
    assert len(tables.table1(finer).panels[0].columns) == 10


def test_numbers_are_those_of_a_float64_recomputation(collected: pd.DataFrame) -> None:
    numbers = tables.full(collected, published.records()).cells
    theirs = published.records()
    assert len(numbers) == 2 * 11 * len(numbers["measure"].unique())
    for row in numbers.sample(60, random_state=0).to_dict("records"):
        mine = collected[
            (collected["dataset"] == row["dataset"]) & (collected["loss"] == row["loss"])
        ]
        cited = theirs[(theirs["dataset"] == row["dataset"]) & (theirs["loss"] == row["loss"])]
        if row["temperature"]:
            mine = mine[mine["temperature"] == float(row["temperature"])]
            cited = cited[cited["temperature"] == float(row["temperature"])]
        x = mine[row["measure"]].to_numpy(np.float64)
        assert row["n"] == len(x) == 3
        assert row["mean"] == pytest.approx(x.mean(), rel=1e-14)
        assert row["sd"] == pytest.approx(x.std(ddof=1), rel=1e-12, abs=1e-12)
        half = stats.t.interval(0.95, 2, scale=stats.sem(x))[1] if x.std() > 0 else 0.0
        assert row["half_width"] == pytest.approx(half, rel=1e-12, abs=1e-12)
        if row["measure"] in cited and len(cited):
            value = cited[row["measure"]].iloc[0]
            assert row["published"] == value
            assert row["difference"] == pytest.approx(x.mean() - value, rel=1e-14)
        else:
            assert math.isnan(row["published"])
            assert math.isnan(row["difference"])


def test_the_full_table_has_every_cell_and_every_measure(collected: pd.DataFrame) -> None:
    table = tables.full(collected)
    measures = {*ACCURACY, *GEOMETRY, *SEPARATION, *PENALTY}
    measures |= {f"train_{name}" for name in GEOMETRY} | {*TRAINING, *SIZES}
    assert {*table.cells["measure"]} == measures
    printed = [column.group for panel in table.panels for column in panel.columns]
    assert len(printed) == len(measures)
    assert all(len(panel.rows) == 22 for panel in table.panels)
    assert all(len(panel.columns) <= tables.WIDEST for panel in table.panels)


def test_published_stands_beside_measured_in_the_full_table(collected: pd.DataFrame) -> None:
    panel = tables.full(collected, published.records()).panels[0]
    assert [column.label for column in panel.columns[:3]] == ["measured", "published", "difference"]
    row = next(r for r in panel.rows if r.head == ("CIFAR10", "contrastive", "0.3"))
    assert row.entries[1].text() == "83.27"


def test_a_users_own_measure_gets_a_panel(collected: pd.DataFrame) -> None:
    table = tables.full(collected.assign(my_measure=1.5, note="text"))
    assert table.panels[-1].heading == "Own measures"
    assert [column.group for column in table.panels[-1].columns] == ["my measure"]


def test_last_and_best_epoch_stand_in_columns_of_their_own() -> None:
    frame = frames.records(("cifar10",), (0.3,), ("contrastive",), (0,))
    frame["linear_accuracy"], frame["linear_accuracy_best"] = 80.0, 90.0
    assert (
        entries(tables.table1(frame))[
            ("CIFAR10", "accuracy (%)", "measured", "contrastive τ = 0.3")
        ]
        == "80.00 (1)"
    )
    row = tables.full(frame).panels[0].rows[0]
    assert [entry.text() for entry in row.entries[:2]] == ["80.00 (1)", "90.00 (1)"]
    for table in (tables.table1(frame), tables.full(frame)):
        assert "last epoch" in table.caption
        assert "best epoch" in table.caption


def test_missing_diverged_and_single_seeded_cells_are_marked(broken: pd.DataFrame) -> None:
    table = tables.table1(broken, published.records())
    text = entries(table)
    head = ("CIFAR10", "accuracy (%)", "measured")
    assert text[(*head, "contrastive τ = 0.07")] == "diverged"
    assert text[(*head, "simple")] == "—"
    assert re.fullmatch(r"[\d.]+ ± [\d.]+ \(2†\)", text[(*head, "contrastive τ = 1.0")])
    assert re.fullmatch(r"[\d.]+ \(1\)", text[(*head, "hard contrastive τ = 0.3")])
    assert text[("CIFAR10", "accuracy (%)", "published", "simple")] == "74.83"
    assert text[("CIFAR10", "accuracy (%)", "difference", "simple")] == ""
    for word in ("diverged", "—: no complete run", "a single seed has no interval"):
        assert word in table.caption
    numbers = table.cells.set_index(["dataset", "loss", "temperature", "measure"])
    cell = numbers.loc[("cifar10", "contrastive", "0.07", "linear_accuracy")]
    assert (cell["n"], cell["diverged"], cell["missing"]) == (0, 3, 0)
    assert math.isnan(cell["mean"])
    assert numbers.loc[("cifar10", "simple", "", "linear_accuracy"), "missing"] == 3
    one = numbers.loc[("cifar10", "hard_contrastive", "0.3", "linear_accuracy")]
    assert one["n"] == 1
    assert math.isnan(one["half_width"])


def cell(values: list[float], diverged: int = 0) -> Measured:
    series = pd.Series(values, index=range(len(values)), dtype=float)
    return Measured(Key("d", "l", None), "linear_accuracy", series, summary(values), diverged)


def test_bold_needs_an_interval_above_zero_against_every_other_cell() -> None:
    clear, second, near = (
        cell([80.0, 80.5, 81.0]),
        cell([70.0, 70.6, 71.0]),
        cell([79.9, 80.6, 80.8]),
    )
    assert best([second, clear]) is clear
    assert best([second, clear, near]) is None
    assert best([cell([80.0]), cell([10.0])]) is None
    assert best([clear]) is None
    assert best([]) is None
    assert best([cell([]), second, clear]) is clear
    survivors = cell([99.0, 99.1], diverged=1)
    assert best([survivors, second, clear]) is clear


def test_seeds_that_tie_are_not_bold_within_the_noise() -> None:
    assert best([cell([80.0, 80.0]), cell([80.5, 80.5])]) is None  # 0.5 < 0.85 / sqrt 2
    ahead = cell([80.7, 80.7])
    assert best([cell([80.0, 80.0]), ahead]) is ahead
    unknown = [replace(c, column="rankme") for c in (cell([8.0, 8.0]), cell([9.0, 9.0]))]
    assert best(unknown) is None


def test_published_numbers_keep_the_decimals_of_their_source() -> None:
    frame = frames.records(("imagenet100", "cifar10"), temperatures=GRID)
    text = entries(tables.table1(frame, published.records()))
    assert text[("ImageNet100", "tolerance", "published", "contrastive τ = 0.3")] == "0.380"
    assert text[("CIFAR10", "tolerance", "published", "hard contrastive τ = 1.0")] == "0.030"
    assert text[("CIFAR10", "tolerance", "published", "hard contrastive τ = 0.3")] == "0.0267"
    assert text[("CIFAR10", "uniformity", "published", "contrastive τ = 0.3")] == "3.60"
    assert text[("CIFAR10", "accuracy (%)", "published", "hard contrastive τ = 0.07")] == "79.2"
    bare = published.records().drop(columns=[published.printed("tolerance")])
    text = entries(tables.table1(frame, bare))
    assert text[("ImageNet100", "tolerance", "published", "contrastive τ = 0.3")] == "0.38"


def test_pairing_by_seed_decides_where_the_seeds_vary_together() -> None:
    low, high = cell([60.0, 70.0, 80.0]), cell([61.0, 71.1, 80.9])
    assert best([low, high]) is high
    shuffled = Measured(low.key, low.column, low.values.iloc[[2, 0, 1]], low.summary)
    assert best([shuffled, high]) is high


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


def test_latex_escapes_what_is_special() -> None:
    assert escape_latex(r"a_b & 5% #1 {x} $y$ ~^\<>|") == (
        r"a\_b \& 5\% \#1 \{x\} \$y\$ \textasciitilde{}\textasciicircum{}\textbackslash{}"
        r"\textless{}\textgreater{}\textbar{}"
    )
    assert escape_latex("τ → ∞ ± − 漢") == r"$\tau$ $\to$ $\infty$ $\pm$ $-$ U+6F22"
    assert escape_latex("16 × 16, ² ⁺ ½ é i\u0308 ς") == (
        r"16 $\times$ 16, $^{2}$ $^{+}$ 1/2 \'{e} \"{\i} U+03C2"
    )


COMMAND = re.compile(
    r"\\[&%$#_{}]"  # a special character
    r"|\\[a-zA-Z]+\{\}"  # a letter or sign by its name
    r"|\\(?:[`'^~\"=.]|[uvHrcd] )\{(?:[A-Za-z]|\\[ij])\}"  # an accent over a letter
    r"|\$(?:[-+=()\d]|\\[a-zA-Z]+|[\^_]\{(?:[\w+=()-]|\\circ|\\[a-z]+)+\})\$"
)


@given(st.text())
def test_escaped_latex_is_ascii_without_a_bare_special_character(text: str) -> None:
    escaped = escape_latex(text)
    assert escaped.isascii()
    assert escaped.isprintable()
    assert not set("&%$#_{}~^\\|<>") & set(COMMAND.sub("", escaped))


def test_no_sign_that_the_package_itself_writes_lacks_its_latex() -> None:
    """Nothing of ours is printed as a number of Unicode, in any table that this code can make."""
    sources = Path(tables.__file__).parents[1].rglob("*.py")
    written = {c for path in sources for c in path.read_text(encoding="utf-8")}
    assert {"×", "τ", "±", "†"} <= written
    assert not [c for c in written if c.isprintable() and "U+" in escape_latex(c)]


def test_latex_compiles(broken: pd.DataFrame, tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("pdflatex is not installed; Debian has it in texlive-latex-recommended")
    awkward = r"50% of {all} $x_1$ & ~^\ – “é” τ → ∞, 16 × 16 漢" + "\n\nß ï ő"
    every = " ".join([*map(chr, range(32, 0x460)), *MARKS])
    tables.table1(broken, published.records(), scaled_down=awkward).write([tmp_path / "a.tex"])
    tables.full(broken, published.records(), scaled_down=awkward).write([tmp_path / "b.tex"])
    (tmp_path / "doc.tex").write_text(
        "\\documentclass{article}\n\\usepackage[margin=2cm]{geometry}\n"
        "\\usepackage{booktabs,graphicx,longtable}\n"
        "\\begin{document}\n\\input{a}\n\\input{b}\n\\sloppy\n"
        f"{escape_latex(every)}\n\\end{{document}}\n"
    )
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "doc.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace"
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "doc.log").read_text(errors="replace")
    assert (tmp_path / "doc.pdf").stat().st_size > 10_000
    assert "Overfull" not in done.stdout


def test_captions_name_rule_interval_flip_and_scale(collected: pd.DataFrame) -> None:
    plain = tables.table1(collected).caption
    for words in ("last epoch", "95% t-interval over seeds", "number of seeds", "flips are off"):
        assert words in plain
    assert "Published" not in plain
    assert "diverged:" not in plain
    assert "Scaled down" not in plain
    told = tables.table1(
        collected,
        published.records(),
        scaled_down="16 x 16 pixels.",
        flip={"cifar10": True, "cifar100": False},
    ).caption
    assert "Published: single runs of Wang & Liu (2021)" in told
    assert told.endswith(
        "Horizontal flips are on for CIFAR10; off for CIFAR100. Scaled down: 16 x 16 pixels."
    )


def test_a_collapsed_run_counts_and_is_marked(collected: pd.DataFrame) -> None:
    chosen = (collected["loss"] == "contrastive") & (collected["temperature"] == 0.07)
    frame = collected.assign(collapsed=(chosen & (collected["seed"] == 1)).astype(float))
    table = tables.table1(frame)
    column = "contrastive τ = 0.07"
    assert entries(table)[("CIFAR10", "uniformity", "measured", column)].endswith("(3‡)")
    assert "‡ In some runs training collapsed" in table.caption
    assert r"\ddagger" in table.text("tex")
    numbers = table.cells.set_index(["dataset", "loss", "temperature", "measure"])
    row = numbers.loc[("cifar10", "contrastive", "0.07", "uniformity")]
    assert (row["n"], row["collapsed"]) == (3, 1)
    plain = tables.table1(collected)
    assert "‡" not in plain.caption
    same = plain.cells.drop(columns="collapsed")
    pd.testing.assert_frame_equal(table.cells.drop(columns="collapsed"), same)


def test_a_run_of_other_code_counts_and_is_marked(collected: pd.DataFrame) -> None:
    chosen = (collected["loss"] == "contrastive") & (collected["temperature"] == 0.07)
    earlier = chosen & (collected["seed"] == 1)
    frame = collected.assign(code_version=earlier.map({True: "a-b", False: "c-d"}))
    table = tables.table1(frame)
    column = "contrastive τ = 0.07"
    assert entries(table)[("CIFAR10", "uniformity", "measured", column)].endswith("(3§)")
    marked = [key for key, text in entries(table).items() if "§" in text]
    assert {key[3] for key in marked} == {column}
    assert "§ Some runs were made by other code than most" in table.caption
    assert r"\S " in table.text("tex")
    # One version, whichever it is, has nothing to be marked.
    plain = tables.table1(collected.assign(code_version="a-b"))
    assert "§" not in plain.caption
    pd.testing.assert_frame_equal(table.cells, plain.cells)


def test_an_infinite_or_absent_number_counts_as_no_seed(collected: pd.DataFrame) -> None:
    frame = collected.copy()
    frame["effective_dimension"] = np.inf
    frame = frame.drop(columns="tolerance")
    cells = Cells(frame)
    assert cells.cell(("cifar10", "simple", None), "effective_dimension").summary.n == 0
    assert cells.cell(("cifar10", "simple", None), "tolerance").summary.n == 0
    assert entries(tables.table1(frame))[("CIFAR10", "tolerance", "measured", "simple")] == "—"


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


def test_the_same_records_give_the_same_bytes(broken: pd.DataFrame, tmp_path: Path) -> None:
    shuffled = broken.sample(frac=1, random_state=1)
    for folder, frame in (("a", broken), ("b", broken), ("c", shuffled)):
        tables.full(frame).write([tmp_path / folder / f"full.{kind}" for kind in tables.FORMATS])
    for kind in tables.FORMATS:
        first, again = ((tmp_path / f / f"full.{kind}").read_bytes() for f in "ab")
        assert first == again
    rows = [sorted((tmp_path / f / "full.csv").read_text().splitlines()) for f in "ac"]
    assert rows[0] == rows[1]


def test_no_records_give_an_empty_table_and_no_error(collected: pd.DataFrame) -> None:
    for table in (tables.table1(collected.iloc[:0]), tables.full(collected.iloc[:0])):
        assert all(table.text(kind) for kind in tables.FORMATS)


def test_unknown_formats_are_refused(collected: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="table format xlsx: unknown"):
        tables.table1(collected).write([tmp_path / "table1.xlsx"])
    assert not list(tmp_path.iterdir())
