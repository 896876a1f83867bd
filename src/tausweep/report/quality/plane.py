"""The uniformity-tolerance plane with the published points, and where an encoder lies on it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tausweep.measures.quality import Quality
from tausweep.results import labels, published

NEAREST = 3
FAR = 0.2
"""Distance beyond which no published point counts as near, in units of their range."""
CAVEAT = (
    "Published points are of test images of other datasets and 128 dimensions; a uniformity of "
    "another dimension is read through the effective dimension"
)


@dataclass(frozen=True)
class PublishedPoint:
    """A cell of the paper's Table 1.

    Attributes:
        dataset: Its name in the records.
        loss: Its name in the records.
        temperature: None for a loss without one.
        uniformity: As published, t = 2.
        tolerance: As published.
        linear_accuracy: In percent.
    """

    dataset: str
    loss: str
    temperature: float | None
    uniformity: float
    tolerance: float
    linear_accuracy: float

    def words(self) -> str:
        """The cell in print."""
        tau = "" if self.temperature is None else f" at τ = {self.temperature:g}"
        return f"{labels.dataset(self.dataset)} {labels.loss(self.loss)}{tau}"

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return dict(vars(self))


def points() -> list[PublishedPoint]:
    """All published cells that have both measures."""
    columns = ["dataset", "loss", "temperature", "uniformity", "tolerance", "linear_accuracy"]
    frame = published.records().dropna(subset=["uniformity", "tolerance"])
    return [
        PublishedPoint(dataset, loss, None if math.isnan(tau) else float(tau), u, v, accuracy)
        for dataset, loss, tau, u, v, accuracy in frame[columns].itertuples(index=False)
    ]


def nearest_points(quality: Quality) -> list[tuple[PublishedPoint, float]]:
    """The published points nearest to an encoder, and their distances.

    Each axis is in units of its range. Empty without labels, which tolerance needs.
    """
    if "tolerance" not in quality.estimates:
        return []
    place = (quality.estimates["uniformity"].value, quality.estimates["tolerance"].value)
    every = points()
    ranges = [
        max(axis) - min(axis)
        for axis in ([p.uniformity for p in every], [p.tolerance for p in every])
    ]

    def distance(point: PublishedPoint) -> float:
        return math.hypot(
            (point.uniformity - place[0]) / ranges[0], (point.tolerance - place[1]) / ranges[1]
        )

    chosen = sorted(every, key=distance)[:NEAREST]
    return [(point, distance(point)) for point in chosen]


def sentences(quality: Quality) -> list[str]:
    """Where an encoder is on the plane, in words; empty without tolerance."""
    found = nearest_points(quality)
    if not found:
        return []
    near = "; ".join(f"{p.words()} ({p.uniformity:g}, {p.tolerance:g})" for p, _ in found)
    far = found[0][1] > FAR
    begin = "no published point is near, the nearest are" if far else "the nearest are"
    return [f"On the paper's plane (uniformity, tolerance) {begin} {near}. {CAVEAT}."]


def picture(qualities: Sequence[Quality]) -> str | None:
    """The plane as an SVG: published points pale, what was measured as stars with intervals.

    Returns:
        None if no tolerance was measured.
    """
    placed = [quality for quality in qualities if "tolerance" in quality.estimates]
    if not placed:
        return None
    from matplotlib.figure import Figure

    from tausweep.report.figures.style import INK, MUTED, Style, loss_style

    style = Style.of(None)
    with style.applied():
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        axes = figure.subplots()
        every = points()
        for loss in dict.fromkeys(p.loss for p in every):
            look = loss_style(loss)
            of_loss = [p for p in every if p.loss == loss]
            for dataset in dict.fromkeys(p.dataset for p in of_loss):
                path = sorted(
                    (p for p in of_loss if p.dataset == dataset), key=lambda p: p.temperature or 0
                )
                axes.plot(
                    [p.uniformity for p in path], [p.tolerance for p in path], color=look.colour,
                    linewidth=0.7, alpha=0.5,
                )  # fmt: skip
                if len(path) > 1 and loss == "contrastive":
                    axes.annotate(
                        labels.dataset(dataset), (path[-1].uniformity, path[-1].tolerance),
                        xytext=(-4, 4), textcoords="offset points", ha="right",
                        color=look.colour, fontsize=style.font_size - 2,
                    )  # fmt: skip
            axes.plot(
                [p.uniformity for p in of_loss], [p.tolerance for p in of_loss], linestyle="none",
                marker=look.marker, markerfacecolor="white", color=look.colour, markersize=5,
                label=f"{look.label}, published",
            )  # fmt: skip
        for number, quality in enumerate(placed):
            x, y = quality.estimates["uniformity"], quality.estimates["tolerance"]
            colour = (INK, "#B2182B")[number % 2]
            errors = [
                None if e.low is None or e.high is None
                else [[e.value - e.low], [e.high - e.value]]
                for e in (x, y)
            ]  # fmt: skip
            axes.errorbar(
                [x.value], [y.value], xerr=errors[0], yerr=errors[1], marker="*", markersize=11,
                color=colour, linestyle="none", zorder=5, label=_short(quality.name),
            )  # fmt: skip
        axes.set_xlabel("uniformity (t = 2) →")
        axes.set_ylabel("tolerance →")
        axes.tick_params(colors=MUTED)
        axes.legend(loc="best")
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return "<svg" + content.getvalue().partition("<svg")[2]


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"…{name[-39:]}"
