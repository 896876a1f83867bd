"""Fig. 3: the formulas of the relative penalty, and the banks beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from drawn_figures import FAST, xs, ys
from tausweep.report import figures
from tausweep.report.figures import StudyResults, penalty
from tausweep.results.cells import printed
from tausweep.storage.layout import File


def test_a_temperature_has_one_colour_in_all_panels_of_fig_3(complete: StudyResults) -> None:
    formula, *banks = figures.figure("fig3_penalty", complete, FAST).axes
    above = {
        line.get_label(): (line.get_color(), line.get_linestyle())
        for line in formula.lines
        if str(line.get_label()).startswith("τ")
    }
    assert len({*above.values()}) == len(above)
    for panel in banks:
        own = [line for line in panel.lines if line.get_marker() == "o"]
        assert own
        for dot in own:
            colour, _ = above[f"τ = {printed(xs(dot)[0])}"]
            assert to_hex(dot.get_color()) == to_hex(colour)


@pytest.mark.parametrize("tau", [0.05, 0.2, 1.0, 30.0])
def test_the_penaltys_formulas_agree_with_sums_over_many_negatives(tau: float) -> None:
    s = np.linspace(-1, 1, 400_001)[1::2]
    r = np.exp((s - 1) / tau)
    r /= r.sum()
    np.testing.assert_allclose(penalty.relative_penalty(s, tau), len(s) * r, rtol=1e-6)
    entropy = -(r * np.log(np.where(r > 0, r, 1.0))).sum()
    deficit = penalty.entropy_deficit(np.array(tau))
    assert float(deficit) == pytest.approx(entropy - math.log(len(s)), abs=1e-6)
    width = float(penalty.interval(np.array(tau)))
    assert r[s >= 1 - width].sum() == pytest.approx(0.9, abs=1e-3)


def test_the_penaltys_entropy_rises_with_temperature_towards_equal_shares() -> None:
    grid = np.geomspace(0.01, 100, 60)
    deficit = penalty.entropy_deficit(grid)
    assert (np.diff(deficit) > 0).all()
    assert -1e-4 < deficit[-1] < 0


def test_the_banks_of_the_runs_are_drawn_beside_the_formula(complete: StudyResults) -> None:
    drawn = figures.figure("fig3_penalty", complete, FAST)
    entropy = next(axes for axes in drawn.axes if axes.get_title(loc="left") == "Entropy of r")
    blocks = complete.blocks("cifar10", "contrastive", 0.3, File.PENALTY)
    wanted = np.mean([np.array(b["entropy"]) - math.log(b["bank"] - 1) for b in blocks], axis=0)
    assert any(
        len(ys(line)) == len(wanted) and np.allclose(ys(line), wanted) for line in entropy.lines
    )
