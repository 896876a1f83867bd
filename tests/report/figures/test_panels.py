"""What figures share: labels of temperature and intervals near their points."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

import frames
from drawn_figures import FAST, xs, ys
from tausweep.report import figures
from tausweep.report.figures import StudyResults, panels
from tausweep.report.figures.style import Style
from tausweep.results.cells import printed

AUTHORS = (0.05, 0.07, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@pytest.mark.parametrize("datasets", [("cifar10",), ("cifar10", "cifar100")])
@pytest.mark.parametrize("name", ["fig4_uniformity", "fig8_separation"])
def test_every_temperature_has_its_label_and_none_covers_another(
    name: str, datasets: tuple[str, ...], tmp_path: Path
) -> None:
    drawn = figures.figure(name, StudyResults(tmp_path, frames.records(datasets, AUTHORS)), FAST)
    drawn.draw_without_rendering()
    labels = drawn.axes[0].get_xticklabels()
    assert {printed(t) for t in AUTHORS} <= {label.get_text().strip() for label in labels}
    rows: dict[int, list[Bbox]] = {}
    for label in labels:
        rows.setdefault(label.get_text().count("\n"), []).append(label.get_window_extent())
    assert len(rows) > 1
    for boxes in rows.values():
        assert not [1 for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


def test_an_interval_widens_its_panel_by_a_fifth_of_the_points_range_at_most() -> None:
    axes = Figure().subplots()
    axes.margins(0)
    x, y = np.array([1.0, 2.0]), np.array([0.0, 10.0])
    nothing, half = np.zeros(2), np.array([1.0, 500.0])
    axes.plot(x, y)
    intervals = panels.Intervals()
    with intervals.near_points(axes, "k", x, y, nothing, half):
        axes.errorbar(x, y, yerr=half, linestyle="none")
    assert axes.get_ylim() == pytest.approx((-2.0, 12.0))
    before = len(axes.lines)
    assert intervals.mark_cut()
    marks = [(xs(line)[0], ys(line)[0]) for line in axes.lines[before:]]
    assert marks == [(2.0, 1.0), (2.0, 0.0)]
    assert axes.get_ylim() == pytest.approx((-2.0, 12.0))


def test_an_interval_that_fits_is_kept_whole_and_not_marked() -> None:
    axes = Figure().subplots()
    x, y = np.array([1.0, 2.0]), np.array([0.0, 10.0])
    intervals = panels.Intervals()
    axes.plot(x, y)
    with intervals.near_points(axes, "k", x, y, np.zeros(2), np.array([1.0, np.nan])):
        pass
    assert axes.get_ylim()[0] <= -1.0
    before = len(axes.lines)
    assert not intervals.mark_cut()
    assert len(axes.lines) == before


def test_a_long_legend_takes_no_height_from_the_panels() -> None:
    style, heights = Style.of(FAST), {}
    for count in (6, 20):
        with style.applied():
            figure, (axes,) = panels.grid(style, 1)
            names = [f"a loss with a long name {i} (n = 3)" for i in range(count)]
            panels.legend(figure, style, [panels.handle(label=name) for name in names])
            figure.draw_without_rendering()
        heights[count] = axes.get_window_extent().height
    assert heights[20] >= 0.95 * heights[6]
