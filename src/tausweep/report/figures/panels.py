"""Shared parts of figures: panels with legends outside, temperature axes, cells with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP
from matplotlib.ticker import (
    LogLocator,
    NullLocator,
    StrMethodFormatter,
)

from tausweep.report.figures.results import StudyResults
from tausweep.report.figures.style import INK, MUTED, Style
from tausweep.report.tables.cells import Measured
from tausweep.results import labels
from tausweep.results.cells import printed
from tausweep.results.intervals import Summary

Floats: TypeAlias = npt.NDArray[np.float64]

AT_ZERO = frozenset({"nearest_negative"})
AT_INFINITY = frozenset({"simple", "hard_simple"})
"""Losses that are limits of the contrastive ones in temperature, up to a scale (Eq. 6, 7)."""


LEGEND_ROWS = 3
"""Rows of a legend that a figure's height has room for."""

WIDEST = 3
"""Panels beside each other, at most."""

PAIR = 2
"""With two seeds the interval extends 12.7 standard errors to either side, so seeds are drawn."""


def half_width(found: Summary) -> float:
    """Half the interval's width; NaN, which draws nothing, with fewer than three seeds."""
    if found.half_width is None or found.n <= PAIR:
        return math.nan
    return found.half_width


def seeds_text(found: Iterable[Measured]) -> str:
    """``n = 3``, ``n = 1–3`` or ``n = 1``: numbers of seeds of the cells that have any."""
    return count_text(cell.summary.n for cell in found)


def count_text(seeds: Iterable[int]) -> str:
    """``n = 3``, ``n = 1–3`` or ``n = 0``; other counts of 0 are ignored."""
    counts = sorted({count for count in seeds if count})
    if not counts:
        return "n = 0"
    if counts[0] == counts[-1]:
        return f"n = {counts[0]}"
    return f"n = {counts[0]}–{counts[-1]}"


def grid(style: Style, panels: int, columns: int = 2, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels, at most ``columns`` per row; unused places stay empty."""
    columns = min(columns, max(panels, 1))
    rows = math.ceil(max(panels, 1) / columns)
    height = style.panel_height * (1.25 if columns == 1 else 1.0)
    figure = Figure(figsize=(style.width, rows * height + 0.45), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for unused in axes[panels:]:
        unused.set_axis_off()
    return figure, axes[:panels]


def empty(style: Style, title: str, reason: str) -> Figure:
    """A labelled panel that says what is missing."""
    figure = Figure(figsize=(style.width, style.panel_height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    say(axes, reason)
    return figure


def unscaled(axes: Axes) -> None:
    """Remove the ticks of a panel without data; panels that share its scale keep theirs."""
    axes.tick_params(
        which="both", left=False, bottom=False, labelleft=False, labelbottom=False
    )  # fmt: skip


def say(axes: Axes, reason: str) -> None:
    """Replace a panel by a sentence that says why it has no data."""
    unscaled(axes)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#cccccc", linestyle=(0, (4, 3)))
    axes.text(
        0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes, color=MUTED, wrap=True
    )


def note(axes: Axes, lines: Iterable[str], style: Style, *, right: bool = False) -> None:
    """Small lines of text in a lower corner of a panel; empty ones are left out."""
    axes.text(
        0.97 if right else 0.03, 0.04, "\n".join(filter(None, lines)), color=MUTED, va="bottom",
        ha="right" if right else "left", fontsize=style.font_size - 2, transform=axes.transAxes,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}, zorder=2.5,
    )  # fmt: skip


def tick_labels(temperatures: Sequence[float], letter: float) -> dict[float, str]:
    """A label for each measured temperature, in as many rows as needed to avoid overlaps.

    The extremes are placed first and so are in the first row, then Table 1's, then the rest. A
    label that would come within a letter of another goes to a lower row.

    Args:
        temperatures: All measured temperatures.
        letter: Width of a letter in decades of the axis.
    """
    wanted = [min(temperatures), max(temperatures), 0.3, 0.1, 0.07, 0.7, 0.2, 0.5]
    rows: list[list[float]] = []
    found: dict[float, str] = {}

    def free(row: list[float], temperature: float) -> bool:
        return all(
            abs(math.log10(temperature / other))
            >= letter * (1 + (len(printed(temperature)) + len(printed(other))) / 2)
            for other in row
        )

    for temperature in dict.fromkeys([*(t for t in wanted if t in temperatures), *temperatures]):
        place = next((i for i, row in enumerate(rows) if free(row, temperature)), len(rows))
        rows += [[]] * (place == len(rows))
        rows[place] = [*rows[place], temperature]
        found[temperature] = "\n" * place + printed(temperature)
    return dict(sorted(found.items()))


def plain_log_ticks(axes: Axes, subs: Sequence[float]) -> None:
    """Plain numbers at these multiples of powers of ten on a logarithmic y axis."""
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=list(subs), numticks=12))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def title(axes: Axes, text: str, style: Style, columns: int = 2, colour: str | None = None) -> None:
    """Title a panel, in a smaller font if it would not fit its share of the width."""
    room = style.width * 72 / columns * 0.82

    def fitting(line: str) -> float:
        return min(style.font_size, room / (0.66 * max(len(line), 1)))

    if fitting(text) < 0.8 * style.font_size:
        text = text.replace(", ", "\n")
    axes.set_title(text, fontsize=min(map(fitting, text.split("\n"))), color=colour or "black")


class TemperatureAxis:
    """A logarithmic temperature axis with ticks at measured values and the limits 0+ and infinity.

    It is logarithmic because the temperatures span more than a decade and the losses depend on
    s / tau. The limits are beside the scale, behind dotted lines, because they have no place on it.
    """

    def __init__(self, axes: Axes, temperatures: Sequence[float], free: Iterable[str]):
        """Set up the axis.

        Args:
            axes: The axes whose x axis this is.
            temperatures: All measured temperatures.
            free: Names of losses without a temperature that will be drawn.
        """
        temperatures = sorted(temperatures) or [1.0]
        low, high = temperatures[0], temperatures[-1]
        # A step has the width of a tick's label, for any range.
        step = max(1.45, (high / low) ** 0.17)
        axes.set_xscale("log")
        places: dict[float, str] = {}
        free = list(free)
        self._left, self._right = low / step, high * step
        self._other = self._right * step
        left, right = low / step**0.4, high * step**0.4
        if any(loss in AT_ZERO for loss in free):
            places[self._left] = "0⁺"
            axes.axvline(low / step**0.5, color="#b0b0b0", linestyle=":", linewidth=0.8)
            left = self._left / step**0.4
        if any(loss in AT_INFINITY for loss in free):
            places[self._right] = "∞"
            axes.axvline(high * step**0.5, color="#b0b0b0", linestyle=":", linewidth=0.8)
            right = self._right * step**0.55
        if any(loss not in AT_ZERO | AT_INFINITY for loss in free):
            places[self._other] = "none"
            axes.axvline(self._right * step**0.5, color="#b0b0b0", linestyle=":", linewidth=0.8)
            right = self._other * step**0.4
        inches = axes.get_window_extent().width / axes.figure.dpi
        letter = 0.58 * _points(axes) / 72 / inches * math.log10(right / left)
        places = dict(sorted((places | tick_labels(temperatures, letter)).items()))
        axes.set_xticks(list(places), list(places.values()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(left, right)
        axes.grid(visible=False, axis="x", which="both")
        self._step = step
        self._taken: dict[float, int] = {}

    def place(self, loss: str) -> float:
        """The position of a loss without temperature; a second one at the same place is shifted."""
        slot = self._other
        if loss in AT_ZERO:
            slot = self._left
        elif loss in AT_INFINITY:
            slot = self._right
        before = self._taken.get(slot, 0)
        self._taken[slot] = before + 1
        shift = (0.0, 0.22, -0.22)[before % 3]
        return float(slot * self._step**shift)


def _points(axes: Axes) -> float:
    """Font size of the x axis labels."""
    return float(axes.xaxis.get_ticklabels()[0].get_fontsize())


@contextmanager
def kept_near_points(
    axes: Axes, x: Floats, y: Floats, half_x: Floats, half_y: Floats
) -> Iterator[None]:
    """Let drawings in the block widen the axes by at most a fifth of the points' range.

    With three seeds a 95% interval may be many times as long as the rest of the panel, and would
    push all points into a corner. Such an interval is cut at the panel's edge.
    """
    before = axes.dataLim.frozen()
    yield
    axes.dataLim.set(before)
    for side in (-1, 1):
        reached = [_reach(x, half_x, side), _reach(y, half_y, side)]
        axes.update_datalim(np.column_stack(np.broadcast_arrays(*reached)))
    axes.autoscale_view()


def by_temperature(results: StudyResults) -> list[list[str]]:
    """Losses by panel of curves: each loss with temperatures has a panel; the others share one.

    In the former, colours stand for temperatures, in the latter for losses.
    """
    having = {x for d in results.datasets for x in results.losses if results.temperatures(d, x)}
    alone = [[loss] for loss in results.losses if loss in having]
    return [*alone, [x for x in results.losses if x not in having]] if results.losses else []


def heading(
    axes: Axes, results: StudyResults, dataset: str, losses: list[str], style: Style, columns: int
) -> None:
    """Title such a panel; a loss with temperatures has its name in its colour."""
    name = f"{labels.dataset(dataset)}{', ' if columns < 3 else chr(10)}"
    if len(losses) == 1 and results.temperatures(dataset, losses[0]):
        look = results.look(losses[0])
        title(axes, f"{name}{look.label}", style, columns, look.colour)
    else:
        title(axes, f"{name}no temperature", style, columns)


class Intervals:
    """The intervals of a figure, kept near their points, with marks on those that are cut."""

    def __init__(self) -> None:
        self._drawn: list[tuple[Axes, Any, Floats, Floats, Floats, Floats]] = []

    @contextmanager
    def near_points(
        self, axes: Axes, colour: Any, x: Floats, y: Floats, half_x: Floats, half_y: Floats
    ) -> Iterator[None]:
        """``kept_near_points``, remembered for ``mark_cut``."""
        self._drawn.append((axes, colour, x, y, half_x, half_y))
        with kept_near_points(axes, x, y, half_x, half_y):
            yield

    def mark_cut(self) -> bool:
        """Draw an arrowhead where an edge cuts an interval; return whether there is any.

        Call this once the limits of the panels are final.
        """
        marks = []
        for axes, colour, x, y, half_x, half_y in self._drawn:
            left, right = axes.get_xlim()
            low, high = axes.get_ylim()
            across, along = axes.get_xaxis_transform(), axes.get_yaxis_transform()
            for points, edge, marker, transform in (
                (x[y + half_y > high], 1, CARETUP, across),
                (x[y - half_y < low], 0, CARETDOWN, across),
                (y[x + half_x > right], 1, CARETRIGHT, along),
                (y[x - half_x < left], 0, CARETLEFT, along),
            ):
                at = np.full(len(points), float(edge))
                place = (points, at) if transform is across else (at, points)
                marks.append((axes, place, {**CUT, "marker": marker}, colour, transform))
        for axes, place, look, colour, transform in marks:
            if len(place[0]):
                axes.plot(*place, **look, color=colour, transform=transform, clip_on=False)
        return any(len(place[0]) for _, place, *_ in marks)


CUT: dict[str, Any] = {"marker": CARETUP, "markersize": 5, "linestyle": "none", "zorder": 5}


def cut_handle() -> Line2D:
    """A legend entry for the marks of ``Intervals.mark_cut``."""
    return handle(**CUT, color=INK, label="interval goes on")


def _reach(at: Floats, half: Floats, side: int) -> Floats:
    known = at[np.isfinite(at)]
    if not len(known):
        return at
    room = 0.2 * max(float(np.ptp(known)), 0.1 * float(np.abs(known).max()))
    ends = at + side * np.nan_to_num(half)
    return np.clip(ends, known.min() - room, known.max() + room)


def handle(**options: Any) -> Line2D:
    """An entry for a legend."""
    return Line2D([], [], **options)


def legend(figure: Figure, style: Style, handles: Sequence[Artist]) -> None:
    """One legend for all panels, above them and never on data, in as many columns as fit.

    A figure with many losses becomes higher, so that its panels keep their height.
    """
    lengths = [len(str(handle.get_label())) for handle in handles]

    def width(columns: int) -> float:
        longest = [max(column) for column in np.array_split(lengths, columns)]
        return float(sum(0.48 * letters + 4.4 for letters in longest) * (style.font_size - 1))

    for columns in range(len(handles), 0, -1):
        if columns == 1 or width(columns) <= style.width * 72:
            figure.legend(
                handles=list(handles), loc="outside upper left", ncols=columns, columnspacing=1.0
            )
            rows = math.ceil(len(handles) / columns)
            line = 1.5 * (style.font_size - 1) / 72
            more = line * max(0, rows - LEGEND_ROWS)
            figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + more)
            break
