"""The style of all figures: sizes, colour and marker of each loss, colour scale of temperatures.

Colours are Okabe & Ito's, which colour-blind readers can tell apart. Each loss also has its own
marker and line, for grey prints. Temperatures use viridis, whose lightness rises evenly, without
its palest end.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tausweep.results import labels
from tausweep.study import FigureSettings, parse_settings


class Style(FigureSettings):
    """A study's ``figures`` section, for matplotlib."""

    @staticmethod
    def of(changes: Mapping[str, Any] | None) -> Style:
        """The default style with some values changed.

        Raises:
            StudyError: A name is unknown or a value is not allowed.
        """
        return parse_settings(Style, dict(changes or {}))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Apply this style in matplotlib, ignoring the user's own settings."""
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            for name, value in self.rc().items():
                matplotlib.rcParams[name] = value
            yield

    def rc(self) -> dict[Any, Any]:
        """Matplotlib's settings for this style, over its defaults."""
        small = self.font_size - 1
        return {
            "font.family": ["sans-serif"],
            "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica", "sans-serif"],
            "font.size": self.font_size,
            "axes.titlesize": self.font_size,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": self.font_size,
            "xtick.labelsize": small,
            "ytick.labelsize": small,
            "legend.fontsize": small,
            "legend.frameon": False,
            "legend.handlelength": 2.1,
            "legend.handletextpad": 0.6,
            "lines.linewidth": self.line_width,
            "lines.markersize": self.marker_size,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.7,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e6e6e6",
            "grid.linewidth": 0.6,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "savefig.facecolor": "white",
            "savefig.dpi": self.dpi,
            # Text stays text (searchable, small files), and ids are the same in every run.
            "svg.fonttype": "none",
            "svg.hashsalt": "tausweep",
            "pdf.fonttype": 42,
        }


INK = "#333333"
MUTED = "#6b6b6b"


@dataclasses.dataclass(frozen=True)
class LossStyle:
    """Colour, marker and line of one loss, and its name in print."""

    colour: str
    marker: str
    line: Any
    label: str


LOSS_STYLES: dict[str, tuple[str, str, Any]] = {
    "contrastive": ("#0072B2", "o", "-"),
    "hard_contrastive": ("#D55E00", "s", (0, (5, 1.5))),
    "simple": ("#009E73", "^", ":"),
    "hard_simple": ("#CC79A7", "D", (0, (4, 1.5, 1, 1.5))),
    "nearest_negative": ("#000000", "v", (0, (1, 1))),
}
_OTHERS: tuple[tuple[str, str, Any], ...] = (
    ("#E69F00", "P", (0, (3, 1, 1, 1))),
    ("#56B4E9", "X", (0, (6, 2))),
    ("#8C564B", "p", (0, (2, 2))),
    ("#7F7F7F", "h", (0, (3, 1, 1, 1, 1, 1))),
    ("#5D3A9B", "<", (0, (5, 1, 1, 1, 1, 1))),
    ("#A6761D", ">", (0, (1, 2))),
    ("#B2182B", "*", (0, (7, 2, 1, 2))),
    ("#1B7837", "d", (0, (2, 1))),
    ("#E7298A", "H", (0, (8, 1.5))),
    ("#01665E", "8", (0, (4, 2, 1, 2, 1, 2))),
)


def loss_style(loss: str, others: Iterable[str] = ()) -> LossStyle:
    """The style of a loss; a plug-in's depends on its place by name among a study's ``others``."""
    if loss in LOSS_STYLES:
        return LossStyle(*LOSS_STYLES[loss], labels.loss(loss))
    unknown = sorted({loss, *others} - LOSS_STYLES.keys())
    return LossStyle(*_OTHERS[unknown.index(loss) % len(_OTHERS)], labels.loss(loss))


CLASS_COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
"""Ten colours that most people can tell apart (Petroff 2021, arXiv 2107.02270)."""


def temperature_colour(temperature: float, temperatures: Sequence[float]) -> Any:
    """Colour of a temperature among others: dark is low, light is high, even on a log scale."""
    from matplotlib import colormaps

    low, high = min(temperatures), max(temperatures)
    place = 0.0 if low == high else math.log(temperature / low) / math.log(high / low)
    return colormaps["viridis"](0.88 * place)


TEMPERATURE_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
"""Line styles by a temperature's place in a figure, so that neighbours differ in grey prints."""
