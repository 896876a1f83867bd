"""Tables of a study: the paper's Table 1 and the full sweep, with published numbers.

``table1(collected, published)`` and ``full(collected, published)`` give a ``Table``, whose text is
CSV (tidy, numeric), Markdown, LaTeX (booktabs) or HTML (a fragment).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from tausweep.report.tables import formats
from tausweep.report.tables.cells import Cells, Measured, best, tidy
from tausweep.report.tables.formats import (
    COLLAPSED,
    FORMATS,
    OTHER_CODE,
    SOME_DIVERGED,
    ColumnHead,
    Entry,
    Kind,
    Panel,
    Row,
)
from tausweep.results import labels
from tausweep.results.cells import Key, printed
from tausweep.study import BASELINES, StudyError
from tausweep.study import LOSSES as PAPER
from tausweep.study.columns import (
    CLASSIFICATION,
    COLUMNS,
    GEOMETRY,
    PENALTY,
    SEPARATION,
    SIZES,
    TRAINING,
)

__all__ = ["FORMATS", "PUBLISHED_T", "Table", "comparable", "full", "table1"]

TABLE1_MEASURES = ("linear_accuracy", "uniformity", "tolerance")
MOST_COLUMNS = 7
"""How many printed columns fit on a page beside the heads of a row."""
PUBLISHED_T = 2.0
"""The t of the published uniformities."""
PANEL_COLUMNS = 7
"""Columns of other losses that fit a page beside the heads of a row."""
TABLE1_LOSSES = ("contrastive", "simple", "hard_contrastive", "hard_simple")


@dataclass(frozen=True)
class Table:
    """A table, ready to be written.

    Attributes:
        name: ``table1`` or ``full``.
        title: The title in print.
        caption: What the numbers are and how they were made.
        panels: The printed grids.
        cells: All cells as numbers, one per row.
    """

    name: str
    title: str
    caption: str
    panels: list[Panel]
    cells: pd.DataFrame = field(repr=False)

    def text(self, kind: str) -> str:
        """The table as ``csv``, ``md``, ``tex`` or ``html``.

        CSV has one row per cell, with numbers in the shortest form that reads back exactly. The
        others have the printed layout. LaTeX needs the packages booktabs, graphicx and longtable.

        Raises:
            StudyError: The format is unknown.
        """
        if kind == "csv":
            return self.cells.to_csv(index=False, lineterminator="\n")
        if kind not in FORMATS:
            raise StudyError(
                f"table format {kind}: unknown; known formats are {', '.join(FORMATS)}"
            )
        render = {"md": formats.markdown, "tex": formats.latex, "html": formats.html}[kind]
        return render(self.name, self.title, self.caption, self.panels)


def comparable(published: pd.DataFrame | None, t: float) -> pd.DataFrame | None:
    """The published numbers, without uniformity unless ``t`` is the t of the published ones."""
    if published is None or t == PUBLISHED_T:
        return published
    return published.drop(columns="uniformity", errors="ignore")


def table1(
    collected: pd.DataFrame,
    published: pd.DataFrame | None = None,
    *,
    scaled_down: str | None = None,
    flip: Mapping[str, bool] | None = None,
    t: float = PUBLISHED_T,
) -> Table:
    """The paper's Table 1, with dataset and measure in rows, loss and temperature in columns.

    Losses that are not the paper's follow in panels of their own.

    Args:
        collected: The collected table (columns of ``records.csv``), any status.
        published: Published numbers (``published.records()``), or none.
        scaled_down: How the study is smaller than the paper's protocol, for the caption.
        flip: Whether views are flipped, by dataset; by default the caption names our defaults.
        t: Uniformity's t; if it is not that of the published numbers, those are left out.
    """
    cells = Cells(collected, comparable(published, t))
    temperatures = _table1_temperatures(cells)
    chosen = [loss for loss in TABLE1_LOSSES if loss in cells.losses]
    others = [loss for loss in cells.losses if loss not in (*PAPER, *BASELINES)]
    columns: list[tuple[str, float | None]] = []
    for loss in [*chosen, *others]:
        swept = cells.temperatures([loss])
        grid = [t for t in temperatures if t in swept] if loss in chosen else swept
        columns += [(loss, t) for t in grid] or [(loss, None)]
    lines: list[tuple[str, str, list[Measured], Measured | None]] = []
    every: list[Measured] = []
    bold: list[Measured] = []
    for dataset in cells.datasets:
        for measure in TABLE1_MEASURES:
            line = [cells.cell(Key(dataset, *column), measure) for column in columns]
            top = best(line) if measure == "linear_accuracy" else None
            every += line
            bold += [top] if top else []
            lines.append((dataset, measure, line, top))
    first = sum(loss in chosen for loss, _ in columns)
    own = [slice(0, first)] if first or not columns else []
    rest = [slice(i, i + PANEL_COLUMNS) for i in range(first, len(columns), PANEL_COLUMNS)]
    panels = [_table1_panel("", columns, lines, place) for place in own]
    panels += [_table1_panel("Other losses", columns, lines, place) for place in rest]
    caption = _caption(cells, _ACCURACY, _BEST, scaled_down, flip, t)
    title = "Accuracy, uniformity and tolerance, as in the paper's Table 1"
    return Table("table1", title, caption, panels, tidy("table1", every, bold))


def _table1_panel(
    heading: str,
    columns: Sequence[tuple[str, float | None]],
    lines: Sequence[tuple[str, str, list[Measured], Measured | None]],
    place: slice,
) -> Panel:
    """Some columns of Table 1, with the heads of all rows."""
    heads = [
        ColumnHead(labels.loss(loss), "" if t is None else f"τ = {printed(t)}")
        for loss, t in columns[place]
    ]
    rows: list[Row] = []
    for dataset, measure, line, top in lines:
        rows += _table1_rows(dataset, measure, line[place], top)
    return Panel(heading, ("dataset", "measure", "value"), heads, rows)


def full(
    collected: pd.DataFrame,
    published: pd.DataFrame | None = None,
    *,
    scaled_down: str | None = None,
    flip: Mapping[str, bool] | None = None,
    t: float = PUBLISHED_T,
) -> Table:
    """Every cell of the sweep with every measure, in panels that fit on a page.

    Args and result as for ``table1``.
    """
    cells = Cells(collected, comparable(published, t))
    keys = cells.keys()
    panels, every = [], []
    for heading, columns in _families(cells.columns):
        grid = {column: [cells.cell(key, column) for key in keys] for column in columns}
        every += [cell for line in zip(*grid.values(), strict=True) for cell in line]
        parts = _parts(grid)
        for place, part in enumerate(parts, start=1):
            of = f" ({place} of {len(parts)})" if len(parts) > 1 else ""
            panels.append(_full_panel(f"{heading}{of}", keys, part))
    caption = _caption(cells, f"{_ACCURACY} {_FULL}", "", scaled_down, flip, t)
    return Table("full", "Every cell of the sweep", caption, panels, tidy("full", every))


def _table1_temperatures(cells: Cells) -> list[float]:
    """Table 1's temperatures if the study has all of them, else the study's own."""
    own = cells.temperatures(TABLE1_LOSSES)
    complete = set(labels.TABLE1_TEMPERATURES) <= set(own)
    return list(labels.TABLE1_TEMPERATURES) if complete else own


def _table1_rows(
    dataset: str, measure: str, line: list[Measured], top: Measured | None
) -> list[Row]:
    label = "accuracy (%)" if measure == "linear_accuracy" else labels.measure(measure).label
    head = (labels.dataset(dataset), label)
    rows = [Row((*head, "measured"), [Entry("measured", c, bold=c is top) for c in line])]
    if any(cell.published is not None for cell in line):
        rows.append(Row((*head, "published"), [Entry("published", c) for c in line]))
        rows.append(Row((*head, "difference"), [Entry("difference", c) for c in line]))
    return rows


def _families(columns: list[str]) -> list[tuple[str, list[str]]]:
    """The records' columns by what they measure, those of plug-ins last, without empty groups."""
    families = {
        "Accuracy": CLASSIFICATION,
        "Geometry of the test embeddings": GEOMETRY,
        "Geometry of the training embeddings": tuple(f"train_{c}" for c in GEOMETRY),
        "Local separation": SEPARATION,
        "Penalties and identities of the loss": PENALTY,
        "Training": TRAINING,
        "Test split, bank and hard set": SIZES,
        "Own measures": tuple(c for c in columns if c not in COLUMNS),
    }
    present = {head: [c for c in wanted if c in columns] for head, wanted in families.items()}
    return [(head, chosen) for head, chosen in present.items() if chosen]


def _kinds(column: list[Measured]) -> tuple[Kind, ...]:
    """The printed columns of a measure: three if it has published numbers, else one."""
    if any(cell.published is not None for cell in column):
        return ("measured", "published", "difference")
    return ("measured",)


def _parts(grid: dict[str, list[Measured]]) -> list[dict[str, list[Measured]]]:
    """Split the measures of a family into parts of similar width that fit on a page."""
    widths = {name: len(_kinds(column)) for name, column in grid.items()}
    total = sum(widths.values())
    count = math.ceil(total / MOST_COLUMNS)
    parts: list[dict[str, list[Measured]]] = [{} for _ in range(count)]
    before = 0
    for name, column in grid.items():
        parts[min(count - 1, before * count // total)][name] = column
        before += widths[name]
    return parts


def _full_panel(heading: str, keys: list[Key], grid: dict[str, list[Measured]]) -> Panel:
    """One row per cell of the sweep; a measure with published numbers shows these too."""
    heads: list[ColumnHead] = []
    for name, column in grid.items():
        kinds = _kinds(column)
        heads += [
            ColumnHead(labels.measure(name).label, k if len(kinds) > 1 else "") for k in kinds
        ]
    rows = [
        Row(
            (labels.dataset(key[0]), labels.loss(key[1]), printed(key.temperature)),
            [Entry(kind, column[i]) for column in grid.values() for kind in _kinds(column)],
        )
        for i, key in enumerate(keys)
    ]
    return Panel(heading, ("dataset", "loss", "τ"), heads, rows)


_ACCURACY = (
    "Linear accuracy: top-1 of the linear probe on frozen features, one crop, at the probe's last "
    "epoch; the full table also has its best epoch on the test split."
)
_GEOMETRY = (
    "Uniformity (−log E exp(−{t:g}‖f(x) − f(y)‖²), higher is more uniform) and tolerance (mean "
    "similarity within a class) are over all distinct pairs of un-augmented test embeddings."
)
_FULL = (
    "Converged: logistic regression on the same features, trained to convergence. Penalties: "
    "shares of anchors, and errors that are 0 where an identity of the paper holds exactly."
)
_CELLS = (
    "Cells: mean ± half-width of the 95% t-interval over seeds (number of seeds); a single seed "
    "has no interval."
)
_BEST = (
    "Bold: the highest accuracy of a row, if it is higher than every other one with 95% "
    "confidence, paired by seed; rows without bold have no clear winner. Cells with a diverged run "
    "do not compete."
)
_FLIP = (
    "Horizontal flips are off by default on CIFAR10, CIFAR100 and SVHN, as in the code that "
    "printed the published numbers, and on for ImageNet100."
)
_DIVERGED = "“diverged”: every run of the cell diverged."
_MISSING = "—: no complete run."


def _caption(
    cells: Cells,
    measures: str,
    best_rule: str,
    scaled_down: str | None,
    flip: Mapping[str, bool] | None,
    t: float,
) -> str:
    sentences = [measures, _GEOMETRY.format(t=t), _CELLS, best_rule]
    if cells.has_published:
        sentences.append(
            "Published: single runs of Wang & Liu (2021). Difference: measured − published."
        )
        if t != PUBLISHED_T:
            sentences.append(
                f"Published uniformity has t = {PUBLISHED_T:g}, so it is not compared with this "
                f"study's at t = {t:g}."
            )
    sentences.append(_MISSING)
    sentences += [_DIVERGED, formats.MARKS[SOME_DIVERGED]] if cells.any_diverged else []
    sentences += [formats.MARKS[COLLAPSED]] if cells.any_collapsed else []
    sentences += [formats.MARKS[OTHER_CODE]] if cells.any_other_code else []
    sentences.append(_FLIP if flip is None else _flips(flip))
    if scaled_down:
        sentences.append(f"Scaled down: {scaled_down.rstrip('.')}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _flips(flip: Mapping[str, bool]) -> str:
    parts = []
    for state, word in ((True, "on"), (False, "off")):
        chosen = [labels.dataset(name) for name, flipped in flip.items() if flipped == state]
        if chosen:
            parts.append(f"{word} for {', '.join(chosen)}")
    return f"Horizontal flips are {'; '.join(parts)}." if parts else ""
