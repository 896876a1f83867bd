"""Fig. 8: an anchor's positive and its ten nearest negatives, at each temperature.

Above: means over anchors and seeds against temperature. Below: distributions over anchors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tausweep.report.figures import panels
from tausweep.report.figures.panels import TemperatureAxis, handle
from tausweep.report.figures.results import StudyResults, spread
from tausweep.report.figures.style import INK, MUTED, LossStyle, Style
from tausweep.report.tables.cells import Measured
from tausweep.results import labels
from tausweep.results.cells import printed
from tausweep.storage.layout import File

COMPARED_LOSSES = ("contrastive", "hard_contrastive")
NEGATIVES = tuple(f"negative_similarity_{place}" for place in range(1, 11))
MOST_DISTRIBUTIONS = 6
"""Most temperatures with distributions; more would be too small to read."""


def chosen_dataset(results: StudyResults) -> str | None:
    """CIFAR100 as in the paper, else the first dataset with one of the losses."""
    having = [d for d in results.datasets if any(results.has(d, loss) for loss in COMPARED_LOSSES)]
    return "cifar100" if "cifar100" in having else next(iter(having), None)


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """Draw Fig. 8 for one dataset, with one column per loss."""
    dataset = chosen_dataset(results)
    if dataset is None:
        return panels.empty(style, title, "The records have no run of a contrastive loss.")
    losses = [loss for loss in COMPARED_LOSSES if results.has(dataset, loss)]
    figure = Figure(figsize=(style.width, 2.7 * style.panel_height), layout="constrained")
    axes = figure.subplots(2, len(losses), squeeze=False, sharey="row", height_ratios=(1, 1.25))
    temperatures = spread(
        sorted({t for loss in losses for t in results.temperatures(dataset, loss)}),
        MOST_DISTRIBUTIONS,
    )
    intervals = panels.Intervals()
    for column, loss in enumerate(losses):
        above, below = axes[:, column]
        heading = f"{labels.dataset(dataset)}, {results.look(loss).label}"
        panels.title(above, heading, style, len(losses))
        _draw_means(above, results, dataset, loss, style, intervals)
        _draw_distributions(below, results, dataset, loss, temperatures, style)
        below.set_xlabel("similarity")
    axes[0, 0].set_ylabel("mean similarity")
    axes[1, 0].set_ylabel("temperature τ\n(density of anchors)")
    handles = _handles([results.look(loss) for loss in losses])
    if intervals.mark_cut():
        handles.append(panels.cut_handle())
    panels.legend(figure, style, handles)
    return figure


def _handles(looks: Sequence[LossStyle]) -> list[Artist]:
    positive = [
        handle(color=look.colour, marker=look.marker, linestyle=look.line, label="positive")
        for look in looks
    ]
    if len(positive) > 1:
        positive[1].set_label("positive (hard)")
    first, last = _grey(0), _grey(9)
    return [
        *positive,
        Patch(facecolor=first, alpha=0.6, edgecolor=first, label="nearest negative"),
        Patch(facecolor="none", edgecolor=last, label="10th nearest"),
    ]


def _grey(place: int) -> str:
    return str(round(0.2 + 0.055 * place, 3))


def _draw_means(
    axes: Axes,
    results: StudyResults,
    dataset: str,
    loss: str,
    style: Style,
    intervals: panels.Intervals,
) -> None:
    temperatures = results.temperatures(dataset, loss)
    if not temperatures:
        panels.say(axes, "No temperature in the records.")
        return
    TemperatureAxis(axes, temperatures, [])
    look = results.look(loss)
    for place, column in reversed(list(enumerate(NEGATIVES))):
        # Ten overlapping bands would hide every line.
        ends = place in (0, len(NEGATIVES) - 1)
        _draw_line(axes, results.cell_line(dataset, loss, column), style,
                   intervals if ends else None, color=_grey(place),
                   linewidth=1.2 if ends else 0.6)  # fmt: skip
    found = results.cell_line(dataset, loss, "positive_similarity")
    _draw_line(
        axes, found, style, intervals, color=look.colour, marker=look.marker, linestyle=look.line
    )
    for cell in found:
        if cell.diverged:
            axes.plot(
                [cell.key[2] or 0.0], [0.03], "x", color=look.colour, clip_on=False,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
    if not any(cell.summary.n for cell in found):
        panels.say(axes, "No complete run.")
        return
    axes.set_xlabel(f"temperature τ ({panels.seeds_text(found)})")


def _draw_line(
    axes: Axes,
    found: Sequence[Measured],
    style: Style,
    intervals: panels.Intervals | None,
    **look: Any,
) -> None:
    x = np.array([cell.key[2] for cell in found], dtype=float)
    mean = np.array([cell.summary.mean for cell in found])
    half = np.array([panels.half_width(cell.summary) for cell in found])
    axes.plot(x, mean, **look)
    if intervals is None:
        return
    for at, cell in zip(x, found, strict=True):
        if cell.summary.n == panels.PAIR:
            pair = cell.values.to_numpy()
            axes.plot([at] * len(pair), pair, ".", color=look["color"], markersize=3, alpha=0.55)
    with intervals.near_points(axes, look["color"], x, mean, np.zeros_like(x), half):
        axes.fill_between(
            x, mean - half, mean + half, color=look["color"], alpha=style.band_opacity, linewidth=0
        )


def _draw_distributions(
    axes: Axes,
    results: StudyResults,
    dataset: str,
    loss: str,
    temperatures: Sequence[float],
    style: Style,
) -> None:
    seen = edges = np.zeros(0)
    for row, temperature in enumerate(reversed(temperatures)):
        blocks = results.blocks(dataset, loss, temperature, File.SEPARATION)
        axes.axhline(row, color="#d0d0d0", linewidth=0.6)
        if not blocks:
            gap = results.gap(dataset, loss, temperature) or "no complete run has its file"
            axes.text(
                0.5, row + 0.25, gap,
                color=MUTED, ha="center",
                fontsize=style.font_size - 2, transform=axes.get_yaxis_transform(),
            )  # fmt: skip
            continue
        edges = np.array(blocks[0]["bin_edges"])
        counts = {
            name: np.sum([b["distributions"][name]["counts"] for b in blocks], axis=0)
            for name in ("pos", "n1", "n10")
            if all(name in b["distributions"] for b in blocks)
        }
        top = max(float(np.max(c)) for c in counts.values())
        total = np.sum(list(counts.values()), axis=0)
        seen = seen + total if len(seen) else total
        _ridge(axes, edges, counts, row, 0.9 / top, results.look(loss).colour)
    marks = [f"{printed(t)}{results.dagger(dataset, loss, t)}" for t in reversed(temperatures)]
    axes.set_yticks(range(len(temperatures)), marks)
    axes.set_ylim(-0.05, max(len(temperatures), 1))
    axes.grid(visible=False, axis="y")
    if len(seen):
        share = np.cumsum(seen) / seen.sum()
        used = np.flatnonzero((share > 0.001) & (share - seen / seen.sum() < 0.999))
        axes.set_xlim(edges[used[0]] - 0.02, edges[used[-1] + 1] + 0.02)


def _ridge(
    axes: Axes, edges: np.ndarray, counts: dict[str, Any], row: int, scale: float, colour: str
) -> None:
    looks: dict[str, dict[str, Any]] = {
        "n10": {"facecolor": "none", "edgecolor": _grey(9), "linewidth": 1.0},
        "n1": {"facecolor": _grey(0), "edgecolor": _grey(0), "alpha": 0.6, "linewidth": 0.8},
        "pos": {"facecolor": colour, "edgecolor": INK, "alpha": 0.75,
                "linewidth": 0.5},
    }  # fmt: skip
    for name, look in looks.items():
        if name in counts:
            axes.stairs(row + scale * counts[name], edges, baseline=row, fill=True, **look)
