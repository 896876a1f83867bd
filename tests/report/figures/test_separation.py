"""Fig. 8: which similarities have bands."""

from __future__ import annotations

from drawn_figures import FAST, xs
from tausweep.report import figures
from tausweep.report.figures import StudyResults


def test_only_the_positive_the_nearest_and_the_tenth_negative_have_bands(
    complete: StudyResults,
) -> None:
    axes = figures.figure("fig8_separation", complete, FAST).axes[0]
    assert len(axes.collections) == 3
    assert len([line for line in axes.lines if len(xs(line)) == 3]) == 11
