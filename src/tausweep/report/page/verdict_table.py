"""The headline and the table of verdicts: what was reproduced, what was not, and how certainly.

Findings and identities are counted separately. Contradictions by a miniature say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy import stats

from tausweep.claims.comparisons import OUTCOMES
from tausweep.claims.verdicts import (
    MEANING,
    Verdict,
    headline,
    multiplicity,
    shown,
    without_one_seed,
)
from tausweep.report.page.runs import Runs
from tausweep.results import labels
from tausweep.results.intervals import CONFIDENCE

KINDS = OUTCOMES
SPLIT = "measured, but the seeds cannot tell or the datasets disagree"
"""The meaning of undecided with several datasets."""


@dataclass(frozen=True)
class Mark:
    """One verdict in the table.

    Attributes:
        place: Dataset in print, or ``overall``.
        kind: One of ``KINDS``.
        headline: The deciding numbers, in a few characters.
        reason: The reason in one sentence.
        why: Why the claim is not tested or not measured; empty if it is judged.
        numbers: All deciding numbers as pairs of name and value.
    """

    place: str
    kind: str
    headline: str
    reason: str
    why: str
    numbers: list[tuple[str, str]]


@dataclass(frozen=True)
class ClaimRow:
    """One claim with its verdicts.

    Attributes:
        id: C1, C2, ...
        text: What is claimed.
        rule: How it is judged, in words.
        marks: Verdicts by dataset.
        overall: The verdict over all datasets.
        published: The published numbers' verdicts under the same rule; empty if there are none.
        identity: Whether it holds by algebra and so checks the implementation.
        hangs: What the overall verdict is without a seed on which it hangs; empty if on none.
    """

    id: str
    text: str
    rule: str
    marks: list[Mark]
    overall: Mark
    published: str
    identity: bool = False
    hangs: str = ""


@dataclass(frozen=True)
class VerdictTable:
    """All claims, in the order of the paper's list.

    Attributes:
        datasets: Names in print, in the order of every row's marks.
        rows: One per claim.
        counts: Number of findings by overall verdict, including zeros.
        headline: One sentence that can be quoted.
        multiplicity: How many comparisons there are, and what chance can do.
        miniature: Whether the study is smaller than the paper's.
    """

    datasets: list[str]
    rows: list[ClaimRow]
    counts: dict[str, int]
    headline: str
    multiplicity: str
    miniature: bool

    def word(self, kind: str) -> str:
        """A kind in print."""
        return shown(kind, self.miniature)

    @property
    def by_dataset(self) -> str:
        """Counts of verdicts by dataset, in one sentence; empty for a single dataset."""
        if len(self.datasets) < 2:
            return ""
        marks = [mark.kind for row in self.rows if not row.identity for mark in row.marks]
        parts = [f"{marks.count(kind)} {self.word(kind)}" for kind in KINDS if kind in marks]
        return f"By dataset, of {len(marks)} verdicts: {', '.join(parts)}."

    @property
    def meaning(self) -> dict[str, str]:
        """What each kind means."""
        found: dict[str, str] = {str(kind): text for kind, text in MEANING.items()}
        return found | ({"undecided": SPLIT} if len(self.datasets) > 1 else {})

    def of_kind(self, kind: str) -> list[str]:
        """Ids of the findings with this overall verdict."""
        return [row.id for row in self.rows if row.overall.kind == kind and not row.identity]

    @property
    def identities(self) -> list[ClaimRow]:
        """Claims that hold by algebra and so check the implementation."""
        return [row for row in self.rows if row.identity]


def arrange(
    verdicts: list[Verdict], published: list[Verdict], seeds: int, miniature: bool
) -> VerdictTable:
    """Arrange the engine's verdicts by claim.

    Args:
        verdicts: Verdicts on the study's records.
        published: Verdicts on the published numbers.
        seeds: Runs per cell.
        miniature: Whether the study is smaller than the paper's.
    """
    found = {v.dataset for v in verdicts if v.dataset is not None}
    datasets = labels.datasets_in_order(sorted(found))
    by_claim: dict[str, dict[str | None, Verdict]] = {}
    for verdict in verdicts:
        by_claim.setdefault(verdict.claim, {})[verdict.dataset] = verdict
    rows = [
        _row(claim, each, datasets, [v for v in published if v.claim == claim], miniature)
        for claim, each in by_claim.items()
    ]
    counts: dict[str, int] = {
        kind: sum(row.overall.kind == kind and not row.identity for row in rows) for kind in KINDS
    }
    printed_names = [labels.dataset(name) for name in datasets]
    return VerdictTable(
        printed_names,
        rows,
        counts,
        headline(verdicts, ", ".join(printed_names), seeds, miniature),
        multiplicity(verdicts),
        miniature,
    )


def _row(
    claim: str,
    each: Mapping[str | None, Verdict],
    datasets: list[str],
    published: list[Verdict],
    miniature: bool,
) -> ClaimRow:
    overall = each[None]
    rule = next((v.rule for v in each.values() if v.dataset is not None), overall.rule)
    return ClaimRow(
        id=claim,
        text=with_symbols(overall.text),
        rule=with_symbols(rule),
        marks=[_mark(each[name], labels.dataset(name)) for name in datasets if name in each],
        overall=_mark(overall, "overall"),
        published=_published(published),
        identity=overall.kind == "identity",
        hangs=without_one_seed(overall, miniature) if overall.steady is False else "",
    )


def _published(verdicts: list[Verdict]) -> str:
    by_kind: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.dataset is not None and not verdict.verdict.startswith("not "):
            by_kind.setdefault(verdict.verdict, []).append(verdict.dataset)
    parts = [
        f"{kind} on {', '.join(map(labels.dataset, labels.datasets_in_order(by_kind[kind])))}"
        for kind in KINDS
        if kind in by_kind
    ]
    return "; ".join(parts)


def with_symbols(text: str) -> str:
    """A sentence with the symbols of print (τ, →, ∞, −)."""
    text = re.sub(r"\btau -> inf\b", "τ → ∞", text).replace("tau -> 0+", "τ → 0⁺")
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    return re.sub(r"\btau\b", "τ", text)


def _mark(verdict: Verdict, place: str) -> Mark:
    numbers = list(_flat(verdict.numbers)) if verdict.dataset is not None else []
    return Mark(
        place,
        verdict.verdict,
        with_symbols(verdict.headline),
        with_symbols(verdict.reason),
        with_symbols(verdict.why),
        numbers,
    )


def _flat(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Nested numbers as lines of name and value."""
    if isinstance(value, Mapping):
        if value and not any(isinstance(v, Mapping | list) for v in value.values()) and path:
            line = ", ".join(f"{_word(k)}: {_number(v)}" for k, v in value.items())
            return [(", ".join(path), line)]
        return [line for k, v in value.items() for line in _flat(v, (*path, _word(k)))]
    shown = ", ".join(map(_number, value)) if isinstance(value, list) else _number(value)
    return [(", ".join(path), shown or "none")]


def _word(key: Any) -> str:
    return str(key).replace("_", " ")


def _number(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:.4g}".replace("-", "−")


def certainty(runs: Runs) -> list[str]:
    """How certain the verdicts are, in sentences about seeds, intervals and gaps."""
    seeds: dict[tuple[str, str, float | None], int] = {}
    for row in runs.rows:
        cell = (row.run.dataset, row.run.loss, row.run.temperature)
        seeds[cell] = seeds.get(cell, 0) + (row.status == "complete")
    counts = sorted({count for count in seeds.values() if count})
    complete = len(runs.having("complete"))
    sentences = [f"{complete} of {len(runs.rows)} runs are complete."]
    if not counts:
        return [*sentences, "Nothing can be judged yet."]
    if counts[-1] == 1:
        sentences.append(
            "Every cell is a single run, so no comparison is decided: the run-to-run noise of a "
            "single seed is not known."
        )
        return sentences
    span = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else f"{counts[0]}"
    factor = stats.t.ppf((1 + CONFIDENCE) / 2, counts[-1] - 1) / counts[-1] ** 0.5
    sentences.append(
        f"Each cell has {span} seeds. Tables show plain 95% t-intervals, which with "
        f"{counts[-1]} seeds extend {factor:.1f} standard deviations to either side"
        + (
            "; verdicts use moderated ones (see Clearly below)." if factor > 4 else "."
        )
    )  # fmt: skip
    return sentences
