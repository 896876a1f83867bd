"""The headline of a study for a terminal: its cells, the verdicts, where the rest lies."""

from __future__ import annotations

import json
from pathlib import Path

from tausweep import kept, names, protocol, records
from tausweep.comparisons import OUTCOMES
from tausweep.layout import Layout
from tausweep.statistics import format_cell, summary
from tausweep.study import Study, canonical
from tausweep.verdicts import Verdict, headline, multiplicity, shown

SHOWN = ("linear_accuracy", "knn_accuracy", "uniformity", "tolerance")
DIFFERENCES = 10
"""How many numbers that are not those kept are listed; the report has all."""

HEADS = ("linear acc. %", "kNN acc. %", "uniformity", "tolerance")


def describe(study: Study, study_file: str, layout: Layout) -> str:
    """Cells as mean ± half-width of the 95% interval over seeds (n), verdicts, and paths.

    Of a study that has kept records: whether its numbers are the same here, and what differs.

    Raises:
        StudyError: The records are not collected.
    """
    folder = layout.study(study.study)
    frame = records.read_table(folder / "records.csv")
    rows: list[tuple[str, ...]] = [("dataset", "loss", "tau", *HEADS)]
    for run in study.runs():
        if run.seed != study.seeds[0]:
            continue
        cell = frame[(frame["dataset"] == run.dataset) & (frame["loss"] == run.loss)]
        cell = cell[cell["temperature"].map(_tau) == canonical(run.temperature)]
        complete = cell[cell["status"] == "complete"]
        lacking = "diverged" if (cell["status"] == "diverged").any() else "missing"
        values = [
            format_cell(summary(complete[name].dropna())) if len(complete) else lacking
            for name in SHOWN
        ]
        if "collapsed" in complete and (complete["collapsed"] == 1).any():
            values = [f"{text}‡" for text in values]
        rows.append((run.dataset, names.loss(run.loss), _shown(run.temperature), *values))
    lines = [f"study {study.study}: measured, {len(study.seeds)} seed(s)", "", *_aligned(rows)]
    if any(row[-1].endswith("‡") for row in rows):
        lines.append("‡: in a run of the cell all test embeddings are one point: it collapsed")
    lines.append("cells: mean ± half-width of the plain 95% t-interval (number of seeds)")
    beside = kept.beside(study, study_file, layout, frame)
    lines += ["", *_verdicts(study, folder / "claims.json"), "", *_places(folder)]
    return "\n".join([*lines, *(["", *_kept(beside, folder)] if beside else [])])


def _kept(beside: kept.Beside, folder: Path) -> list[str]:
    lines = [f"beside what is kept in {beside.folder}: {beside.headline}"]
    lines += [f"  {line}" for line in beside.lines(DIFFERENCES)]
    if beside.differences:
        tables = f"{beside.folder}/records.csv {folder}/records.csv"
        lines.append(f"  cells and verdicts side by side: tausweep compare {tables}")
    return lines


def _tau(temperature: float) -> str:
    return canonical(None if temperature != temperature else temperature)


def _shown(temperature: float | None) -> str:
    return "" if temperature is None else canonical(temperature)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _verdicts(study: Study, path: Path) -> list[str]:
    found = [Verdict(**v) for v in json.loads(path.read_text(encoding="utf-8"))]
    miniature = protocol.scaled_down(study) is not None
    where = ", ".join(names.dataset(name) for name in study.datasets)
    lines = [headline(found, where, len(study.seeds), miniature)]
    overall = [v for v in found if v.dataset is None and v.kind == "finding"]
    for outcome in OUTCOMES:
        if ids := [v.claim for v in overall if v.verdict == outcome]:
            lines.append(f"  {shown(outcome, miniature)}: {' '.join(ids)}")
    return [*lines, multiplicity(found)]


def _places(folder: Path) -> list[str]:
    places = {
        "report": "report.html",
        "Table 1": "tables/table1.md",
        "verdicts": "claims.md",
        "figures": "figures/",
    }
    return [f"{name:8}  {folder}/{place}" for name, place in places.items()]
