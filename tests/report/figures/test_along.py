"""Measures along training."""

from __future__ import annotations

import dataclasses

import numpy as np

from drawn_figures import FAST, xs, ys
from tausweep.report import figures
from tausweep.report.figures import StudyResults


def test_measures_along_training_are_means_over_seeds_at_their_epochs(
    complete: StudyResults,
) -> None:
    assert complete.along is not None
    drawn = figures.figure("along", complete, FAST)
    # Two datasets of four rows and three columns; the second row is uniformity, contrastive first.
    panel = drawn.axes[3]
    rows = complete.along.query("dataset == 'cifar10' and loss == 'contrastive'")
    curves = [line for line in panel.lines if line.get_linestyle() != "None"]
    assert len(curves) == 3
    for line, (_, cell) in zip(curves, rows.groupby("temperature"), strict=True):
        mean = cell.groupby("epoch")["uniformity"].mean()
        assert list(xs(line)) == list(mean.index) == [50, 100, 200]
        np.testing.assert_allclose(ys(line), mean)
    # Every seed is a point, and no panel cuts what it shows.
    points = [line for line in panel.lines if line.get_linestyle() == "None"]
    assert sorted(y for line in points for y in ys(line)) == sorted(rows["uniformity"])
    for axes in drawn.axes:
        for line in axes.lines:
            low, high = axes.get_ylim()
            assert all(low <= y <= high for y in ys(line))


def test_epochs_that_were_not_kept_are_counted_in_the_caption(complete: StudyResults) -> None:
    assert complete.along is not None
    assert "Not kept" not in figures.caption("along", complete)
    fewer = complete.along[(complete.along["share"] != 0.5) | (complete.along["seed"] == 0)]
    of = dataclasses.replace(complete, along=fewer)
    lost = len(complete.along) - len(fewer)
    assert f"(number of runs): 0.5 of the epochs ({lost})." in figures.caption("along", of)
