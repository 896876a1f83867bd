"""What `tausweep choose` found: as lines of text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tausweep.commands.choosing.plan import Stage
from tausweep.commands.choosing.study_text import Recipe
from tausweep.results import hints
from tausweep.results.choice import NAMES, Choice

TITLE = "Which temperature for these images?"
GEOMETRY = ("knn_accuracy", "uniformity", "alignment", "rankme")
HEADINGS = {"knn_accuracy": "kNN", "uniformity": "uniformity", "alignment": "alignment",
            "rankme": "RankMe"}  # fmt: skip
LABELS_SETTLE = (
    "labels settle it, of a few hundred images at least: a CSV with the columns path and label"
)


@dataclass(frozen=True)
class Answer:
    """All that is said at the end.

    Attributes:
        images: Where the images are.
        counts: Training and test images, and classes.
        notes: About the images, in sentences.
        recipe: How runs were trained.
        stages: All stages, in order.
        decided: The stage whose runs decide; none if too few ended.
        seeds: Seeds that decided.
        choice: What the runs say; none without labels, or if too few ended.
        hint: The temperature that is hinted at without labels.
        means: By temperature of the deciding stage, ``GEOMETRY`` over seeds.
        dropped: Temperatures that an earlier stage left out: its epochs, and whether they were
            clearly worse in it.
        failures: Runs that failed, with the reason.
        minutes: Of work, in all.
        study: The study file.
        half: Accuracies half-way by temperature, and at the end, by the short probe.
    """

    images: str
    counts: Mapping[str, int]
    notes: Sequence[str]
    recipe: Recipe
    stages: Sequence[Stage]
    decided: Stage | None
    seeds: int
    choice: Choice | None
    hint: float | None
    means: Mapping[float, Mapping[str, float]]
    dropped: Mapping[float, tuple[int, bool]]
    failures: Mapping[str, str]
    minutes: float
    study: str
    half: Mapping[float, tuple[float, float]] = field(default_factory=dict)

    @property
    def temperature(self) -> float | None:
        """The answer, or none."""
        return self.choice.temperature if self.choice else None

    @property
    def code(self) -> int:
        """Exit code: 0 for an answer, 3 for none."""
        return 0 if self.temperature is not None else 3

    def headline(self) -> str:
        """The answer in one line."""
        if self.choice is not None and self.temperature is not None:
            return f"use tau = {self.temperature:g} ({self.range_words()})"
        if self.hint is not None:
            return f"no answer without labels; a hint only: tau = {self.hint:g}"
        if self.choice is not None:
            return f"no answer: {'; '.join(self.choice.open)}"
        return "no answer: too few runs ended in time"

    def range_words(self) -> str:
        """Which temperatures are within noise."""
        assert self.choice is not None
        low, high = self.choice.within[0], self.choice.within[-1]
        if low == high:
            return "all others that were tried are clearly worse"
        return f"{low:g} to {high:g} are within noise"

    def remarks(self) -> list[str]:
        """What to know beside the answer, in sentences."""
        found = []
        if self.choice is not None and self.decided is not None:
            tried = sorted({tau for stage in self.stages for tau in stage.temperatures})
            for end, outermost in ((0, tried[0]), (-1, tried[-1])):
                if self.choice.within[end] == outermost:
                    side = "below" if end == 0 else "above"
                    found.append(
                        f"nothing {side} {outermost:g} was tried, so more may be within noise"
                    )
            if self.choice.image_share > 0.5:
                found.append(
                    f"most of the noise is that of {self.counts['test']:,} test images; more of "
                    "them would tell temperatures apart that are within noise here"
                )
        if self.hint is not None:
            found.append(hints.reliability())
        if self.decided is not None:
            found.append(
                f"this holds for {self.recipe.trunk} of width {self.recipe.width} at "
                f"{self.recipe.image_size} pixels, trained for {self.decided.epochs} epochs, "
                f"{self.seeds} seeds"
            )
        for tau, (epochs, worse) in self.dropped.items():
            why = "clearly worse" if worse else "worse, but within noise,"
            found.append(f"tau = {tau:g} was {why} after {epochs} epochs and left out then")
        found += [f"{run} failed: {why}" for run, why in self.failures.items()]
        return found

    def settle(self) -> list[str]:
        """What would settle it, where there is no answer."""
        if self.temperature is not None:
            return []
        if self.hint is not None:
            return [LABELS_SETTLE]
        if self.choice is not None:
            return list(dict.fromkeys(self.choice.settle))
        return ["more time: --continue with more --minutes"]

    def table(self) -> list[list[str]]:
        """Rows of text, the first with the headings."""
        accuracy = ["accuracy", "95% interval", "behind best"] if self.choice else []
        shown = [m for m in GEOMETRY if self.choice or m != "knn_accuracy"]
        rows = [["tau", *accuracy, *(HEADINGS[m] for m in shown), ""]]
        standings = {s.temperature: s for s in self.choice.standings} if self.choice else {}
        for tau, means in self.means.items():
            row, remark = [f"{tau:g}"], ""
            if self.choice is not None:
                s = standings[tau]
                gap = (
                    "best"
                    if s.behind == 0
                    else f"{s.behind:.1f} [{s.behind_low:.1f}, {s.behind_high:.1f}]"
                )
                row += [f"{s.accuracy:.1f}%", f"{s.low:.1f} to {s.high:.1f}", gap]
                inside = tau in self.choice.within
                remark = "clearly worse" if s.clearly_worse else "within noise" if inside else ""
            row += [_number(means[m], "%" if m == "knn_accuracy" else "") for m in shown]
            rows.append([*row, remark])
        for gain in self.choice.gains if self.choice else ():
            rows.append(
                [
                    NAMES[gain.baseline], f"{gain.accuracy:.1f}%", "",
                    f"{gain.points:.1f} [{gain.low:.1f}, {gain.high:.1f}]", *[""] * len(shown),
                    "" if gain.clear else "not clearly beaten",
                ]
            )  # fmt: skip
        return rows

    def lines(self) -> list[str]:
        """What is printed."""
        rows = self.table()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines = [*(table if self.means else []), "", self.headline(), ""]
        lines += [f"  {remark}" for remark in self.remarks()]
        lines += [f"  to settle it: {what}" for what in self.settle()]
        return lines

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        choice = self.choice
        return {
            "question": TITLE,
            "images": self.images,
            "counts": dict(self.counts),
            "answer": self.temperature,
            "within_noise": list(choice.within) if choice else [],
            "hint": self.hint,
            "hint_reliability": hints.reliability() if self.hint is not None else None,
            "open": list(choice.open) if choice else [],
            "settle": self.settle(),
            "headline": self.headline(),
            "remarks": self.remarks(),
            "notes": list(self.notes),
            "temperatures": [
                {"temperature": tau, **_known(means), **_standing(choice, tau)}
                for tau, means in self.means.items()
            ],
            "baselines": [vars(gain) for gain in choice.gains] if choice else [],
            "dropped": [
                {"temperature": t, "epochs": e, "clearly_worse": w}
                for t, (e, w) in self.dropped.items()
            ],
            "along": [{"temperature": t, "half": h, "end": e} for t, (h, e) in self.half.items()],
            "recipe": {**vars(self.recipe), "folder": str(self.recipe.folder)},
            "stages": [vars(stage) for stage in self.stages],
            "seeds": self.seeds,
            "failures": dict(self.failures),
            "minutes": round(self.minutes, 2),
            "study": self.study,
        }


def _known(means: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in means.items()}


def _standing(choice: Choice | None, tau: float) -> dict[str, Any]:
    return next((vars(s) for s in choice.standings if s.temperature == tau), {}) if choice else {}


def _number(value: float, unit: str) -> str:
    return "" if math.isnan(value) else f"{value:.1f}%" if unit else f"{value:.3g}"
