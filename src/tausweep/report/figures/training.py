"""Training curves: mean loss and positive similarity by epoch (``history.csv``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tausweep.report.figures import panels
from tausweep.report.figures.panels import handle
from tausweep.report.figures.results import StudyResults, spread
from tausweep.report.figures.style import INK, MUTED, TEMPERATURE_LINES, Style, temperature_colour
from tausweep.results.cells import printed
from tausweep.storage.layout import File

Y_LABELS = {"loss": "training loss", "positive_similarity": "positive similarity"}
MOST_TEMPERATURES = 4


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """Two panels (loss, positive similarity) per loss with temperatures; two for all others."""
    groups, datasets = [g for g in panels.by_temperature(results) if g], results.datasets
    if not groups or not datasets:
        return panels.empty(style, title, "The records have no run.")
    temperatures = spread(results.grid(datasets), MOST_TEMPERATURES)
    wide = min(len(groups), panels.WIDEST)
    blocks = [(d, groups[i : i + wide]) for d in datasets for i in range(0, len(groups), wide)]
    height = 1.35 * style.panel_height * len(blocks) + 0.7
    figure = Figure(figsize=(style.width, height), layout="constrained")
    axes = figure.subplots(2 * len(blocks), wide, squeeze=False, sharey="none")
    stopped = False
    for block, (dataset, shown) in enumerate(blocks):
        pair = axes[2 * block : 2 * block + 2]
        for column, losses in enumerate(shown):
            panels.heading(pair[0, column], results, dataset, losses, style, wide)
            for panel, name in zip(pair[:, column], Y_LABELS, strict=True):
                panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
                stopped |= _draw_panel(panel, results, dataset, losses, temperatures, name, style)
            pair[1, column].set_xlabel("epoch")
        for panel, label in zip(pair[:, 0], Y_LABELS.values(), strict=True):
            panel.set_ylabel(label)
        for unused in pair[:, len(shown) :].flat:
            unused.set_axis_off()
        for other in pair[1, 1 : len(shown)]:
            other.sharey(pair[1, 0])
    panels.legend(figure, style, handles(results, temperatures, stopped))
    return figure


def handles(results: StudyResults, temperatures: list[float], stopped: bool) -> list[Line2D]:
    """Legend entries: temperatures, losses without one, and diverged runs."""
    handles = [
        handle(**temperature_look(t, temperatures), label=f"τ = {printed(t)}") for t in temperatures
    ]
    for loss in results.losses:
        if not any(results.temperatures(dataset, loss) for dataset in results.datasets):
            handles.append(handle(**loss_look(results, loss), label=results.look(loss).label))
    if stopped:
        handles.append(handle(color=INK, marker="x", linestyle="none", label="diverged here"))
    return handles


def temperature_look(temperature: float, temperatures: list[float]) -> dict[str, Any]:
    """Colour and line of a temperature among the shown ones."""
    place = temperatures.index(temperature) % len(TEMPERATURE_LINES)
    colour = temperature_colour(temperature, temperatures)
    return {"color": colour, "linestyle": TEMPERATURE_LINES[place]}


def loss_look(results: StudyResults, loss: str) -> dict[str, Any]:
    """Colour and line of a loss without a temperature."""
    return {"color": results.look(loss).colour, "linestyle": results.look(loss).line}


def _draw_panel(
    axes: Axes,
    results: StudyResults,
    dataset: str,
    losses: list[str],
    temperatures: list[float],
    column: str,
    style: Style,
) -> bool:
    stopped = False
    counts: list[int] = []
    words: list[str] = []
    for loss in losses:
        measured = results.temperatures(dataset, loss)
        looks: list[tuple[float | None, dict[str, Any]]] = [
            (t, temperature_look(t, temperatures)) for t in temperatures if t in measured
        ]
        for temperature, look in looks if measured else [(None, loss_look(results, loss))]:
            paths = results.files(dataset, loss, temperature, File.HISTORY)
            if paths:
                curves = [pd.read_csv(path) for path in paths]
                if not counts:
                    _mark_falls(axes, curves[0])
                counts.append(len(curves))
                mean = pd.concat(curves).groupby("epoch")[column].mean()
                axes.plot(mean.index, mean, **look)
            for path in results.files(dataset, loss, temperature, File.HISTORY, "diverged"):
                stopped |= _draw_diverged(axes, pd.read_csv(path), column, look)
        words.extend(results.gaps(dataset, loss, temperatures))
        gap = "" if measured or not results.has(dataset, loss) else results.gap(dataset, loss, None)
        words.append(f"{gap}: {results.look(loss).label}" if gap else "")
    if not counts and not stopped:
        axes.text(0.5, 0.5, "no history yet", transform=axes.transAxes, ha="center", color=MUTED)
        panels.unscaled(axes)
    if column == "positive_similarity":
        panels.note(axes, [panels.count_text(counts), *words], style, right=True)
    return stopped


def _draw_diverged(axes: Axes, curve: pd.DataFrame, column: str, look: dict[str, Any]) -> bool:
    """Draw a diverged run up to its last finite value; return whether it has any."""
    finite = curve[np.isfinite(curve[column])]
    if finite.empty:
        return False
    axes.plot(finite["epoch"], finite[column], **look, alpha=0.6, linewidth=0.9)
    axes.plot(finite["epoch"].iloc[-1], finite[column].iloc[-1], "x", color=look["color"])
    return True


def _mark_falls(axes: Axes, history: pd.DataFrame) -> None:
    """A dotted line where the learning rate falls."""
    falls = history["lr"].diff() < 0
    for epoch in history.loc[falls, "epoch"]:
        axes.axvline(epoch - 0.5, color="#b0b0b0", linestyle=":", linewidth=0.8, zorder=0)
