"""The uniformity-tolerance dilemma in one picture: what tau buys and what it costs.

Each dataset has a panel with uniformity against tolerance, temperature along each loss's path, and
accuracy as fill. An ideal loss would be in the upper right corner.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import Bbox

from tausweep.report.figures import panels
from tausweep.report.figures.panels import handle
from tausweep.report.figures.results import StudyResults
from tausweep.report.figures.style import INK, MUTED, LossStyle, Style
from tausweep.report.tables.cells import Measured
from tausweep.results import labels
from tausweep.results.cells import printed

X, Y, FILL = "uniformity", "tolerance", "linear_accuracy"
ORDER = ("nearest_negative", "contrastive", "simple", "hard_contrastive", "hard_simple")
PATHS = {"contrastive": "simple", "hard_contrastive": "hard_simple"}
"""A path and the loss that is its limit as tau grows (Eq. 7)."""


@dataclass(frozen=True)
class _Point:
    """Means over seeds of one cell; ``temperature`` is None for a loss without one.

    ``pair`` has the seeds of a cell with only two, which are drawn instead of an interval.
    """

    temperature: float | None
    x: float
    y: float
    fill: float
    half_x: float
    half_y: float
    survivors: bool = False
    pair: tuple[tuple[float, float], ...] = ()


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """Draw the dilemma of every dataset that has any complete run."""
    datasets = [d for d in results.datasets if _losses(results, d)]
    if not datasets:
        return panels.empty(style, title, "The records have no complete run with geometry.")
    figure, axes = panels.grid(style, len(datasets))
    figure.set_figheight(figure.get_figheight() * 1.12)
    drawn: dict[str, list[Measured]] = {}
    intervals = panels.Intervals()
    published = False
    for i, (panel, dataset) in enumerate(zip(axes, datasets, strict=True)):
        published |= _draw_panel(figure, panel, results, dataset, style, drawn, intervals)
        if i % 2 == 0:
            panel.set_ylabel("tolerance →")
    every = [_points(results, d, loss) for d in datasets for loss in _losses(results, d)]
    handles = []
    for loss, found in drawn.items():
        look = results.look(loss)
        line = look.line if any(cell.key[2] is not None for cell in found) else "none"
        handles.append(
            handle(
                marker=look.marker, markerfacecolor="white", color=look.colour, linestyle=line,
                label=f"{look.label} ({panels.seeds_text(found)})",
            )
        )  # fmt: skip
    if published:
        handles.append(
            handle(
                marker="*", markersize=8, markerfacecolor="none", color=MUTED, linestyle=":",
                linewidth=1, label="published (n = 1)",
            )
        )  # fmt: skip
    if any(point.survivors for panel in every for point in panel):
        handles.append(handle(marker="$†$", color=INK, linestyle="none", label="a run diverged"))
    if intervals.mark_cut():
        handles.append(panels.cut_handle())
    panels.legend(figure, style, handles)
    # Labels avoid points, so they come last, when positions are fixed.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for panel, dataset in zip(axes, datasets, strict=True):
        points = {loss: _points(results, dataset, loss) for loss in _losses(results, dataset)}
        _label(panel, points, {loss: results.look(loss) for loss in points}, style)
    return figure


def _losses(results: StudyResults, dataset: str) -> list[str]:
    found = list(dict.fromkeys(results.records["loss"]))
    order = [*ORDER, *(loss for loss in found if loss not in ORDER)]
    return [loss for loss in order if loss in found and _points(results, dataset, loss)]


def _points(results: StudyResults, dataset: str, loss: str) -> list[_Point]:
    columns = [results.cell_line(dataset, loss, name) for name in (X, Y, FILL)]
    points = []
    for x, y, fill in zip(*columns, strict=True):
        if x.summary.n and y.summary.n:
            half_x, half_y = panels.half_width(x.summary), panels.half_width(y.summary)
            mean = (x.summary.mean, y.summary.mean, fill.summary.mean)
            common = x.values.index.intersection(y.values.index)
            seeds = tuple(zip(x.values[common], y.values[common], strict=True))
            pair = seeds if len(seeds) == panels.PAIR else ()
            points.append(_Point(x.key[2], *mean, half_x, half_y, results.survivors(*x.key), pair))
    return points


def _published_points(frame: pd.DataFrame | None, dataset: str, loss: str) -> list[_Point]:
    if frame is None or not {X, Y, FILL} <= {*frame.columns}:
        return []
    frame = frame[(frame["dataset"] == dataset) & (frame["loss"] == loss)]
    frame = frame.dropna(subset=[X, Y]).sort_values("temperature")
    return [
        _Point(None if math.isnan(t) else t, x, y, fill, math.nan, math.nan)
        for t, x, y, fill in zip(*(frame[c] for c in ("temperature", X, Y, FILL)), strict=True)
    ]


def _draw_panel(
    figure: Figure,
    axes: Axes,
    results: StudyResults,
    dataset: str,
    style: Style,
    drawn: dict[str, list[Measured]],
    intervals: panels.Intervals,
) -> bool:
    panels.title(axes, labels.dataset(dataset), style)
    losses = _losses(results, dataset)
    points = {loss: _points(results, dataset, loss) for loss in losses}
    theirs = {loss: _published_points(results.comparable, dataset, loss) for loss in losses}
    norm = _norm(points)
    for loss, found in theirs.items():
        limit = theirs.get(PATHS.get(loss, ""), [])
        _path(axes, [*found, *limit], color=MUTED, linestyle=":", linewidth=0.9, zorder=1)
        look = results.look(loss)
        if results.scaled_down:
            # Accuracies of the full protocol are off a miniature's scale.
            found = [replace(point, fill=math.nan) for point in found]
        _dots(axes, found, norm, marker="*", s=58, edgecolors=look.colour, linewidths=0.9, zorder=3)
    for loss in losses:
        look, found = results.look(loss), points[loss]
        drawn.setdefault(loss, []).extend(results.cell_line(dataset, loss, X))
        _path(axes, found, color=look.colour, linestyle=look.line, zorder=2)
        limit = points.get(PATHS.get(loss, ""), [])
        if limit:
            join = [found[-1], limit[0]]
            _path(axes, join, color=look.colour, linestyle=look.line, alpha=0.4, zorder=2)
        sizes = [np.array([getattr(p, n) for p in found]) for n in ("x", "y", "half_x", "half_y")]
        with intervals.near_points(axes, look.colour, *sizes):
            axes.errorbar(
                sizes[0], sizes[1], xerr=sizes[2], yerr=sizes[3], color=look.colour,
                linestyle="none", elinewidth=0.8, alpha=0.7, zorder=3,
            )  # fmt: skip
        pairs = [seed for point in found for seed in point.pair]
        if pairs:
            axes.plot(*zip(*pairs, strict=True), ".", color=look.colour, markersize=3, zorder=3.5)
        dots = _dots(
            axes, found, norm, marker=look.marker, s=7 * style.marker_size, edgecolors=look.colour,
            linewidths=1.2, zorder=4,
        )  # fmt: skip
        for point in found:
            if point.survivors:
                axes.annotate(
                    "†", (point.x, point.y), (-1, 3), textcoords="offset points", ha="right",
                    color=look.colour, fontsize=style.font_size, weight="bold", zorder=5,
                )  # fmt: skip
    reached = [p.x for group in (*points.values(), *theirs.values()) for p in group]
    axes.set_xlabel("uniformity →")
    if _stretch(axes, reached, 2 * results.t):
        axes.set_xlabel(f"uniformity u →  (spaced as −log({2 * results.t:g} − u))")
    axes.margins(0.1, 0.14)
    axes.text(
        0.98, 0.98, "more of both ↗", transform=axes.transAxes, ha="right", va="top", color=MUTED,
        style="italic", fontsize=style.font_size - 1,
    )  # fmt: skip
    bar = figure.colorbar(
        dots, ax=axes, fraction=0.06, pad=0.03, aspect=26,
        extend=_extend([*points.values(), *([] if results.scaled_down else theirs.values())], norm),
    )  # fmt: skip
    bar.ax.set_title("acc. (%)", fontsize=style.font_size - 2, loc="center", pad=4, weight="normal")
    bar.ax.tick_params(labelsize=style.font_size - 2, length=2)
    bar.outline.set_visible(False)
    return any(theirs.values())


def _norm(points: dict[str, list[_Point]]) -> Normalize:
    """The colour scale of our own accuracies on the paths; outliers would flatten it."""
    paths = [p.fill for loss in PATHS for p in points.get(loss, []) if math.isfinite(p.fill)]
    every = [p.fill for group in points.values() for p in group if math.isfinite(p.fill)]
    if not every:
        return Normalize(0, 100)
    low, high = min(paths or every), max(paths or every)
    return Normalize(low, max(high, low + 0.1))


def _extend(groups: Sequence[Sequence[_Point]], norm: Normalize) -> str:
    """Which ends of the colour scale have points beyond them."""
    every = [point.fill for group in groups for point in group]
    below = any(fill < (norm.vmin or 0) for fill in every)
    above = any(fill > (norm.vmax or 0) for fill in every)
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


def _stretch(axes: Axes, values: Sequence[float], ceiling: float) -> bool:
    """Space uniformity u as -log(2t - u), because hard losses differ only near the ceiling.

    The ceiling 2t is uniformity's least upper bound over dimensions. Returns whether any value is
    that close; otherwise the axis stays linear.
    """
    least = ceiling / 200
    if not ceiling * 7 / 8 <= max(values) <= ceiling - least:
        return False

    def forward(u: np.ndarray) -> np.ndarray:
        return np.asarray(-np.log(np.maximum(ceiling - u, least)))

    def inverse(v: np.ndarray) -> np.ndarray:
        return np.asarray(ceiling - np.exp(-v))

    axes.set_xscale("function", functions=(forward, inverse))
    axes.xaxis.set_major_locator(
        FixedLocator([ceiling * part for part in (1 / 4, 1 / 2, 3 / 4, 7 / 8, 0.95, 0.975, 0.9875)])
    )
    axes.xaxis.set_major_formatter("{x:g}")
    return True


def _path(axes: Axes, points: Sequence[_Point], **options: Any) -> None:
    axes.plot([p.x for p in points], [p.y for p in points], **options)


def _dots(axes: Axes, points: Sequence[_Point], norm: Normalize, **options: Any) -> Any:
    # A point without accuracy is drawn unfilled.
    return axes.scatter(
        [p.x for p in points], [p.y for p in points], c=[p.fill for p in points], norm=norm,
        cmap=colormaps["cividis"].with_extremes(bad="white"), plotnonfinite=True, **options,
    )  # fmt: skip


def _beads(corners: np.ndarray, size: float) -> list[Bbox]:
    """A path (n x 2 corners in pixels) as a string of boxes that labels avoid."""
    steps = np.linspace(0, 1, 40)[:, None]
    parts = [a + steps * (b - a) for a, b in itertools.pairwise(corners)]
    return [
        Bbox.from_bounds(x - size / 2, y - size / 2, size, size) for part in parts for x, y in part
    ]


_BESIDE = ((1, 0), (0.6, 0.9), (0.6, -0.9), (-1, 0), (-0.6, 0.9), (-0.6, -0.9))
_FARTHER = ((0, -1.7), (0, 1.7), (0.8, -1.8), (0.8, 1.8), (-0.8, -1.8), (-0.8, 1.8))
"""Possible places of a label beside its point, best first, in rough units of a marker."""


def _label(
    axes: Axes, points: dict[str, list[_Point]], looks: dict[str, LossStyle], style: Style
) -> None:
    """Label temperatures along the paths where there is room, the ends and the best first."""
    box = axes.get_window_extent()
    to_pixels = axes.transData.transform
    every = [to_pixels((p.x, p.y)) for group in points.values() for p in group]
    scale = axes.figure.dpi / 72
    radius = 3.2 * scale
    taken = [Bbox.from_bounds(x - radius, y - radius, 2 * radius, 2 * radius) for x, y in every]
    for loss, group in points.items():
        along = [*group, *points.get(PATHS[loss], [])] if loss in PATHS else []
        taken += _beads(to_pixels([(p.x, p.y) for p in along]), scale) if along else []
    size = (style.font_size - 2) * scale
    for loss in PATHS:
        found = [p for p in points.get(loss, []) if p.temperature is not None]
        best = max(found, key=lambda p: p.fill, default=None)
        first = list(dict.fromkeys(p for p in (best, *found[:1], *found[-1:]) if p is not None))
        for point in [*first, *(p for p in found if p not in first)]:
            text = f"{'τ = ' if point is best else ''}{printed(point.temperature)}"
            x, y = to_pixels((point.x, point.y))
            width, height = 0.64 * size * len(text), size
            for dx, dy in (*_BESIDE, *_FARTHER):
                left = x + dx * 1.6 * radius - width * {-1: 1.0, 0: 0.5, 1: 0.0}[np.sign(dx)]
                place = Bbox.from_bounds(left, y + dy * 1.9 * radius - height / 2, width, height)
                inside = box.x0 < place.x0 and place.x1 < box.x1 and box.y0 < place.y0
                if inside and not any(place.overlaps(other) for other in taken):
                    break
            else:
                continue
            taken.append(place)
            at = axes.transData.inverted().transform((place.x0, (place.y0 + place.y1) / 2))
            axes.text(
                float(at[0]), float(at[1]), text, va="center", ha="left", zorder=6,
                fontsize=style.font_size - 2, color=looks[loss].colour,
                weight="bold" if point is best else "normal",
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )  # fmt: skip
