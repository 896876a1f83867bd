"""Measures against the size of the hard set, of studies that have several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import frames
import tiny_run
from drawn_figures import FAST, words_of
from tausweep.report import figures
from tausweep.report.figures import StudyResults, hard_set

SIZES = {"hard_contrastive": 0.08, "hardest_1": 0.01, "few": 0.001, "hardest_30": 0.3}


def records() -> pd.DataFrame:
    """Accuracy is 50 + 10 alpha + tau + seed, of all negatives 70; one cell diverged."""
    frames_of = []
    for loss, alpha in {**SIZES, "contrastive": None}.items():
        frame = frames.records(
            ("cifar10",), temperatures=(0.2, 1.0), losses=("contrastive",), seeds=(0, 1, 2)
        )
        frame = frame.assign(loss=loss, alpha=np.nan if alpha is None else alpha)
        accuracy = 70.0 if alpha is None else 50 + 10 * alpha
        frame["linear_accuracy"] = accuracy + frame["temperature"] + frame["seed"]
        frames_of.append(frame)
    whole = pd.concat(frames_of, ignore_index=True)
    return frames.mark(whole, "diverged", loss="few", temperature=1.0)


@pytest.fixture
def results(tmp_path: Path) -> StudyResults:
    return StudyResults(tmp_path, records(), hard_losses=tuple(SIZES))


def test_a_line_has_the_cells_by_size_and_all_negatives_last(results: StudyResults) -> None:
    found = hard_set.line(results, "cifar10", 0.2, "linear_accuracy")
    assert [point.percent for point in found] == pytest.approx([0.1, 1, 8, 30, 100])
    means = [point.cell.summary.mean for point in found]
    assert means == pytest.approx([51.21, 51.3, 52, 54.2, 71.2])
    # A cell whose runs all diverged has no size.
    assert len(hard_set.line(results, "cifar10", 1.0, "linear_accuracy")) == 4


def test_every_measure_has_a_line_for_each_temperature(results: StudyResults) -> None:
    drawn = figures.figure("hard_set_size", results, FAST)
    assert [axes.get_ylabel() for axes in drawn.axes] == [*hard_set.Y_LABELS.values()]
    for axes in drawn.axes:
        lines = {np.size(line.get_xdata()) for line in axes.lines}
        assert {5, 4} <= lines
    shown = words_of(drawn)
    assert "τ = 0.2" in shown
    assert "enough in Cai et al. 2020: 5%" in shown
    assert "(n = 3)" in shown
    assert "Diverged: CIFAR10 few at 1.0 (3 seeds)" in figures.caption("hard_set_size", results)


def test_two_sizes_are_no_curve(tmp_path: Path) -> None:
    few = StudyResults(tmp_path, records(), hard_losses=("hardest_1", "few"))
    assert "no run of several sizes" in words_of(figures.figure("hard_set_size", few, FAST))


def test_only_a_study_of_three_sizes_or_more_asks_for_it() -> None:
    def losses(*alphas: float) -> dict[str, object]:
        named = {f"hardest_{i}": alpha for i, alpha in enumerate(alphas)}
        return {
            name: {"kind": "hard_contrastive", "temperature": 0.2, "alpha": alpha}
            for name, alpha in named.items()
        }

    paper = {"hard_contrastive": {"temperature": 0.2, "negatives": 9}}
    three = tiny_run.study(losses={**losses(0.1, 0.2), **paper})
    assert figures.hard_losses(three) == ("hardest_0", "hardest_1", "hard_contrastive")
    assert "hard_set_size" in figures.asked(three)
    assert "hard_set_size" not in figures.asked(tiny_run.study(losses=losses(0.1, 0.2)))
    # The same size twice is one.
    assert "hard_set_size" not in figures.asked(tiny_run.study(losses=losses(0.1, 0.2, 0.2)))
