"""A comparison of two tables as Markdown, in the order in which it is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from tausweep.claims.phrases import count_of
from tausweep.claims.verdicts import Verdict
from tausweep.report.comparison import Comparison, VerdictPair, is_number
from tausweep.results import labels
from tausweep.results.cells import Key, printed
from tausweep.results.intervals import (
    ACCURACY_MARGIN,
    CONFIDENCE,
    MARGINS,
    Summary,
    format_cell,
    format_parts,
)
from tausweep.results.markdown import CENTRE, LEFT, RIGHT, escape_pipes, table


def markdown(found: Comparison) -> str:
    """What is compared, the verdicts that change, then one table per measure."""
    lines = [f"# {escape_pipes(found.a.name)} against {escape_pipes(found.b.name)}", ""]
    if found.a.source and found.b.source:
        lines += [f"{_source(found.a.name, found.a.source)}; "
                  f"{_source(found.b.name, found.b.source)}.", ""]  # fmt: skip
    lines += [escape_pipes(_coverage(found)), ""]
    if found.common:
        lines += [*_verdicts(found), ""]
        for measure, rows in found.cells.groupby("measure", sort=False):
            lines += [*_table(found, str(measure), rows), ""]
        lines += ["## How to read it", "", _legend(found)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _source(name: str, path: str) -> str:
    return f"{name}: `{path}`"


def _coverage(found: Comparison) -> str:
    """What both tables have, and what only one has, in one line."""
    count = len(found.common)
    parts = [
        f"Compared: the {count_of(count, 'cell')} that both tables have."
        if count
        else "The tables have no cell in common."
    ]
    shared = {key.dataset for key in found.common}
    for name, keys in ((found.a.name, found.only_a), (found.b.name, found.only_b)):
        if keys:
            parts.append(f"Only in {name}: {'; '.join(_cell_names(keys, shared))}.")
    return " ".join(parts)


def _cell_names(keys: Iterable[Key], shared: set[str]) -> list[str]:
    """Cells in words: a loss with its temperatures; of a dataset that is not shared, the number."""
    taus: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for key in keys:
        dataset = labels.dataset(key.dataset)
        if key.dataset not in shared:
            counts[dataset] = counts.get(dataset, 0) + 1
            taus[dataset] = []
            continue
        grid = taus.setdefault(f"{dataset} {labels.loss(key.loss)}", [])
        grid += [] if key.temperature is None else [printed(key.temperature)]
    return [
        f"{name} ({count_of(counts[name], 'cell')})"
        if name in counts
        else " at ".join(filter(None, [name, ", ".join(grid)]))
        for name, grid in taus.items()
    ]


def _verdicts(found: Comparison) -> list[str]:
    compared = found.compared
    changed = [pair for pair in compared if pair.changed]
    lines = [f"## Verdicts that change: {len(changed)} of {len(compared)}", ""]
    lines += ["Both sides are judged by the cells that both have.", ""]
    if changed:
        heads = ["claim", "dataset", found.a.name, found.b.name]
        rows = [
            [
                f"**{pair.claim}** {pair.text}",
                "overall" if pair.dataset is None else labels.dataset(pair.dataset),
                _shown(pair.a),
                _shown(pair.b),
            ]
            for pair in changed
        ]
        lines += [*table(heads, rows, [LEFT] * 4), ""]
    for side, name in (("b", found.a.name), ("a", found.b.name)):
        if alone := [pair for pair in found.verdicts if pair.lacking == side]:
            lines += [f"Measured only in {escape_pipes(name)}: {_claims(alone)}.", ""]
    return lines[:-1]


def _claims(pairs: Iterable[VerdictPair]) -> str:
    return ", ".join(dict.fromkeys(pair.claim for pair in pairs))


def _shown(verdict: Verdict) -> str:
    return f"{verdict.verdict}: {verdict.headline}" if verdict.headline else verdict.verdict


def _table(found: Comparison, measure: str, rows: pd.DataFrame) -> list[str]:
    named = labels.measure(measure)
    heads = ["dataset", "loss", "τ", found.a.name, found.b.name, "difference", ""]
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


def _side(row: dict[Any, Any], side: str, digits: int | None) -> str:
    half, n = row[f"half_width_{side}"], int(row[f"n_{side}"])
    half_width = float(half) if is_number(half) else None
    text = format_cell(Summary(row[f"mean_{side}"], None, n, half_width), digits)
    lacking = int(row[f"lacking_{side}"])
    return f"{text}, {lacking} not complete" if lacking else text


def _signed(row: dict[Any, Any], digits: int | None) -> str:
    if not is_number(row["difference"]):
        return "–"
    half = (row["high"] - row["low"]) / 2 if row["method"] else None
    gap = Summary(row["difference"], None, 2 if row["method"] else 1, half)
    mean, half_width = format_parts(gap, digits, signed=True)
    return f"{mean} ± {half_width} ({row['method'][0].lower()})" if half_width else mean


def _legend(found: Comparison) -> str:
    intervals = int((found.cells["method"] != "").sum())
    beyond = int(found.cells["excludes_zero"].sum())
    sentences = [
        "Cells: mean ± half-width of the 95% interval over seeds (n). "
        f"Differences: {escape_pipes(found.a.name)} minus {escape_pipes(found.b.name)}; "
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
    return " ".join(sentences)
