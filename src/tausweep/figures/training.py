"""Training curves: mean loss and positive similarity by epoch (``history.csv``)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tausweep import names
from tausweep.figures import panels
from tausweep.figures.panels import handle
from tausweep.figures.results import StudyResults, spread
from tausweep.figures.style import INK, MUTED, Style, temperature_colour

FILE = "history.csv"
LINES = {"contrastive": "-", "hard_contrastive": (0, (3, 1.2))}
COLUMNS = {"loss": "training loss", "positive_similarity": "positive similarity"}
SHOWN = 4


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """One row a dataset; left the loss, right the positive similarity, lines by temperature."""
    losses = [x for x in LINES if any(results.has(d, x) for d in results.datasets)]
    datasets = [d for d in results.datasets if any(results.has(d, x) for x in losses)]
    if not datasets:
        return panels.empty(style, title, "The records have no run of a contrastive loss.")
    temperatures = spread(
        sorted({t for d in datasets for x in losses for t in results.temperatures(d, x)}), SHOWN
    )
    height = 0.9 * style.panel_height * len(datasets) + 0.7
    figure = Figure(figsize=(style.width, height), layout="constrained")
    axes = figure.subplots(len(datasets), len(COLUMNS), squeeze=False)
    stopped = False
    for row, dataset in enumerate(datasets):
        for panel, (column, label) in zip(axes[row], COLUMNS.items(), strict=True):
            panels.title(panel, names.dataset(dataset), style)
            panel.set_ylabel(label)
            stopped |= _draw_panel(panel, results, dataset, temperatures, column)
    for panel in axes[-1]:
        panel.set_xlabel("epoch")
    for panel in axes.flat:
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    panels.legend(figure, style, _handles(results, losses, temperatures, stopped))
    return figure


def _handles(
    results: StudyResults, losses: list[str], temperatures: list[float], stopped: bool
) -> list[Line2D]:
    handles = [
        handle(color=temperature_colour(t, temperatures), linewidth=2.5, label=f"τ = {t:g}")
        for t in temperatures
    ]
    handles += [
        handle(color=INK, linestyle=LINES[loss], label=results.look(loss).label) for loss in losses
    ]
    if stopped:
        handles.append(handle(color=INK, marker="x", linestyle="none", label="diverged here"))
    return handles


def _histories(
    results: StudyResults, dataset: str, loss: str, temperature: float, status: str
) -> Iterator[pd.DataFrame]:
    for path in results.files(dataset, loss, temperature, FILE, status):
        yield pd.read_csv(path)


def _draw_panel(
    axes: Axes, results: StudyResults, dataset: str, temperatures: list[float], column: str
) -> bool:
    drawn = stopped = marked = False
    for loss, line in LINES.items():
        for temperature in temperatures:
            look = {"color": temperature_colour(temperature, temperatures), "linestyle": line}
            curves = list(_histories(results, dataset, loss, temperature, "complete"))
            if curves:
                if not marked:
                    _mark_falls(axes, curves[0])
                drawn = marked = True
                mean = pd.concat(curves).groupby("epoch")[column].mean()
                axes.plot(mean.index, mean, **look)
            for curve in _histories(results, dataset, loss, temperature, "diverged"):
                finite = curve[np.isfinite(curve[column])]
                if len(finite):
                    drawn = stopped = True
                    axes.plot(finite["epoch"], finite[column], **look, alpha=0.6, linewidth=0.9)
                    axes.plot(
                        finite["epoch"].iloc[-1], finite[column].iloc[-1], "x",
                        color=look["color"],
                    )  # fmt: skip
    if not drawn:
        axes.text(0.5, 0.5, "no history yet", transform=axes.transAxes, ha="center", color=MUTED)
        panels.unscaled(axes)
    return stopped


def _mark_falls(axes: Axes, history: pd.DataFrame) -> None:
    """A dotted line where the learning rate falls."""
    falls = history["lr"].diff() < 0
    for epoch in history.loc[falls, "epoch"]:
        axes.axvline(epoch - 0.5, color="#b0b0b0", linestyle=":", linewidth=0.8, zorder=0)
