"""What was measured on one encoder or two, as text, as a page, as JSON and as a row of a table."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tausweep.measures.estimate import Estimate, finite
from tausweep.measures.quality import QUALITIES, Quality
from tausweep.report.quality import plane
from tausweep.results import labels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Measurement"]

MOST_DECIMALS = 4
PERCENT_DECIMALS = 2


@dataclass(frozen=True)
class Measurement:
    """What ``tausweep measure`` found. It prints as text, and as a table in a notebook.

    Attributes:
        inputs: One, or two that were compared.
        differences: First minus second, paired by instance; empty for one.
    """

    inputs: tuple[Quality, ...]
    differences: dict[str, Estimate]

    def row(self) -> pd.DataFrame:
        """One row with what was measured on the first input.

        Columns are ``name``, ``n``, ``dim``, ``classes``, each measure, its interval as
        ``<measure>_low`` and ``<measure>_high``, and ``flags``, joined by commas. A measure that
        could not be taken is NaN.
        """
        import pandas as pd

        quality = self.inputs[0]
        cells: dict[str, Any] = {
            "name": quality.name,
            "n": quality.n,
            "dim": quality.dim,
            "classes": quality.classes,
        }
        for name in QUALITIES:
            found = quality.estimates.get(name)
            cells[name] = math.nan if found is None else found.value
            for end in ("low", "high"):
                value = None if found is None else getattr(found, end)
                cells[f"{name}_{end}"] = math.nan if value is None else value
        cells["flags"] = ",".join(dict.fromkeys(flag.name for flag in quality.flags))
        return pd.DataFrame([cells])

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready; docs/measure.md describes it."""
        return {
            "inputs": [
                quality.to_json()
                | {
                    "plane": [
                        p.to_json() | {"distance": far} for p, far in plane.nearest_points(quality)
                    ]
                }
                for quality in self.inputs
            ],
            "differences": {
                name: gap.to_json() | {"excludes_zero": excludes_zero(gap)}
                for name, gap in self.differences.items()
            },
        }

    def __str__(self) -> str:
        blocks = ["\n".join(_input(quality)) for quality in self.inputs]
        if self.differences:
            blocks.append("\n".join(_differences(self)))
        return "\n\n".join(blocks)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def interval_text(name: str, found: Estimate, signed: bool = False) -> tuple[str, str]:
    """A measure's value and interval in print; the interval's width decides on the decimals."""
    half = found.half_width
    if half is None or not math.isfinite(half) or half == 0:
        value = _number(found.value, None, signed)
        if found.low is None or found.high is None:
            return value, "–"
        return value, f"{_number(found.low, None, signed)} to {_number(found.high, None, signed)}"
    most = PERCENT_DECIMALS if name.endswith("accuracy") else MOST_DECIMALS
    digits = min(most, max(0, 1 - math.floor(math.log10(half))))
    low, high = (_number(end or 0.0, digits, signed) for end in (found.low, found.high))
    return _number(found.value, digits, signed), f"{low} to {high}"


def excludes_zero(gap: Estimate) -> bool:
    """Whether a difference has an interval, and 0 lies outside of it."""
    return gap.low is not None and gap.high is not None and not gap.low <= 0 <= gap.high


def heading(quality: Quality) -> str:
    """What was measured, in one line."""
    classes = "no labels"
    if quality.classes is not None:
        classes = f"{quality.classes:,} class{'es' if quality.classes != 1 else ''}"
    return f"{quality.name}: {quality.n:,} embeddings of {quality.dim:,} numbers, {classes}"


def rows(quality: Quality) -> list[tuple[str, str, str, str]]:
    """One row per measure in print: measure, value, interval and number of instances."""
    lines = []
    for name in QUALITIES:
        label = label_of(name)
        if name in quality.estimates:
            found = quality.estimates[name]
            lines.append((label, *interval_text(name, found), f"{found.n:,}"))
        else:
            lines.append((label, "–", quality.missing[name], ""))
    return lines


def difference_rows(measurement: Measurement) -> list[tuple[str, str, str, str, str, str]]:
    """One row per measure in print: values, difference, interval, a mark if it excludes 0."""
    first, second = measurement.inputs
    lines = []
    for name, gap in measurement.differences.items():
        values = (interval_text(name, q.estimates[name])[0] for q in (first, second))
        mark = "*" if excludes_zero(gap) else ""
        a, b = values
        lines.append((label_of(name), a, b, *interval_text(name, gap, signed=True), mark))
    return lines


def label_of(name: str) -> str:
    """The name of a measure in print."""
    own = {"linear_accuracy": "linear accuracy (%)", "knn_accuracy": "kNN accuracy (%)"}
    return own.get(name) or labels.measure(name).label


def notes(quality: Quality) -> list[str]:
    """How it was measured, in sentences."""
    found = []
    if quality.what:
        found.append(f"Measured: {quality.what}.")
    if quality.split:
        found.append(f"Classifiers: {quality.split}.")
    if quality.views and "alignment" in quality.estimates:
        found.append(f"Alignment: {quality.views}.")
    above = quality.estimates["uniformity"].value > 2 * quality.t
    found.append(
        f"Uniformity with t = {quality.t:g}: 0 is one point, {2 * quality.t:g} the limit of points "
        "spread evenly over a sphere of high dimension"
        + ("; a few points can be farther apart." if above else ".")
    )
    return [*found, *plane.sentences(quality)]


def _input(quality: Quality) -> list[str]:
    table = [("measure", "value", "95% interval", "n"), *rows(quality)]
    # The reason why a measure is missing may be long, so it is in the last columns.
    widths = [max(len(r[0]) for r in table), max(len(r[1]) for r in table)]
    width = max(len(r[2]) for r in table if r[1] != "–" or r[3])
    lines = [heading(quality), ""]
    for name, value, interval, n in table:
        start = f"{name:{widths[0]}}  {value:>{widths[1]}}  "
        lines.append(f"{start}{interval:{width}}  {n:>9}" if n else f"{start}{interval}")
    lines += ["", *notes(quality), ""]
    if not quality.flags:
        return [*lines, "Flags: none."]
    return [*lines, "Flags:", *(f"  ! {flag.sentence}" for flag in quality.flags)]


def _differences(measurement: Measurement) -> list[str]:
    first, second = (quality.name for quality in measurement.inputs)
    heads = ("measure", "A", "B", "A - B", "95% interval", "")
    table: Sequence[tuple[str, ...]] = [heads, *difference_rows(measurement)]
    widths = [max(len(line[i]) for line in table) for i in range(len(heads))]
    lines = [f"A: {first}", f"B: {second}", ""]
    for line in table:
        cells = [
            f"{text:{w}}" if i in (0, 4) else f"{text:>{w}}"
            for i, (text, w) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return [*lines, "", "* The interval, paired by instance, excludes 0."]


def _number(value: float, digits: int | None, signed: bool) -> str:
    if math.isinf(value):
        return str(finite(value)).replace("inf", "∞")
    plus = "+" if signed else ""
    if digits is not None:
        # Not -0.00, which would look like something other than 0.
        value = round(value, digits) + 0.0
    return f"{value:{plus}.4g}" if digits is None else f"{value:{plus},.{digits}f}"
