"""A measure against temperature: means, intervals, published stars, gaps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import frames
from drawn_figures import FAST, lines, texts, words_of, xs, ys
from tausweep.report import figures
from tausweep.report.figures import StudyResults
from tausweep.results import intervals, published
from tausweep.study import KINDS, RELATED


def single(tmp_path: Path) -> StudyResults:
    frame = frames.records(("digits",), temperatures=(0.3,), seeds=(0,))
    return StudyResults(tmp_path, frame)


def test_a_line_is_the_mean_over_seeds_and_its_band_the_interval(tmp_path: Path) -> None:
    of = StudyResults(tmp_path, frames.records(("cifar10",), (0.07, 0.3, 1.0)))
    axes = figures.figure("fig4_uniformity", of, FAST).axes[0]
    rows = of.records
    rows = rows[(rows["dataset"] == "cifar10") & (rows["loss"] == "contrastive")]
    wanted = rows.groupby("temperature")["uniformity"].apply(lambda s: np.float64(s.mean()))
    drawn = next(line for line in axes.lines if line.get_linestyle() == "-")
    np.testing.assert_allclose(xs(drawn), wanted.index)
    np.testing.assert_allclose(ys(drawn), wanted.to_numpy())
    band = axes.collections[0].get_paths()[0].get_extents()
    widths = [intervals.summary(s).half_width for _, s in rows.groupby("temperature")["uniformity"]]
    assert band.y1 == pytest.approx(max(m + w for m, w in zip(wanted, widths, strict=True)))
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("name", ["fig4_uniformity", "fig5_tolerance", "fig9_accuracy", "dilemma"])
def test_a_loss_that_is_not_the_papers_has_its_line(name: str, tmp_path: Path) -> None:
    frame = frames.records(("digits",), temperatures=(0.1, 0.3, 1.0))
    tempered = frame[frame["loss"] == "contrastive"]
    names = ("mine", *(loss for loss in RELATED if KINDS[loss].temperature))
    others = [tempered.assign(loss=loss) for loss in names]
    of = StudyResults(tmp_path, pd.concat([frame, *others], ignore_index=True))
    drawn = figures.figure(name, of, FAST)
    looks = [of.look(loss) for loss in names]
    assert len({(look.colour, look.marker) for look in looks}) == len(names)
    for look in looks:
        assert look.label in words_of(drawn)
        assert [line for line in drawn.axes[0].lines if line.get_color() == look.colour]


def test_the_figures_of_the_hard_losses_have_no_others(tmp_path: Path) -> None:
    frame = frames.records(("digits",), temperatures=(0.1, 1.0))
    other = frame[frame["loss"] == "contrastive"].assign(loss="mine")
    of = StudyResults(tmp_path, pd.concat([frame, other], ignore_index=True))
    assert "mine" not in words_of(figures.figure("fig6_uniformity_hard", of, FAST))


def test_a_miniatures_accuracies_keep_their_axis_and_their_baselines(tmp_path: Path) -> None:
    frame = frames.records(("cifar10",), (0.07, 0.3, 1.0))
    ours = frame.assign(linear_accuracy=frame["linear_accuracy"] / 2)
    base = ours[ours["loss"] == "simple"].assign(loss="untrained", linear_accuracy=35.0)
    far = base.assign(loss="raw_pixels", linear_accuracy=20.0)
    of = StudyResults(tmp_path, pd.concat([ours, base, far]), published.records(), "16 pixels")
    drawn = figures.figure("fig9_accuracy", of, FAST)
    own, theirs = drawn.axes
    assert [a.get_title(loc="left") for a in drawn.axes] == [
        "CIFAR10, this study",
        "CIFAR10, published",
    ]
    assert 30 < own.get_ylim()[0] < own.get_ylim()[1] < 45
    assert not [line for line in own.lines if line.get_marker() == "*"]
    stars = [y for line in theirs.lines if line.get_marker() == "*" for y in ys(line)]
    assert min(stars) > 70
    assert 35.0 in [ys(line)[0] for line in own.lines if len({*ys(line)}) == 1]
    assert "raw pixels: 20.0 (n = 3)" in words_of(drawn)
    full = StudyResults(tmp_path, ours, published.records())
    assert len(figures.figure("fig9_accuracy", full, FAST).axes) == 1


def test_a_single_seed_has_no_band_and_the_legend_says_n(tmp_path: Path) -> None:
    of = single(tmp_path)
    drawn = figures.figure("fig5_tolerance", of, FAST)
    bands = [
        c
        for c in drawn.axes[0].collections
        if len(c.get_paths()) and np.size(c.get_paths()[0].vertices)
    ]
    assert not [
        b
        for b in bands
        if np.isfinite(b.get_paths()[0].vertices).all()
        and b.get_paths()[0].get_extents().height > 0
    ]
    assert "contrastive (n = 1)" in texts("fig5_tolerance", of)
    assert "Single runs (n = 1): no intervals." in figures.caption("fig5_tolerance", of)


def test_published_points_are_overlaid_as_stars_and_labelled(complete: StudyResults) -> None:
    stars = [line for line in lines("fig9_accuracy", complete) if line.get_marker() == "*"]
    found = {
        (round(float(x), 3), round(float(y), 2))
        for star in stars
        for x, y in zip(xs(star), ys(star), strict=True)
    }
    sweep = published.records()
    sweep = sweep[(sweep["dataset"] == "cifar10") & (sweep["loss"] == "contrastive")]
    assert {*zip(sweep["temperature"], sweep["linear_accuracy"], strict=True)} <= found
    assert "published (n = 1)" in texts("fig9_accuracy", complete)


def test_a_data_set_that_nobody_published_has_no_stars(tmp_path: Path) -> None:
    of = StudyResults(tmp_path, single(tmp_path).records, published.records())
    assert not [line for line in lines("fig9_accuracy", of) if line.get_marker() == "*"]
    assert "published" not in texts("fig9_accuracy", of)


def test_diverged_and_missing_cells_are_marked(broken: StudyResults) -> None:
    drawn = lines("fig4_uniformity", broken)
    crosses = [line for line in drawn if line.get_marker() == "x"]
    assert [float(xs(line)[0]) for line in crosses] == [0.07]
    dashes = [float(xs(line)[0]) for line in drawn if line.get_marker() == "_"]
    assert 0.3 in dashes
    shown = texts("fig4_uniformity", broken)
    assert "diverged" in shown
    assert "missing or failed" in shown
    assert "no complete run" in shown
    caption = figures.caption("fig4_uniformity", broken)
    assert "Diverged: CIFAR100 contrastive at 0.07 (2 seeds)" in caption
    assert "Missing: CIFAR100 contrastive at 0.3 (2 seeds)." in caption
    assert "Scaled down: 64 images." in caption


def test_a_gap_is_not_bridged(broken: StudyResults) -> None:
    contrastive = next(line for line in lines("fig4_uniformity", broken) if len(xs(line)) == 3)
    assert [math.isnan(y) for y in ys(contrastive)] == [True, True, False]


def test_losses_without_temperature_stand_outside_the_scale(complete: StudyResults) -> None:
    axes = figures.figure("fig4_uniformity", complete, FAST).axes[0]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    # 0.7 is among the published temperatures only.
    assert [tick.strip() for tick in ticks] == ["0⁺", "0.07", "0.3", "0.7", "1.0", "∞"]
    single_points = [xs(line)[0] for line in axes.lines if len(xs(line)) == 1]
    assert max(single_points) > 1.0
    assert min(single_points) < 0.07


def test_a_column_that_the_records_lack_leaves_an_empty_panel(tmp_path: Path) -> None:
    frame = single(tmp_path).records.drop(columns="uniformity")
    assert "no complete run" in texts(
        "fig4_uniformity", StudyResults(tmp_path, pd.DataFrame(frame))
    )


def test_stars_are_hollow_and_below_what_was_measured(complete: StudyResults) -> None:
    drawn = lines("fig9_accuracy", complete)
    stars = [line for line in drawn if line.get_marker() == "*"]
    measured = [line for line in drawn if line.get_marker() in ("o", "s", "^", "D", "v")]
    assert stars
    assert all(star.get_markerfacecolor() == "none" for star in stars)
    assert max(s.get_zorder() for s in stars) < min(m.get_zorder() for m in measured)
