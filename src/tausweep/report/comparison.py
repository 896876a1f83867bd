"""Compare two collected tables: the difference of every cell, and which verdicts change.

Either side may be the paper's numbers (the word ``published``). Differences are A - B, paired by
seed if both sides have the same seeds, else with Welch's interval for two samples. Neither is
narrower than the measure's noise margin allows (``intervals.widened``). The published numbers are
single runs without a seed, so their differences have no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tausweep.claims import judging
from tausweep.claims.verdicts import Verdict
from tausweep.results import labels, published, records
from tausweep.results.cells import Cell, Key, cells_of, printed
from tausweep.results.differences import difference
from tausweep.results.intervals import (
    ACCURACY_MARGIN,
    CONFIDENCE,
    MARGINS,
    Summary,
    format_cell,
    format_parts,
    noise_margin,
    summary,
)
from tausweep.results.markdown import CENTRE, LEFT, RIGHT, escape_pipes, table
from tausweep.storage.atomic import write_text
from tausweep.study import StudyError, did_you_mean

PUBLISHED = "published"
CELL_COLUMNS = [
    *("dataset", "loss", "temperature", "measure"),
    *("mean_a", "half_width_a", "n_a", "lacking_a", "mean_b", "half_width_b", "n_b", "lacking_b"),
    *("difference", "low", "high", "method", "excludes_zero"),
]


@dataclass(frozen=True)
class Change:
    """A claim's verdicts on both sides; ``dataset`` is none for all common datasets together."""

    claim: str
    text: str
    dataset: str | None
    a: Verdict
    b: Verdict

    @property
    def changed(self) -> bool:
        """Whether the sides differ; 'not measured' counts as a verdict."""
        return _word(self.a) != _word(self.b)


@dataclass(frozen=True)
class Comparison:
    """A comparison of two tables.

    Attributes:
        name_a: What A is called.
        name_b: What B is called.
        cells: One row a cell and measure, numeric (``CELL_COLUMNS``).
        changes: Every verdict that both sides have.
        only_a: Cells that only A has.
        only_b: Cells that only B has.
        sources: The sources of both in one sentence, or empty.
    """

    name_a: str
    name_b: str
    cells: pd.DataFrame = field(repr=False)
    changes: list[Change] = field(repr=False)
    only_a: list[str]
    only_b: list[str]
    sources: str = ""

    def csv(self) -> str:
        """Cells as CSV, with numbers in the shortest form that reads back exactly."""
        return self.cells.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        """Verdicts that change, then one table per measure, in GitHub's Markdown."""
        lines = [
            f"# {escape_pipes(self.name_a)} against {escape_pipes(self.name_b)}",
            "",
            *self._summary(),
            "",
        ]
        lines[1:1] = ["", self.sources] if self.sources else []
        lines += [*self._verdicts(), ""]
        for measure, rows in self.cells.groupby("measure", sort=False):
            lines += [*self._table(str(measure), rows), ""]
        for name, lacking in ((self.name_a, self.only_a), (self.name_b, self.only_b)):
            if lacking:
                lines += [f"Only in {escape_pipes(name)}: {escape_pipes('; '.join(lacking))}.", ""]
        return "\n".join(lines).rstrip("\n") + "\n"

    def _summary(self) -> list[str]:
        intervals = int((self.cells["method"] != "").sum())
        beyond = int(self.cells["excludes_zero"].sum())
        sentences = [
            "Cells: mean ± half-width of the 95% interval over seeds (n). "
            f"Differences: {escape_pipes(self.name_a)} minus {escape_pipes(self.name_b)}; "
            "the interval is paired by seed (p) if both sides have the same seeds, else Welch's "
            "(w); fewer than two seeds have none. Because seeds can agree by chance, a half-width "
            "is at least the noise margin / √n (Welch: margin × √(1/n + 1/m) / √2). The margin is "
            f"{ACCURACY_MARGIN:g} points of accuracy, {MARGINS['uniformity']:g} of uniformity, "
            f"{MARGINS['tolerance']:g} of tolerance and of similarities. A measure without a known "
            "margin has no interval if its seeds do not scatter at all."
        ]
        if intervals:
            sentences.append(
                f"**\\***: the interval excludes 0, in {beyond} of {intervals}; if nothing "
                f"differed, about {(1 - CONFIDENCE) * intervals:.2g} would by chance alone."
            )
        return [" ".join(sentences)]

    def _verdicts(self) -> list[str]:
        if not self.changes:
            return ["## Verdicts", "", "The tables have no dataset in common."]
        changed = [change for change in self.changes if change.changed]
        title = f"## Verdicts that change: {len(changed)} of {len(self.changes)}"
        if not changed:
            return [title]
        heads = ["claim", "dataset", self.name_a, self.name_b]
        rows = [
            [
                f"**{c.claim}** {c.text}",
                "overall" if c.dataset is None else labels.dataset(c.dataset),
                _shown(c.a),
                _shown(c.b),
            ]
            for c in changed
        ]
        return [title, "", *table(heads, rows, [LEFT] * 4)]

    def _table(self, measure: str, rows: pd.DataFrame) -> list[str]:
        named = labels.measure(measure)
        heads = ["dataset", "loss", "τ", self.name_a, self.name_b, "difference", ""]
        lines = [
            [
                labels.dataset(row["dataset"]),
                labels.loss(row["loss"]),
                row["temperature"],
                _side(row, "a", named.digits),
                _side(row, "b", named.digits),
                _signed(row, named.digits),
                "**\\***" if row["excludes_zero"] else "",
            ]
            for row in rows.to_dict("records")
        ]
        aligned = [LEFT, LEFT, RIGHT, RIGHT, RIGHT, RIGHT, CENTRE]
        return [f"## {escape_pipes(named.label)}", "", *table(heads, lines, aligned)]


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    name_a: str = "A",
    name_b: str = "B",
    measures: Sequence[str] | None = None,
) -> Comparison:
    """Compare two collected tables.

    Verdicts are compared on the datasets that both have, and over all of these.

    Args:
        a: Columns of ``records.csv``, one study.
        b: The same for the other side.
        name_a: Name of A.
        name_b: Name of B.
        measures: Columns to compare; by default the ``labels.MAIN_MEASURES`` that both sides have.

    Raises:
        StudyError: A side has no numeric column for a measure.
        ValueError: A table cannot be judged; see ``claims.judge``.
    """
    chosen = _measures(a, b, measures)
    cells_a, cells_b = cells_of(a), cells_of(b)
    common = [key for key in _ordered({*cells_a, *cells_b}) if key in cells_a and key in cells_b]
    rows = [_row(key, measure, cells_a[key], cells_b[key]) for measure in chosen for key in common]
    shared = set(a["dataset"]) & set(b["dataset"])
    return Comparison(
        name_a=name_a,
        name_b=name_b,
        cells=pd.DataFrame(rows, columns=CELL_COLUMNS),
        changes=_changes(a, b, shared),
        only_a=_cell_names(key for key in _ordered(cells_a) if key not in cells_b),
        only_b=_cell_names(key for key in _ordered(cells_b) if key not in cells_a),
    )


def compare_files(
    path_a: str,
    path_b: str,
    measures: Sequence[str] | None = None,
    csv: str | Path | None = None,
    datasets: tuple[str, str] | None = None,
) -> str:
    """Compare two files of records, either of which may be the word ``published``.

    With ``datasets`` both may be the same file, to compare two datasets of one study, such as one
    with another setting.

    Args:
        path_a: A ``records.csv``, or ``published``.
        path_b: Likewise.
        measures: As for ``compare``.
        csv: Where to write all cells as CSV, if given.
        datasets: A dataset of A and one of B to compare as if they were the same; by default
            datasets with the same name are compared.

    Returns:
        Markdown.

    Raises:
        StudyError: A file is missing, is not a table of records, or cannot be compared.
    """
    a, b = _read(path_a), _read(path_b)
    name_a, name_b = _study(a, path_a), _study(b, path_b)
    if datasets is not None:
        a, b = (
            _only(frame, path, name).assign(dataset=datasets[0])
            for frame, path, name in zip((a, b), (path_a, path_b), datasets, strict=True)
        )
        name_a, name_b = f"{name_a}: {datasets[0]}", f"{name_b}: {datasets[1]}"
    if name_a == name_b:
        name_a, name_b = f"{name_a} (A)", f"{name_b} (B)"
    found = compare(a, b, name_a, name_b, measures)
    found = replace(found, sources=f"{name_a}: `{path_a}`; {name_b}: `{path_b}`.")
    if csv is not None:
        write_text(Path(csv), found.csv())
    return found.markdown()


def _read(path: str) -> pd.DataFrame:
    frame = published.records() if path == PUBLISHED else records.read_table(Path(path))
    try:
        judging.check_records(frame)
    except ValueError as error:
        raise StudyError(f"{path}: {error}") from None
    return frame


def _only(frame: pd.DataFrame, path: str, dataset: str) -> pd.DataFrame:
    """The rows of one dataset."""
    rows = frame[frame["dataset"] == dataset]
    if rows.empty:
        known = [str(name) for name in frame["dataset"].unique()]
        raise StudyError(
            f"--datasets {dataset}: {path} has none of that name{did_you_mean(dataset, known)}; "
            f"it has {', '.join(known)}"
        )
    return rows


def _study(frame: pd.DataFrame, path: str) -> str:
    found = frame["study"].dropna().unique()
    return str(found[0]) if len(found) else path


def _measures(a: pd.DataFrame, b: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    numeric = [
        {str(c) for c in frame if pd.api.types.is_numeric_dtype(frame[c])} - {"temperature", "seed"}
        for frame in (a, b)
    ]
    known = numeric[0] & numeric[1]
    for name in wanted or ():
        if name not in known:
            listed = ", ".join(sorted(known))
            raise StudyError(
                f"--measure {name}: not a column of numbers in both "
                f"tables{did_you_mean(name, known)}; allowed are {listed}"
            )
    return list(dict.fromkeys(wanted or [name for name in labels.MAIN_MEASURES if name in known]))


def _ordered(keys: Iterable[Key]) -> list[Key]:
    keys = list(keys)
    datasets = labels.datasets_in_order(sorted(key[0] for key in keys))
    losses = labels.losses_in_order(key[1] for key in keys)
    return sorted(keys, key=lambda k: (datasets.index(k[0]), losses.index(k[1]), k[2] or 0.0))


def _cell_names(keys: Iterable[Key]) -> list[str]:
    """Cells in words, with the temperatures of a dataset and loss together."""
    taus: dict[str, list[str]] = {}
    for dataset, loss, tau in keys:
        grid = taus.setdefault(f"{labels.dataset(dataset)} {labels.loss(loss)}", [])
        grid += [] if tau is None else [printed(tau)]
    return [" at ".join(filter(None, [name, ", ".join(grid)])) for name, grid in taus.items()]


def _row(key: Key, measure: str, a: Cell, b: Cell) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dataset": key.dataset,
        "loss": key.loss,
        "temperature": printed(key.temperature),
        "measure": measure,
    }
    sides = {}
    for side, cell in (("a", a), ("b", b)):
        values, lacking = cell.values(measure), len(cell.rows) - len(cell.seeds("complete"))
        sides[side], found = values, summary(values.to_numpy())
        row |= {f"mean_{side}": found.mean, f"half_width_{side}": found.half_width}
        row |= {f"n_{side}": found.n, f"lacking_{side}": lacking}
    gap = difference(sides["a"], sides["b"], noise_margin(measure))
    return row | {
        "difference": gap.mean,
        "low": gap.low,
        "high": gap.high,
        "method": gap.method,
        "excludes_zero": int(gap.excludes_zero),
    }


def _changes(a: pd.DataFrame, b: pd.DataFrame, shared: set[Any]) -> list[Change]:
    if not shared:
        return []
    judged = []
    for frame in (a, b):
        # The noise of one run is known only for the published numbers.
        known = PUBLISHED in set(frame["study"]) if "study" in frame else False
        found = judging.judge(frame[frame["dataset"].isin(shared)], run_noise=known)
        judged.append({(v.claim, v.dataset): v for v in found})
    return [
        Change(claim, verdict.text, dataset, verdict, judged[1][claim, dataset])
        for (claim, dataset), verdict in judged[0].items()
        if dataset is not None or len(shared) > 1
    ]


def _word(verdict: Verdict) -> str:
    return verdict.verdict


def _shown(verdict: Verdict) -> str:
    word = _word(verdict)
    return f"{word}: {verdict.headline}" if verdict.headline else word


def _side(row: dict[Any, Any], side: str, digits: int | None) -> str:
    half, n = row[f"half_width_{side}"], int(row[f"n_{side}"])
    half_width = None if half is None or math.isnan(half) else float(half)
    text = format_cell(Summary(row[f"mean_{side}"], None, n, half_width), digits)
    lacking = int(row[f"lacking_{side}"])
    return f"{text}, {lacking} not complete" if lacking else text


def _signed(row: dict[Any, Any], digits: int | None) -> str:
    if math.isnan(row["difference"]):
        return "–"
    half = (row["high"] - row["low"]) / 2 if row["method"] else None
    gap = Summary(row["difference"], None, 2 if row["method"] else 1, half)
    mean, half_width = format_parts(gap, digits, signed=True)
    return f"{mean} ± {half_width} ({row['method'][0].lower()})" if half_width else mean
