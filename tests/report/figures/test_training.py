"""Training curves."""

from __future__ import annotations

import numpy as np

from drawn_figures import lines, texts, ys
from tausweep.report.figures import StudyResults


def test_the_curve_of_a_diverged_run_ends_where_its_loss_did(broken: StudyResults) -> None:
    crosses = [line for line in lines("training", broken) if line.get_marker() == "x"]
    assert crosses
    assert all(np.isfinite(ys(line)).all() for line in crosses)
    assert "diverged here" in texts("training", broken)
