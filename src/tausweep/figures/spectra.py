"""Singular value spectra of the test embeddings: how many directions a temperature uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tausweep import names
from tausweep.figures import panels
from tausweep.figures.panels import handle
from tausweep.figures.results import StudyResults, spread
from tausweep.figures.style import (
    MUTED,
    TEMPERATURE_LINES,
    Style,
    temperature_colour,
)

FILE = "geometry.json"
LIMITS = {"contrastive": "simple", "hard_contrastive": "hard_simple"}
SMALLEST = 1e-4
"""Singular values below this share of the largest are noise of float32."""


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """One row a dataset, one column a loss; lines by temperature, grey the loss's limit."""
    losses = [x for x in LIMITS if any(results.has(d, x) for d in results.datasets)]
    datasets = [d for d in results.datasets if any(results.has(d, x) for x in losses)]
    if not losses or not datasets:
        return panels.empty(style, title, "The records have no run of a contrastive loss.")
    temperatures = spread(
        sorted({t for d in datasets for x in losses for t in results.temperatures(d, x)})
    )
    height = 0.85 * style.panel_height * len(datasets) + 0.6
    figure = Figure(figsize=(style.width, height), layout="constrained")
    axes = figure.subplots(len(datasets), len(losses), squeeze=False, sharey=True, sharex="row")
    for row, dataset in enumerate(datasets):
        for column, loss in enumerate(losses):
            panel = axes[row, column]
            heading = f"{names.dataset(dataset)}, {results.look(loss).label}"
            panels.title(panel, heading, style, len(losses))
            panel.set_yscale("log")
            panels.plain_log_ticks(panel, subs=(1.0,))
            _draw_panel(panel, results, dataset, loss, temperatures)
        axes[row, 0].set_ylabel("σ / largest σ")
    for panel in axes[-1]:
        panel.set_xlabel("singular value, by rank")
    handles = [
        handle(color=temperature_colour(t, temperatures), linestyle=_line(i), label=f"τ = {t:g}")
        for i, t in enumerate(temperatures)
    ]
    limit = handle(color="#8a8a8a", linewidth=2.2, label="limit τ → ∞")
    panels.legend(figure, style, [*handles, limit])
    return figure


def _line(place: int) -> object:
    return TEMPERATURE_LINES[place % len(TEMPERATURE_LINES)]


def _draw_panel(
    axes: Axes, results: StudyResults, dataset: str, loss: str, temperatures: Sequence[float]
) -> None:
    drawn = False
    limit = spectrum(results, dataset, LIMITS[loss], None)
    if limit is not None:
        axes.plot(np.arange(1, len(limit) + 1), limit, color="#8a8a8a", linewidth=2.2)
    for place, temperature in enumerate(temperatures):
        values = spectrum(results, dataset, loss, temperature)
        if values is not None:
            drawn = True
            axes.plot(
                np.arange(1, len(values) + 1), values, linestyle=_line(place),
                color=temperature_colour(temperature, temperatures),
            )  # fmt: skip
    if not drawn:
        axes.text(0.5, 0.5, "no complete run", transform=axes.transAxes, ha="center", color=MUTED)
    if not drawn and limit is None:
        axes.tick_params(bottom=False, labelbottom=False)
    axes.set_ylim(SMALLEST, 1.5)


def spectrum(
    results: StudyResults, dataset: str, loss: str, temperature: float | None
) -> np.ndarray | None:
    """Singular values over the largest, geometric mean over seeds; none without a complete run."""
    blocks = results.blocks(dataset, loss, temperature, FILE)
    if not blocks:
        return None
    rows = np.array([block["test"]["singular_values"] for block in blocks])
    rows = np.maximum(rows / rows[:, :1], SMALLEST / 10)
    return np.asarray(np.exp(np.log(rows).mean(axis=0)))
