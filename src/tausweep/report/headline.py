"""A summary of a study for the terminal: its cells, its verdicts and the paths of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tausweep.claims.comparisons import OUTCOMES
from tausweep.claims.phrases import count_of
from tausweep.claims.verdicts import Verdict, headline, multiplicity, read, shown
from tausweep.report import protocol
from tausweep.report.tables.cells import Cells
from tausweep.report.tables.formats import MARKS, Entry
from tausweep.results import kept, labels, records
from tausweep.results.cells import Key, printed
from tausweep.storage.layout import File, Folder, Layout
from tausweep.study import Study

DIFFERENCES = 10
"""How many differences from the kept numbers are listed; the report lists all."""

PLACES = {
    "report": File.REPORT,
    "Table 1": f"{Folder.TABLES}/table1.md",
    "verdicts": File.CLAIMS_MARKDOWN,
    "figures": f"{Folder.FIGURES}/",
}
"""Paths of further results in the study's folder."""

HEADS = ("linear acc. %", "kNN acc. %", "uniformity", "tolerance")


def describe(study: Study, study_file: str, layout: Layout) -> str:
    """Cells as mean ± half-width of the 95% interval over seeds (n), verdicts, and paths.

    If kept records of the study exist, it also says whether the numbers here are the same.

    Raises:
        StudyError: The records are not collected.
    """
    folder = layout.study(study.study)
    frame = records.read_table(folder / File.RECORDS)
    rows: list[tuple[str, ...]] = [("dataset", "loss", "tau", *HEADS)]
    cells = Cells(frame)
    marks = set()
    for key in _keys(study):
        entries = [Entry("measured", cells.cell(key, name)) for name in labels.MAIN_MEASURES]
        marks |= {mark for entry in entries for mark in entry.marks}
        texts = [entry.text() for entry in entries]
        rows.append((key.dataset, labels.loss(key.loss), printed(key.temperature), *texts))
    lines = [f"study {study.study}, {count_of(len(study.seeds), 'seed')}", "", *_aligned(rows)]
    lines += [MARKS[mark] for mark in sorted(marks)]
    lines.append("Cells: mean ± half-width of the plain 95% t-interval (number of seeds).")
    beside = kept.beside(study, study_file, layout, frame)
    lines += ["", *_verdicts(study, folder / File.CLAIMS_JSON), "", *_places(folder)]
    return "\n".join([*lines, *(["", *_kept(beside, folder)] if beside else [])])


def values(study: Study, study_file: str, layout: Layout) -> dict[str, Any]:
    """The same, ready for JSON (docs/commands.md).

    Raises:
        StudyError: The records are not collected.
    """
    folder = layout.study(study.study)
    frame = records.read_table(folder / File.RECORDS)
    cells, verdicts = Cells(frame), read(folder / File.CLAIMS_JSON)
    beside = kept.beside(study, study_file, layout, frame)
    return {
        "study": study.study,
        "seeds": list(study.seeds),
        "miniature": protocol.scaled_down(study) is not None,
        "cells": [_cell_values(key, cells) for key in _keys(study)],
        "headline": _headline(study, verdicts),
        "verdicts": [
            {
                "claim": verdict.claim,
                "kind": verdict.kind,
                "text": verdict.text,
                "dataset": verdict.dataset,
                "verdict": verdict.verdict,
                "reason": verdict.reason,
            }
            for verdict in verdicts
        ],
        "kept": None
        if beside is None
        else {
            "folder": str(beside.folder),
            "runs": beside.runs,
            "numbers": beside.numbers,
            "differences": [asdict(difference) for difference in beside.differences],
        },
        "files": {
            name.lower().replace(" ", ""): f"{folder}/{place}" for name, place in PLACES.items()
        },
    }


def _keys(study: Study) -> Iterator[Key]:
    """The cells of a study, in its order."""
    for run in study.runs():
        if run.seed == study.seeds[0]:
            yield Key(run.dataset, run.loss, run.temperature)


def _cell_values(key: Key, cells: Cells) -> dict[str, Any]:
    found = {name: cells.cell(key, name) for name in labels.MAIN_MEASURES}
    first = found[labels.MAIN_MEASURES[0]]
    return {
        **key._asdict(),
        "measures": {
            name: {
                "mean": cell.summary.mean if cell.summary.n else None,
                "half_width": cell.summary.half_width,
                "n": cell.summary.n,
            }
            for name, cell in found.items()
        },
        "diverged": first.diverged,
        "collapsed": first.collapsed,
        "other_code": first.other_code,
        "lacking": first.lacking,
    }


def _headline(study: Study, verdicts: list[Verdict]) -> str:
    where = ", ".join(labels.dataset(name) for name in study.datasets)
    miniature = protocol.scaled_down(study) is not None
    return headline(verdicts, where, len(study.seeds), miniature)


def _kept(beside: kept.Beside, folder: Path) -> list[str]:
    lines = [f"compared with the records kept in {beside.folder}: {beside.headline}"]
    lines += [f"  {line}" for line in beside.lines(DIFFERENCES)]
    if beside.differences:
        tables = f"{beside.folder}/{File.RECORDS} {folder}/{File.RECORDS}"
        lines.append(f"  to compare cells and verdicts: tausweep compare {tables}")
    return lines


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _verdicts(study: Study, path: Path) -> list[str]:
    found = read(path)
    miniature = protocol.scaled_down(study) is not None
    lines = [_headline(study, found)]
    overall = [v for v in found if v.dataset is None and v.kind == "finding"]
    for outcome in OUTCOMES:
        if ids := [v.claim for v in overall if v.verdict == outcome]:
            lines.append(f"  {shown(outcome, miniature)}: {' '.join(ids)}")
    return [*lines, multiplicity(found)]


def _places(folder: Path) -> list[str]:
    return [f"{name:8}  {folder}/{place}" for name, place in PLACES.items()]
