"""Measures against epoch by temperature (``along.csv``), to see what still changes at the end."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from tausweep.report.figures import panels
from tausweep.report.figures.results import StudyResults, spread
from tausweep.report.figures.style import MUTED, Style
from tausweep.report.figures.training import (
    MOST_TEMPERATURES,
    handles,
    loss_look,
    temperature_look,
)

Y_LABELS = {
    "knn_accuracy": "kNN (%)",
    "uniformity": "uniformity",
    "tolerance": "tolerance",
    "tolerance_gap": "tolerance −\ninter-class",
}
LABELS_APART = 0.15
"""Least distance between labels of epochs as a share of all epochs: 50 and 100 of 200 fit."""


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """Four panels, one per measure, for each loss with temperatures; four for all others."""
    along, groups = results.along, [g for g in panels.by_temperature(results) if g]
    if along is None or along.empty or not groups:
        return panels.empty(
            style, title, "The records have no run that is measured along its training."
        )
    datasets = [d for d in results.datasets if d in set(along["dataset"])]
    temperatures = spread(results.grid(datasets), MOST_TEMPERATURES)
    wide = min(len(groups), panels.WIDEST)
    blocks = [(d, groups[i : i + wide]) for d in datasets for i in range(0, len(groups), wide)]
    height = 0.62 * len(Y_LABELS) * style.panel_height * len(blocks) + 0.7
    figure = Figure(figsize=(style.width, height), layout="constrained")
    axes = figure.subplots(len(Y_LABELS) * len(blocks), wide, squeeze=False, sharey="row")
    for block, (dataset, shown) in enumerate(blocks):
        rows = axes[len(Y_LABELS) * block : len(Y_LABELS) * (block + 1)]
        for column, losses in enumerate(shown):
            panels.heading(rows[0, column], results, dataset, losses, style, wide)
            lines = _lines(results, along, dataset, losses, temperatures)
            for panel, name in zip(rows[:, column], Y_LABELS, strict=True):
                _draw_panel(panel, lines, name, style)
            counts = [int(r.groupby("epoch").size().max()) for r, _ in lines if len(r)]
            words = [panels.count_text(counts), *_gaps(results, dataset, losses, temperatures)]
            panels.note(rows[0, column], words, style, right=True)
            rows[-1, column].set_xlabel("epoch")
        for panel, label in zip(rows[:, 0], Y_LABELS.values(), strict=True):
            panel.set_ylabel(label)
        for panel in rows[:-1].flat:
            panel.tick_params(labelbottom=False)
        for unused in rows[:, len(shown) :].flat:
            unused.set_axis_off()
    figure.align_ylabels(axes[:, 0])
    panels.legend(figure, style, handles(results, temperatures, stopped=False))
    return figure


def _lines(
    results: StudyResults,
    along: pd.DataFrame,
    dataset: str,
    losses: list[str],
    temperatures: list[float],
) -> list[tuple[pd.DataFrame, dict[str, Any]]]:
    """The rows and style of every line in a panel, one line per cell."""
    lines = []
    for loss in losses:
        rows = along[(along["dataset"] == dataset) & (along["loss"] == loss)]
        measured = results.temperatures(dataset, loss)
        if not measured:
            lines.append((rows, loss_look(results, loss)))
        for temperature in (t for t in temperatures if t in measured):
            look = temperature_look(temperature, temperatures)
            lines.append((rows[rows["temperature"] == temperature], look))
    return lines


def _gaps(
    results: StudyResults, dataset: str, losses: list[str], temperatures: list[float]
) -> list[str]:
    """Notes on cells without a complete run."""
    words = []
    for loss in losses:
        words += results.gaps(dataset, loss, temperatures)
        if results.has(dataset, loss) and not results.temperatures(dataset, loss):
            gap = results.gap(dataset, loss, None)
            words.append(f"{gap}: {results.look(loss).label}" if gap else "")
    return words


def _draw_panel(
    axes: Axes, lines: list[tuple[pd.DataFrame, dict[str, Any]]], column: str, style: Style
) -> None:
    """Draw means over seeds as lines and single seeds as points."""
    epochs: set[int] = set()
    for rows, look in lines:
        known = rows.dropna(subset=[column])
        mean = known.groupby("epoch")[column].mean()
        epochs |= set(mean.index)
        axes.plot(mean.index, mean, **look, marker="o", markersize=0.55 * style.marker_size)
        axes.plot(
            known["epoch"], known[column], "o", color=look["color"], alpha=0.35,
            markersize=0.55 * style.marker_size, markeredgewidth=0,
        )  # fmt: skip
    if not epochs:
        panels.unscaled(axes)
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
        return
    labelled = _labelled(sorted(epochs))
    axes.set_xlim(0, 1.06 * max(epochs))
    axes.set_xticks(labelled, [str(epoch) for epoch in labelled])
    axes.xaxis.set_minor_locator(FixedLocator(sorted(epochs - set(labelled))))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _labelled(epochs: list[int]) -> list[int]:
    """Epochs whose labels do not overlap, including the last."""
    chosen: list[int] = []
    for epoch in reversed(epochs):
        if all(other - epoch >= LABELS_APART * epochs[-1] for other in chosen):
            chosen.append(epoch)
    return sorted(chosen)
