"""Penalty and tolerance by class: whom the loss pushes away (``tausweep classes``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tausweep.report.figures import panels
from tausweep.report.figures.panels import TemperatureAxis, handle
from tausweep.report.figures.results import StudyResults, spread
from tausweep.report.figures.style import INK, MUTED, TEMPERATURE_LINES, Style, temperature_colour
from tausweep.results import intervals, labels
from tausweep.results.cells import printed

LOSS = "contrastive"
LOSSES = ("contrastive", "hard_contrastive")
FEWEST = 100
"""Fewest negatives in a bin, over all anchors and seeds, of which a share is drawn."""
NOTHING = "The records have no measures by class;\n`tausweep classes` makes them."

Runs = Sequence[Mapping[str, Any]]


def draw_penalty(results: StudyResults, style: Style, title: str) -> Figure:
    """Draw the share of the penalty on the anchor's own class, and why it is what it is."""
    dataset = _dataset(results)
    if dataset is None:
        return panels.empty(style, title, NOTHING)
    cells = {t: results.of_classes(dataset, LOSS, t) for t in results.temperatures(dataset, LOSS)}
    measured = {t: runs for t, runs in cells.items() if runs}
    shown = spread([*measured], 5)
    looks = {
        t: {
            "color": temperature_colour(t, shown),
            "linestyle": TEMPERATURE_LINES[place % len(TEMPERATURE_LINES)],
        }
        for place, t in enumerate(shown)
    }
    figure = Figure(figsize=(style.width, 2.5 * style.panel_height), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False).flat
    share = above.subplots()
    near, mass = below.subplots(1, 2)
    chance = [run["by_chance"] for runs in measured.values() for run in runs]
    panels.title(share, f"{labels.dataset(dataset)}, {results.look(LOSS).label}", style, 1)
    _draw_share(share, {t: measured[t] for t in shown}, looks, style)
    for temperature in shown:
        _draw_profile(near, mass, measured[temperature], looks[temperature])
    for axes in (share, near):
        axes.axhline(float(np.mean(chance)), color=INK, linestyle=(0, (1, 2)), linewidth=1.0)
    share.set_ylabel("share of the penalty\non the anchor's class")
    share.set_xlabel("τ in r (dots: the temperature of training)")
    share.set_ylim(0, None)
    near.set_ylabel("share of negatives\nof the anchor's class")
    near.set_ylim(0, 1)
    mass.set_ylabel("share of the penalty")
    for axes in (near, mass):
        axes.set_xlabel("similarity s")
    handles = [
        handle(**looks[t], label=f"trained at τ = {printed(t)} (n = {len(measured[t])})")
        for t in shown
    ]
    handles.append(handle(color=INK, linestyle=(0, (1, 2)), label="by chance"))
    panels.legend(figure, style, handles)
    return figure


def _dataset(results: StudyResults, losses: Sequence[str] = (LOSS,)) -> str | None:
    """The first dataset with measures by class of one of the losses."""
    having = {run["dataset"] for run in results.by_class or () if run["loss"] in losses}
    return next((name for name in results.datasets if name in having), None)


def _draw_share(
    axes: Axes,
    measured: Mapping[float, Runs],
    looks: Mapping[float, Mapping[str, Any]],
    style: Style,
) -> None:
    grid = np.array(next(iter(measured.values()))[0]["temperatures"])
    TemperatureAxis(axes, sorted({*grid[[0, 2, 3, 6, -1]], *measured}), [])
    for temperature, runs in measured.items():
        found = [intervals.summary(column) for column in np.array([r["shares"] for r in runs]).T]
        mean = np.array([f.mean for f in found])
        half = np.array([panels.half_width(f) for f in found])
        axes.plot(grid, mean, **looks[temperature])
        colour = looks[temperature]["color"]
        axes.fill_between(
            grid, mean - half, mean + half, color=colour, alpha=style.band_opacity, linewidth=0
        )
        own = int(np.argmin(np.abs(np.log(grid / temperature))))
        if np.isclose(grid[own], temperature):
            axes.plot(temperature, mean[own], "o", color=colour)


def _draw_profile(near: Axes, mass: Axes, runs: Runs, look: Mapping[str, Any]) -> None:
    """Negatives of the class among all of a similarity, and where the penalty is."""
    profiles = [run["by_similarity"] for run in runs]
    edges = np.array(profiles[0]["edges"])
    middles = (edges[1:] + edges[:-1]) / 2
    every = np.sum([p["negatives"] for p in profiles], axis=0)
    same = np.sum([p["same_class"] for p in profiles], axis=0)
    enough = every >= FEWEST
    near.plot(middles[enough], same[enough] / every[enough], **look)
    penalty = np.mean([p["penalty"] for p in profiles], axis=0)
    mass.stairs(penalty, edges, color=look["color"], linestyle=look["linestyle"], linewidth=1.2)


def draw_tolerance(results: StudyResults, style: Style, title: str) -> Figure:
    """Draw the tolerance of every class against temperature, a panel for each loss."""
    dataset = _dataset(results, LOSSES)
    losses = [
        loss
        for loss in LOSSES
        if dataset is not None
        and any(results.of_classes(dataset, loss, t) for t in results.temperatures(dataset, loss))
    ]
    if dataset is None or not losses:
        return panels.empty(style, title, NOTHING)
    figure, every = panels.grid(style, len(losses), 2, sharey=True)
    for axes, loss in zip(every, losses, strict=True):
        cells = {
            t: runs
            for t in results.temperatures(dataset, loss)
            if (runs := results.of_classes(dataset, loss, t))
        }
        panels.title(
            axes, f"{labels.dataset(dataset)}, {results.look(loss).label}", style, len(losses)
        )
        TemperatureAxis(axes, [*cells], [])
        _draw_classes(axes, cells, results, dataset, style)
        whole = [results.cells.cell(key, "tolerance") for key in results.cells.keys(dataset, loss)]
        whole = [cell for cell in whole if cell.key.temperature in cells]
        look = results.look(loss)
        axes.plot(
            [cell.key.temperature or 0.0 for cell in whole],
            [cell.summary.mean for cell in whole],
            color=look.colour, marker=look.marker, linewidth=2 * style.line_width,
        )  # fmt: skip
        counts = panels.count_text(len(runs) for runs in cells.values())
        axes.set_xlabel(f"temperature τ ({counts})")
        axes.tick_params(labelleft=True)
    every[0].set_ylabel("tolerance")
    panels.legend(
        figure,
        style,
        [
            handle(color=INK, marker="o", linewidth=2 * style.line_width, label="all classes"),
            handle(color=MUTED, linewidth=0.8, label="one class"),
        ],
    )
    return figure


def _draw_classes(
    axes: Axes, cells: Mapping[float, Runs], results: StudyResults, dataset: str, style: Style
) -> None:
    """A line for each class; the names of the first and the last at the highest temperature."""
    means = np.array(
        [
            # A class without a pair of test images has no tolerance.
            np.array([run["tolerance_by_class"] for run in runs], dtype=np.float64).mean(axis=0)
            for runs in cells.values()
        ]
    )
    temperatures = [*cells]
    for column in means.T:
        axes.plot(temperatures, column, color=MUTED, linewidth=0.8, alpha=0.8)
    names = [*results.classes.get(dataset, ())]
    known = np.flatnonzero(np.isfinite(means[-1]))
    for label in {*known[np.argsort(means[-1][known])][[0, -1]]} if len(known) else ():
        name = names[label] if label < len(names) else str(label)
        axes.annotate(
            str(name), (temperatures[-1], means[-1][label]), xytext=(3, 0), color=MUTED,
            textcoords="offset points", fontsize=style.font_size - 2, va="center",
        )  # fmt: skip
