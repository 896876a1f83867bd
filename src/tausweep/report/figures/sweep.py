"""A measure against temperature: Figs. 4 to 7 and 9, and effective dimension.

One panel per dataset. Lines are means over seeds and bands 95% t-intervals; small dots are seeds,
hollow stars published numbers, and crosses at the foot diverged runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tausweep.report.figures import panels
from tausweep.report.figures.panels import TemperatureAxis, handle
from tausweep.report.figures.results import StudyResults
from tausweep.report.figures.style import INK, MUTED, LossStyle, Style
from tausweep.report.tables import PUBLISHED_T
from tausweep.report.tables.cells import Measured
from tausweep.results import labels

PAPER = ("contrastive", "hard_contrastive", "simple", "hard_simple", "nearest_negative")
"""The paper's losses, in the order in which they are drawn."""
Content = Literal["both", "measured", "published"]
"""What a panel shows: measured numbers, published ones or both."""
PublishedColumn = Callable[[pd.DataFrame], "pd.Series[float]"]


@dataclass(frozen=True)
class Sweep:
    """One figure of this family.

    Attributes:
        column: The column of the records.
        label: Label of the y axis.
        losses: Which of the paper's losses to draw, in order; by default all.
        others: Whether losses that are not the paper's are drawn after them.
        context: A loss drawn pale, for comparison.
        shared: Whether all panels share one y axis.
        logarithmic: Whether the y axis is logarithmic.
        published: Computes this column from published uniformities; by default it is published
            itself.
        of_scale: Whether a smaller study's values are on another scale than the published ones,
            which then have a separate panel; baselines show where that scale begins.
    """

    column: str
    label: str
    losses: tuple[str, ...] = PAPER
    others: bool = True
    context: str | None = None
    shared: bool = True
    logarithmic: bool = False
    published: PublishedColumn | None = None
    of_scale: bool = False

    def drawn(self, results: StudyResults) -> list[str]:
        """Losses in the records, in drawing order."""
        found = list(dict.fromkeys(results.records["loss"]))
        others = [loss for loss in results.losses if loss not in PAPER] if self.others else []
        return [loss for loss in (*self.losses, *others) if loss in found]


def draw(sweep: Sweep, results: StudyResults, style: Style, title: str) -> Figure:
    """Draw one figure of the family, or a note if there is nothing to draw."""
    losses, datasets = sweep.drawn(results), results.datasets
    if not losses or not datasets:
        wanted = ", ".join(results.look(loss).label for loss in sweep.losses)
        wanted = "any loss" if sweep.losses == PAPER else wanted
        return panels.empty(style, title, f"The records have no run of {wanted}.")
    shown: list[tuple[str, Content]] = []
    for dataset in datasets:
        theirs = len(_published(sweep, results, dataset, losses))
        if sweep.of_scale and results.scaled_down and theirs:
            shown += [(dataset, "measured"), (dataset, "published")]
        else:
            shown.append((dataset, "both"))
    # Two panels of one dataset go below each other, because their temperature axes differ.
    columns = 1 if len(datasets) == 1 else 2
    figure, axes = panels.grid(style, len(shown), columns, sharey=sweep.shared)
    seen = _Legend(sweep, results)
    for panel, (dataset, content) in zip(axes, shown, strict=True):
        panel.tick_params(labelleft=True)
        _draw_panel(panel, sweep, results, dataset, losses, style, seen, content)
    for i, panel in enumerate(axes):
        panel.set_ylabel(sweep.label if i % columns == 0 else "")
        panel.set_xlabel("temperature τ" if i >= len(axes) - columns else "")
    seen.cut = seen.intervals.mark_cut()
    panels.legend(figure, style, seen.handles())
    return figure


class _Legend:
    """Collects what was drawn, so that the legend names exactly that."""

    def __init__(self, sweep: Sweep, results: StudyResults):
        self._sweep, self._results = sweep, results
        self._cells: dict[str, list[Measured]] = {}
        self.published = self.diverged = self.lacking = self.collapsed = self.cut = False
        self.intervals = panels.Intervals()
        self.baselines: dict[str, list[Measured]] = {}

    def add(self, loss: str, found: Sequence[Measured]) -> None:
        self._cells.setdefault(loss, []).extend(found)
        self.diverged |= any(cell.diverged for cell in found)
        self.collapsed |= any(cell.collapsed for cell in found)
        self.lacking |= any(cell.lacking for cell in found)

    def handles(self) -> list[Line2D]:
        entries = []
        for loss, found in self._cells.items():
            look = self._results.look(loss)
            pale = 0.4 if loss == self._sweep.context else 1.0
            free = all(cell.key[2] is None for cell in found)
            entries.append(
                handle(
                    color=look.colour,
                    marker=look.marker,
                    linestyle="none" if free else look.line,
                    alpha=pale,
                    label=f"{look.label} ({panels.seeds_text(found)})",
                )
            )
        for name, found in self.baselines.items():
            label = f"{labels.loss(name)} ({panels.seeds_text(found)})"
            entries.append(handle(**_baseline(name), label=label))
        if self.published:
            entries.append(handle(**_PUBLISHED, color=INK, label="published (n = 1)"))
        if self.diverged:
            entries.append(handle(**_DIVERGED, color=INK, label="diverged"))
        if self.collapsed:
            entries.append(handle(**_COLLAPSED, color=INK, label="collapsed, counted"))
        if self.lacking:
            entries.append(handle(**_LACKING, color=INK, label="missing or failed"))
        if self.cut:
            entries.append(panels.cut_handle())
        return entries


_PUBLISHED: dict[str, Any] = {
    "marker": "*",
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgewidth": 0.8,
    "linestyle": "none",
}
_DIVERGED: dict[str, Any] = {
    "marker": "x",
    "markersize": 5,
    "markeredgewidth": 1.4,
    "linestyle": "none",
}
_COLLAPSED: dict[str, Any] = {"marker": "$‡$", "markersize": 5, "linestyle": "none"}
_LACKING: dict[str, Any] = {
    "marker": "_",
    "markersize": 6,
    "markeredgewidth": 1.4,
    "linestyle": "none",
}


def _draw_panel(
    axes: Axes,
    sweep: Sweep,
    results: StudyResults,
    dataset: str,
    losses: Sequence[str],
    style: Style,
    seen: _Legend,
    content: Content,
) -> None:
    own = {"both": "", "measured": ", this study", "published": ", published"}[content]
    panels.title(axes, f"{labels.dataset(dataset)}{own}", style)
    here = [loss for loss in losses if results.has(dataset, loss)]
    context = sweep.context
    if context is not None and results.has(dataset, context):
        here.insert(0, context)
    if sweep.logarithmic:
        axes.set_yscale("log")
        panels.plain_log_ticks(axes, subs=(1.0, 2.0, 5.0))
    measured: set[float] = set()
    if content != "published":
        measured = {t for loss in here for t in results.temperatures(dataset, loss)}
    published = _published(sweep, results, dataset, here)
    if content == "measured":
        published = published.iloc[:0]
    measured |= {t for t in published["temperature"] if not math.isnan(t)}
    free = [loss for loss in here if not results.temperatures(dataset, loss)]
    axis = TemperatureAxis(axes, sorted(measured), free)
    foot, measured_any = 0.03, False
    for loss in here:
        found = results.cell_line(dataset, loss, sweep.column) if content != "published" else []
        measured_any |= any(cell.summary.n for cell in found)
        seen.add(loss, found)
        place = axis.place(loss) if loss in free else math.nan
        x = np.array([place if c.key[2] is None else c.key[2] for c in found])
        _draw_loss(axes, results.look(loss), x, found, style, seen.intervals, pale=loss == context)
        theirs = published[published["loss"] == loss]
        if len(theirs) and loss != context:
            stars = theirs["temperature"].fillna(place)
            axes.plot(
                stars, theirs["value"], **_PUBLISHED, color=results.look(loss).colour, zorder=2.5,
            )  # fmt: skip
            seen.published = True
        if loss != context:
            foot += 0.05 * _mark_unfinished(axes, x, found, foot, results.look(loss).colour)
    if sweep.of_scale and content != "published":
        _draw_baselines(axes, results.baseline_cells(dataset, sweep.column), style, seen)
    if not measured_any and not len(published):
        axes.text(0.5, 0.5, "no complete run", ha="center", transform=axes.transAxes, color=INK)
        axes.tick_params(which="both", left=False, labelleft=False)


def _baseline(name: str) -> dict[str, Any]:
    return {"color": MUTED, "linestyle": (0, (6, 2, 1, 2)) if name == "untrained" else (0, (2, 2))}


def _draw_baselines(axes: Axes, found: Sequence[Measured], style: Style, seen: _Legend) -> None:
    """Draw a line for each baseline, or its number if the line would be far off the scale."""
    low, high = axes.get_ylim()
    far = []
    for cell in found:
        mean = cell.summary.mean
        if low - 1.5 * (high - low) <= mean <= high + 1.5 * (high - low):
            seen.baselines.setdefault(cell.key[1], []).append(cell)
            axes.axhline(mean, **_baseline(cell.key[1]), linewidth=1.0, zorder=1)
        else:
            far.append(f"{labels.loss(cell.key[1])}: {mean:.1f} (n = {cell.summary.n})")
    if far:
        panels.note(axes, far, style)


def _mark_unfinished(
    axes: Axes, x: np.ndarray, found: Sequence[Measured], foot: float, colour: str
) -> bool:
    """Mark cells with diverged, collapsed, missing or failed runs; return whether there are any."""
    marked = False
    for at, cell in zip(x, found, strict=True):
        for count, look in (
            (cell.diverged, _DIVERGED),
            (cell.collapsed, _COLLAPSED),
            (cell.lacking, _LACKING),
        ):
            if count:
                marked = True
                axes.plot(
                    at, foot, **look, color=colour, clip_on=False, zorder=5,
                    transform=axes.get_xaxis_transform(),
                )  # fmt: skip
    return marked


def _draw_loss(
    axes: Axes,
    look: LossStyle,
    x: np.ndarray,
    found: Sequence[Measured],
    style: Style,
    intervals: panels.Intervals,
    pale: bool,
) -> None:
    alpha = 0.4 if pale else 1.0
    mean = np.array([cell.summary.mean for cell in found])
    half = np.array([panels.half_width(cell.summary) for cell in found], dtype=float)
    axes.plot(
        x, mean, color=look.colour, linestyle=look.line, marker=look.marker, alpha=alpha,
        linewidth=style.line_width * (0.7 if pale else 1.0),
        markersize=style.marker_size * (0.6 if pale else 1.0), zorder=2 if pale else 3,
    )  # fmt: skip
    if pale:
        return
    known = np.isfinite(half)
    beside = np.concatenate([[False], known, [False]])
    alone = known & ~beside[:-2] & ~beside[2:]
    with intervals.near_points(axes, look.colour, x, mean, np.zeros_like(x), half):
        axes.fill_between(
            x, mean - half, mean + half, color=look.colour, alpha=style.band_opacity, linewidth=0
        )
        axes.errorbar(
            x[alone], mean[alone], yerr=half[alone], color=look.colour, alpha=0.6,
            linestyle="none", elinewidth=1.0, capsize=2.0,
        )  # fmt: skip
    for at, cell in zip(x, found, strict=True):
        if cell.summary.n > 1:
            axes.plot(
                [at] * len(cell.values), cell.values, ".", color=look.colour,
                markersize=6 if cell.summary.n == panels.PAIR else 2.5, alpha=0.55,
                markeredgewidth=0,
            )  # fmt: skip


def _published(
    sweep: Sweep, results: StudyResults, dataset: str, losses: Sequence[str]
) -> pd.DataFrame:
    columns = ["loss", "temperature", "value"]
    frame = results.comparable
    nothing = pd.DataFrame(columns=columns, dtype=float)
    if frame is None:
        return nothing
    frame = frame[(frame["dataset"] == dataset) & frame["loss"].isin(losses)]
    source = "uniformity" if sweep.published is not None else sweep.column
    if frame.empty or source not in frame.columns:
        return nothing
    values = frame[source] if sweep.published is None else sweep.published(frame)
    return frame[["loss", "temperature"]].assign(value=values).dropna(subset=["value"])


def _dimension(frame: pd.DataFrame) -> pd.Series[float]:
    """Effective dimension of published uniformities."""
    from tausweep.measures.sphere_dimension import effective_dimension as of

    return frame["uniformity"].map(lambda u: math.nan if math.isnan(u) else of(u, PUBLISHED_T))


_PLAIN = ("contrastive", "simple", "nearest_negative")
_HARD = ("hard_contrastive", "hard_simple")

uniformity = partial(draw, Sweep("uniformity", "uniformity", _PLAIN))
tolerance = partial(draw, Sweep("tolerance", "tolerance", _PLAIN))
uniformity_hard = partial(draw, Sweep("uniformity", "uniformity", _HARD, False, "contrastive"))
tolerance_hard = partial(draw, Sweep("tolerance", "tolerance", _HARD, False, "contrastive"))
accuracy = partial(
    draw, Sweep("linear_accuracy", "linear accuracy (%)", shared=False, of_scale=True)
)
effective_dimension = partial(
    draw,
    Sweep("effective_dimension", "effective dimension", logarithmic=True, published=_dimension),
)
