"""Measures against the size of the hard set, K of Eq. 9, at each temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from tausweep.report.figures import panels
from tausweep.report.figures.entries import FEWEST_SIZES
from tausweep.report.figures.panels import handle
from tausweep.report.figures.results import StudyResults
from tausweep.report.figures.style import INK, MUTED, TEMPERATURE_LINES, Style, temperature_colour
from tausweep.report.tables.cells import Measured
from tausweep.results import labels
from tausweep.results.cells import Key, printed

ALL = "contrastive"
"""The loss with all negatives: alpha = 1."""
ENOUGH = 5.0
"""Percent of the negatives that are enough for nearly the full accuracy, in Cai et al. 2020."""
Y_LABELS = {
    "linear_accuracy": "linear accuracy (%)",
    "knn_accuracy": "kNN (%)",
    "uniformity": "uniformity",
    "tolerance": "tolerance",
}


class Point(NamedTuple):
    """A cell at its share of the negatives, in percent."""

    percent: float
    cell: Measured


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """Draw one panel per measure for the first dataset that has several sizes."""
    dataset, temperatures = _chosen(results)
    if dataset is None:
        return panels.empty(style, title, "The records have no run of several sizes of hard set.")
    figure, every = panels.grid(style, len(Y_LABELS), 2, sharex=True)
    intervals = panels.Intervals()
    counts = []
    for axes, (column, label) in zip(every, Y_LABELS.items(), strict=True):
        axes.axvline(ENOUGH, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.0, zorder=1)
        for place, temperature in enumerate(temperatures):
            look = {
                "color": temperature_colour(temperature, temperatures),
                "linestyle": TEMPERATURE_LINES[place % len(TEMPERATURE_LINES)],
            }
            points = line(results, dataset, temperature, column)
            _draw_line(axes, points, look, style, intervals)
            counts += [point.cell.summary.n for point in points]
        axes.set_ylabel(label)
    _percent_axis(every[0])
    for axes in every[2:]:
        axes.set_xlabel(f"hardest negatives, % ({panels.count_text(counts)})")
    handles = [
        handle(
            color=temperature_colour(t, temperatures),
            linestyle=TEMPERATURE_LINES[i % len(TEMPERATURE_LINES)],
            label=f"{labels.dataset(dataset)}, τ = {printed(t)}",
        )
        for i, t in enumerate(temperatures)
    ]
    handles.append(handle(color=INK, marker="s", linestyle="none", label="all (contrastive)"))
    handles.append(
        handle(color=MUTED, linestyle=(0, (1, 2)), label="enough in Cai et al. 2020: 5%")
    )
    if intervals.mark_cut():
        handles.append(panels.cut_handle())
    panels.legend(figure, style, handles)
    return figure


def line(results: StudyResults, dataset: str, temperature: float, column: str) -> list[Point]:
    """The cells of a temperature by ascending size of the hard set; all negatives come last."""
    found = []
    for loss in (*results.hard_losses, ALL):
        key = Key(dataset, loss, temperature)
        if key not in results.cells.keys(dataset, loss):
            continue
        share = 1.0 if loss == ALL else results.cells.cell(key, "alpha").summary.mean
        found.append(Point(100 * share, results.cells.cell(key, column)))
    # A cell without a complete run has no size yet.
    return sorted((p for p in found if np.isfinite(p.percent)), key=lambda p: p.percent)


def _chosen(results: StudyResults) -> tuple[str | None, list[float]]:
    """The first dataset with enough sizes at some temperature, and those temperatures."""
    for dataset in results.datasets:
        losses = [loss for loss in results.hard_losses if results.has(dataset, loss)]
        grid = sorted({t for loss in losses for t in results.temperatures(dataset, loss)})
        enough = [
            t
            for t in grid
            if sum(p.percent < 100 for p in line(results, dataset, t, "alpha")) >= FEWEST_SIZES
        ]
        if enough:
            return dataset, enough
    return None, []


def _draw_line(
    axes: Axes,
    points: Sequence[Point],
    look: dict[str, Any],
    style: Style,
    intervals: panels.Intervals,
) -> None:
    points = [point for point in points if point.cell.summary.n]
    x = np.array([point.percent for point in points])
    mean = np.array([point.cell.summary.mean for point in points])
    half = np.array([panels.half_width(point.cell.summary) for point in points])
    axes.plot(x, mean, **look, linewidth=style.line_width)
    for point in points:
        marker = "s" if point.percent == 100 else "o"
        axes.plot(
            point.percent, point.cell.summary.mean, marker, color=look["color"],
            markersize=style.marker_size,
        )  # fmt: skip
        if point.cell.summary.n > 1:
            axes.plot(
                [point.percent] * len(point.cell.values), point.cell.values, ".",
                color=look["color"], markersize=2.5, alpha=0.55, markeredgewidth=0,
            )  # fmt: skip
    with intervals.near_points(axes, look["color"], x, mean, np.zeros_like(x), half):
        axes.fill_between(
            x, mean - half, mean + half, color=look["color"], alpha=style.band_opacity, linewidth=0
        )


def _percent_axis(axes: Axes) -> None:
    """A logarithmic axis of percents, shared by all panels."""
    axes.set_xscale("log")
    axes.set_xlim(right=130)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=[1.0], numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
