"""Figures, drawn fast, and the lines and words in them."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from tausweep.report import figures
from tausweep.report.figures import StudyResults

FAST = {"dpi": 40}


def lines(name: str, of: StudyResults, panel: int = 0) -> list[Line2D]:
    return list(figures.figure(name, of, FAST).axes[panel].lines)


def texts(name: str, of: StudyResults) -> str:
    """All words of a figure."""
    return words_of(figures.figure(name, of, FAST))


def xs(line: Line2D) -> NDArray[np.float64]:
    """A line's values of x."""
    return np.asarray(line.get_xdata(), dtype=np.float64)


def ys(line: Line2D) -> NDArray[np.float64]:
    """A line's values of y."""
    return np.asarray(line.get_ydata(), dtype=np.float64)


def words_of(drawn: Figure) -> str:
    return "\n".join(t.get_text() for t in drawn.findobj(Text))


def degenerate(kind: str, n: int) -> torch.Tensor:
    """Unit vectors, n x 16, of a run that has gone wrong."""
    draws = torch.Generator().manual_seed(3)
    one = torch.randn(16, generator=draws)
    sign = {
        "identical": torch.ones(n),
        "two points": 1 - 2.0 * (torch.arange(n) % 2),
        "one outlier": 1 - 2.0 * (torch.arange(n) == 0),
        "rank 1": torch.randn(n, generator=draws),
        "rounding": torch.ones(n),
    }[kind]
    x = sign[:, None] * one
    if kind == "rounding":
        x = x + 1e-7 * torch.randn(n, 16, generator=draws)
    return torch.nn.functional.normalize(x, dim=1)
