"""Singular value spectra of the test embeddings: how many directions a temperature uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tausweep.report.figures import panels
from tausweep.report.figures.panels import handle
from tausweep.report.figures.results import StudyResults, spread
from tausweep.report.figures.style import MUTED, TEMPERATURE_LINES, Style, temperature_colour
from tausweep.results.cells import printed
from tausweep.storage.layout import File

LIMIT_OF = {"contrastive": "simple", "hard_contrastive": "hard_simple"}
NOISE_FLOOR = 1e-4
"""Singular values below this share of the largest are noise of float32."""


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """One panel per loss with temperatures and one for all others; one row per dataset."""
    groups, datasets = [g for g in panels.by_temperature(results) if g], results.datasets
    if not groups or not datasets:
        return panels.empty(style, title, "The records have no run.")
    temperatures = spread(results.grid(datasets))
    columns = min(len(groups), panels.WIDEST)
    rows = math.ceil(len(groups) / columns)
    height = 0.85 * style.panel_height * rows * len(datasets) + 0.7
    figure = Figure(figsize=(style.width, height), layout="constrained")
    axes = figure.subplots(rows * len(datasets), columns, squeeze=False, sharey=True, sharex=True)
    for block, dataset in enumerate(datasets):
        places = list(axes[block * rows : (block + 1) * rows].flat)
        for panel, losses in zip(places, groups, strict=False):
            panels.heading(panel, results, dataset, losses, style, columns)
            panel.set_yscale("log")
            panels.plain_log_ticks(panel, subs=(1.0,))
            panel.tick_params(labelbottom=True)
            _draw_panel(panel, results, dataset, losses, temperatures, style)
        for unused in places[len(groups) :]:
            unused.set_axis_off()
    for row in axes:
        row[0].set_ylabel("σ / largest σ")
    for panel in axes[-1]:
        panel.set_xlabel("rank of σ")
    handles = [
        handle(
            color=temperature_colour(t, temperatures), linestyle=_line(i), label=f"τ = {printed(t)}"
        )
        for i, t in enumerate(temperatures)
    ]
    for loss in results.losses:
        if not any(results.temperatures(dataset, loss) for dataset in datasets):
            limit = " (τ → ∞)" if loss in LIMIT_OF.values() else ""
            label = f"{results.look(loss).label}{limit}"
            handles.append(handle(**_look(results, loss), label=label))
    panels.legend(figure, style, handles)
    return figure


def _line(place: int) -> Any:
    return TEMPERATURE_LINES[place % len(TEMPERATURE_LINES)]


def _look(results: StudyResults, loss: str) -> dict[str, Any]:
    look = results.look(loss)
    return {"color": look.colour, "linestyle": look.line, "linewidth": 2.0}


def _draw_panel(
    axes: Axes,
    results: StudyResults,
    dataset: str,
    losses: Sequence[str],
    temperatures: Sequence[float],
    style: Style,
) -> None:
    counts: list[int] = []
    words: list[str] = []

    def curve(loss: str, temperature: float | None, **look: Any) -> None:
        values = spectrum(results, dataset, loss, temperature)
        if values is None:
            return
        axes.plot(np.arange(1, len(values) + 1), values, **look)
        counts.append(len(results.files(dataset, loss, temperature, File.GEOMETRY)))
        if results.survivors(dataset, loss, temperature):
            at = results.look(loss).label if temperature is None else f"τ = {printed(temperature)}"
            words.append(f"† {at}: a run diverged")

    for loss in losses:
        measured = results.temperatures(dataset, loss)
        for place, temperature in enumerate(temperatures):
            if temperature in measured:
                colour = temperature_colour(temperature, temperatures)
                curve(loss, temperature, linestyle=_line(place), color=colour)
        words.extend(results.gaps(dataset, loss, temperatures))
        limit = LIMIT_OF.get(loss) if measured else loss
        if limit is not None:
            curve(limit, None, **_look(results, limit))
        gap = "" if measured or not results.has(dataset, loss) else results.gap(dataset, loss, None)
        words.append(f"{gap}: {results.look(loss).label}" if gap else "")
    if not counts:
        axes.text(0.5, 0.5, "no complete run", transform=axes.transAxes, ha="center", color=MUTED)
    panels.note(axes, [panels.count_text(counts), *words], style)
    axes.set_ylim(NOISE_FLOOR, 1.5)


def spectrum(
    results: StudyResults, dataset: str, loss: str, temperature: float | None
) -> np.ndarray | None:
    """Relative singular values, geometric mean over seeds; none without a complete run."""
    blocks = results.blocks(dataset, loss, temperature, File.GEOMETRY)
    if not blocks:
        return None
    rows = np.array([block["test"]["singular_values"] for block in blocks])
    rows = np.maximum(rows / rows[:, :1], NOISE_FLOOR / 10)
    return np.asarray(np.exp(np.log(rows).mean(axis=0)))
