"""What figures share: panels with legends outside, temperature axes, cells with intervals."""

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
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)

from tausweep.figures.style import MUTED, Style
from tausweep.tables.cells import Cell

Floats: TypeAlias = npt.NDArray[np.float64]

AT_ZERO = frozenset({"nearest_negative"})
AT_INFINITY = frozenset({"simple", "hard_simple"})
"""Losses that are limits of the contrastive ones in temperature, up to a scale (Eq. 6, 7)."""


def half_width(cell: Cell) -> float:
    """Half the interval's width; NaN, which draws nothing, where one seed or none gives none."""
    return math.nan if cell.summary.half_width is None else cell.summary.half_width


def seeds_text(found: Iterable[Cell]) -> str:
    """``n = 3``, ``n = 1–3`` or ``n = 1``: the seeds behind the cells that have any."""
    counts = sorted({cell.summary.n for cell in found if cell.summary.n})
    if not counts:
        return "n = 0"
    if counts[0] == counts[-1]:
        return f"n = {counts[0]}"
    return f"n = {counts[0]}–{counts[-1]}"


def grid(style: Style, panels: int, columns: int = 2, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels, at most ``columns`` a row; places without a panel stay empty."""
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
    """No ticks on this panel, for nothing is on its scale; panels that share it keep theirs."""
    axes.tick_params(
        which="both", left=False, bottom=False, labelleft=False, labelbottom=False
    )  # fmt: skip


def say(axes: Axes, reason: str) -> None:
    """Turn a panel into a sentence about why it has no data."""
    unscaled(axes)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#cccccc", linestyle=(0, (4, 3)))
    axes.text(
        0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes, color=MUTED, wrap=True
    )


def tick_labels(temperatures: Sequence[float], gap: float) -> dict[float, str]:
    """Which measured temperatures get a label, so that none is nearer than ``gap`` decades.

    The extremes first, then Table 1's, then the rest.
    """
    wanted = [min(temperatures), max(temperatures), 0.3, 0.1, 0.07, 0.7, 0.2, 0.5]
    chosen: list[float] = []
    for temperature in [*(t for t in wanted if t in temperatures), *temperatures]:
        if all(abs(math.log10(temperature / other)) >= gap for other in chosen):
            chosen.append(temperature)
    return {temperature: f"{temperature:g}" for temperature in sorted(chosen)}


def plain_log_ticks(axes: Axes, subs: Sequence[float]) -> None:
    """Plain numbers at these multiples of powers of ten on a logarithmic y axis."""
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=list(subs), numticks=12))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def title(axes: Axes, text: str, style: Style, columns: int = 2) -> None:
    """Title a panel, in smaller letters where it would not fit its share of the width."""
    room = style.width * 72 / columns * 0.82

    def fitting(line: str) -> float:
        return min(style.font_size, room / (0.66 * max(len(line), 1)))

    if fitting(text) < 0.8 * style.font_size:
        text = text.replace(", ", "\n")
    axes.set_title(text, fontsize=min(map(fitting, text.split("\n"))))


class TemperatureAxis:
    """A log axis of temperature, ticked at what was measured, with its limits 0+ and infinity.

    Log, because the temperatures of interest span more than a decade and the losses depend on s /
    tau. The limits stand beside the scale behind dotted lines, for no number of the axis is theirs.
    """

    def __init__(
        self, axes: Axes, temperatures: Sequence[float], free: Iterable[str], gap: float = 0.14
    ):
        """Set up the axis.

        Args:
            axes: Whose x axis it is.
            temperatures: All measured ones.
            free: Names of the losses without a temperature that will be drawn.
            gap: Least distance of two labels, in decades.
        """
        temperatures = sorted(temperatures) or [1.0]
        low, high = temperatures[0], temperatures[-1]
        # A step has the width of a tick's label, whatever the range is.
        step = max(1.45, (high / low) ** 0.17)
        axes.set_xscale("log")
        labels = tick_labels(temperatures, gap * max(1.0, math.log10(high / low)))
        places = dict(labels)
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
        axes.xaxis.set_major_locator(FixedLocator(list(places)))
        axes.set_xticks(list(places), list(places.values()))
        axes.xaxis.set_minor_locator(FixedLocator([t for t in temperatures if t not in labels]))
        axes.xaxis.set_minor_formatter(NullFormatter())
        if not labels:
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(left, right)
        axes.grid(visible=False, axis="x", which="both")
        self._step = step
        self._taken: dict[float, int] = {}

    def place(self, loss: str) -> float:
        """Where a loss without temperature stands; a second one at the same place moves aside."""
        slot = self._other
        if loss in AT_ZERO:
            slot = self._left
        elif loss in AT_INFINITY:
            slot = self._right
        before = self._taken.get(slot, 0)
        self._taken[slot] = before + 1
        shift = (0.0, 0.22, -0.22)[before % 3]
        return float(slot * self._step**shift)


@contextmanager
def kept_near_points(
    axes: Axes, x: Floats, y: Floats, half_x: Floats, half_y: Floats
) -> Iterator[None]:
    """Let what is drawn in the block widen the axes by a fifth of the points' own range.

    With two seeds a 95% interval is 12.7 standard errors long: drawn whole, one of them would
    press all points into a corner. Such an interval is cut by the panel's edge.
    """
    before = axes.dataLim.frozen()
    yield
    axes.dataLim.set(before)
    for side in (-1, 1):
        reached = [_reach(x, half_x, side), _reach(y, half_y, side)]
        axes.update_datalim(np.column_stack(np.broadcast_arrays(*reached)))
    axes.autoscale_view()


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
    """One legend for all panels, above them, never on data, in as many columns as there is room."""
    lengths = [len(str(handle.get_label())) for handle in handles]

    def width(columns: int) -> float:
        longest = [max(column) for column in np.array_split(lengths, columns)]
        return float(sum(0.48 * letters + 4.4 for letters in longest) * (style.font_size - 1))

    for columns in range(len(handles), 0, -1):
        if columns == 1 or width(columns) <= style.width * 72:
            figure.legend(
                handles=list(handles), loc="outside upper left", ncols=columns, columnspacing=1.0
            )
            break
