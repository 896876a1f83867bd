"""Figures by class: what is measured is drawn, and what is missing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import frames
from drawn_figures import FAST, words_of
from tausweep.report import figures
from tausweep.report.figures import OF_CLASSES, StudyResults

GRID = [0.05, 0.07, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def measured(loss: str, temperature: float | None, seed: int) -> dict[str, Any]:
    edges = np.linspace(-1, 1, 41)
    negatives = np.full(40, 500)
    negatives[:5] = 3  # too few for a share
    rising = np.linspace(0, 1, 40)
    profile = {
        "edges": edges.tolist(), "negatives": negatives.tolist(),
        "same_class": (negatives * rising).astype(int).tolist(),
        "penalty": (rising / rising.sum()).tolist(),
        "same_class_penalty": (rising**2 / rising.sum()).tolist(),
    }  # fmt: skip
    return {
        "dataset": "cifar10", "loss": loss, "temperature": temperature, "seed": seed,
        "anchors": 9, "temperatures": GRID, "shares": [0.6 - 0.5 * t + 0.01 * seed for t in GRID],
        "by_chance": 0.1, "share": 0.3, "by_similarity": profile,
        "tolerance_by_class": [0.1, 0.3, None, 0.2],
    }  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    frame = frames.records(("cifar10",), temperatures=(0.07, 0.3, 1.0), seeds=(0, 1, 2))
    runs = [
        measured(loss, temperature, seed)
        for loss in ("contrastive", "hard_contrastive")
        for temperature in (0.07, 1.0)
        for seed in (0, 1, 2)
    ]
    classes = {"cifar10": ["cat", "dog", "elk", "fox"]}
    folder = tmp_path_factory.mktemp("classes")
    return StudyResults(folder, frame, classes=classes, by_class=runs)


def test_the_share_is_drawn_over_the_grid_for_every_measured_temperature(
    results: StudyResults,
) -> None:
    drawn = figures.figure("penalty_by_class", results, FAST)
    share, near, mass = (axes for part in drawn.subfigs for axes in part.axes)
    curves = [line for line in share.lines if np.size(line.get_xdata()) == len(GRID)]
    assert len(curves) == 2
    for curve in curves:
        expected = [0.6 - 0.5 * t + 0.01 for t in GRID]
        np.testing.assert_allclose(np.asarray(curve.get_ydata(), float), expected)
    dots = [line for line in share.lines if line.get_marker() == "o"]
    assert [float(np.asarray(dot.get_xdata(), float)[0]) for dot in dots] == [0.07, 1.0]
    # Bins of too few negatives have no share; all of the penalty is drawn.
    shares = [np.size(line.get_xdata()) for line in near.lines]
    assert {size for size in shares if size > 2} == {35}
    assert len(mass.patches) == 2
    assert "trained at τ = 0.07 (n = 3)" in words_of(drawn)
    assert "by chance" in words_of(drawn)


def test_every_class_has_a_line_and_the_extremes_have_names(results: StudyResults) -> None:
    drawn = figures.figure("tolerance_by_class", results, FAST)
    assert len(drawn.axes) == 2
    for axes in drawn.axes:
        thin = [line for line in axes.lines if line.get_linewidth() == 0.8]
        assert len(thin) == 4
        assert {text.get_text() for text in axes.texts} == {"cat", "dog"}
    assert "hard contrastive" in words_of(drawn)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_study_that_was_not_measured_says_what_measures_it(
    name: str, results: StudyResults
) -> None:
    absent: tuple[list[dict[str, Any]] | None, ...] = (None, [])
    for nothing in absent:
        shown = words_of(figures.figure(name, replace(results, by_class=nothing), FAST))
        assert "no measures by class" in shown
        assert "`tausweep classes` makes them" in shown


@pytest.mark.parametrize("name", OF_CLASSES)
def test_it_has_a_caption_and_repeats_to_the_byte(
    name: str, results: StudyResults, tmp_path: Path
) -> None:
    assert figures.FIGURES[name].title in figures.caption(name, results)
    paths = [tmp_path / f"{i}.svg" for i in range(2)]
    for path in paths:
        figures.draw(name, results, [path], FAST)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_study_does_not_ask_for_them_by_itself() -> None:
    assert not {*OF_CLASSES} & {*figures.NAMES}
    assert {*OF_CLASSES} < {*figures.FIGURES}
