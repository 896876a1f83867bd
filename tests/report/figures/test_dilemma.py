"""The dilemma in one picture: its colours and its best temperatures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import frames
from drawn_figures import FAST, texts
from tausweep.report import figures
from tausweep.report.figures import StudyResults
from tausweep.results import published


def test_the_colour_scale_of_the_dilemma_spans_our_own_accuracies(tmp_path: Path) -> None:
    frame = frames.records(("cifar10",), (0.07, 0.3, 1.0))
    ours = frame.assign(linear_accuracy=frame["linear_accuracy"] / 2)
    paths = ours[ours["loss"].isin(["contrastive", "hard_contrastive"])]
    means = paths.groupby(["loss", "temperature"])["linear_accuracy"].mean()
    for scaled_down, fills in (("16 pixels", 0), (None, 1)):
        of = StudyResults(tmp_path, ours, published.records(), scaled_down)
        panel, bar = figures.figure("dilemma", of, FAST).axes
        dots = panel.collections[-1]
        assert (dots.norm.vmin, dots.norm.vmax) == pytest.approx((means.min(), means.max()))
        assert bar.get_ylim() == pytest.approx((means.min(), means.max()))
        stars = [c for c in panel.collections if c.get_zorder() == 3 and c.get_array() is not None]
        filled = [
            np.isfinite(np.ma.filled(np.ma.asarray(c.get_array()), np.nan)).any() for c in stars
        ]
        assert any(filled) == bool(fills)
        assert "spaced as −log(4 − u)" in panel.get_xlabel()


def test_the_dilemma_names_the_best_temperature_of_each_path(complete: StudyResults) -> None:
    frame = complete.records.copy()
    chosen = (frame["loss"] == "contrastive") & (frame["temperature"] == 1.0)
    frame.loc[chosen, "linear_accuracy"] = 99.0
    of = StudyResults(complete.folder, frame)
    assert texts("dilemma", of).count("τ = 1.0\n") >= 2
