"""Figures: they always come out, repeat to the byte, and show what is there and what is not."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from safetensors.numpy import save_file

import frames
from tausweep.measures import geometry
from tausweep.measures import penalty as penalties
from tausweep.measures import separation as measures
from tausweep.report import figures, tables
from tausweep.report.figures import NAMES, StudyResults, panels, penalty, results, tsne
from tausweep.report.figures.style import LOSS_STYLES, Style, loss_style
from tausweep.results import intervals, published
from tausweep.results.cells import printed
from tausweep.study import StudyError, parse

FAST = {"dpi": 40}
PAPERS = {"fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9"}


SWEEP_GAPS = ("diverged", "missing or failed", "no complete run")
GAPS = {
    "dilemma": ("†", "a run diverged", "contrastive (n = 2)", "simple (n = 1)"),
    "fig2_tsne": ("Every run diverged.", "No complete run"),
    "fig3_penalty": ("diverged: τ = 0.07", "no complete run: τ = 0.3", "τ = 1.0 (n = 2)"),
    "fig4_uniformity": ("simple (n = 1)", *SWEEP_GAPS),
    "fig5_tolerance": ("simple (n = 1)", *SWEEP_GAPS),
    "fig6_uniformity_hard": ("hard contrastive (n = 1–2)", *SWEEP_GAPS),
    "fig7_tolerance_hard": ("hard contrastive (n = 1–2)", *SWEEP_GAPS),
    "fig8_separation": ("diverged", "no complete run", "(n = 1–2)", "1.0†"),
    "fig9_accuracy": ("hard contrastive (n = 1–2)", *SWEEP_GAPS),
    "effective_dimension": ("hard contrastive (n = 1–2)", *SWEEP_GAPS),
    "spectra": (
        "diverged: τ = 0.07", "no complete run: τ = 0.3", "† τ = 1.0: a run diverged", "n = 1–2",
    ),
    "training": (
        "diverged here", "diverged: τ = 0.07", "no complete run: τ = 0.3", "n = 1–2",
        "no history yet",
    ),
    "along": ("diverged: τ = 0.07", "no complete run: τ = 0.3", "n = 1–2"),
}  # fmt: skip
"""What a figure itself says about the records in ``broken``."""


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Two datasets, three temperatures, two seeds, every file."""
    frame = frames.records(temperatures=(0.07, 0.3, 1.0), seeds=(0, 1))
    folder = tmp_path_factory.mktemp("complete")
    frames.run_folders(folder, frame, images=60, bank=80, epochs=10)
    return StudyResults(folder, frame, published.records(), along=frames.along(frame))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Diverged, missing and failed cells, a dataset without any complete run, single seeds."""
    frame = frames.records(("cifar100", "my_own"), temperatures=(0.07, 0.3, 1.0), seeds=(0, 1))
    frame = frames.mark(frame, "diverged", loss="contrastive", temperature=0.07)
    frame = frames.mark(frame, "diverged", loss="hard_contrastive", temperature=1.0, seed=1)
    frame = frames.mark(frame, "missing", dataset="cifar100", loss="contrastive", temperature=0.3)
    frame = frames.mark(frame, "failed", loss="simple", seed=0)
    frame = frames.mark(frame, "failed", dataset="my_own")
    folder = tmp_path_factory.mktemp("broken")
    frames.run_folders(folder, frame, images=60, bank=80, epochs=10)
    along = frames.along(frame)
    return StudyResults(folder, frame, published.records(), "64 images", along=along)


def single(tmp_path: Path) -> StudyResults:
    frame = frames.records(("digits",), temperatures=(0.3,), seeds=(0,))
    return StudyResults(tmp_path, frame)


def lines(name: str, of: StudyResults, panel: int = 0) -> list:
    return figures.figure(name, of, FAST).axes[panel].lines


def texts(name: str, of: StudyResults) -> str:
    """All words of a figure."""
    return words_of(figures.figure(name, of, FAST))


def words_of(drawn: Figure) -> str:
    return "\n".join(t.get_text() for t in drawn.findobj(Text))


def test_every_figure_of_the_paper_and_the_four_beyond_are_there() -> None:
    assert {name.split("_")[0] for name in NAMES if name.startswith("fig")} == PAPERS
    assert {"dilemma", "spectra", "effective_dimension", "training"} <= {*NAMES}


def test_reading_the_names_imports_neither_torch_nor_matplotlib_nor_pandas() -> None:
    code = (
        "import sys; from tausweep.report.figures import NAMES, FIGURES;"
        "assert not {'torch', 'matplotlib', 'pandas', 'sklearn', 'numpy'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_comes_out_of_complete_records(
    name: str, complete: StudyResults, tmp_path: Path
) -> None:
    drawn = figures.figure(name, complete, FAST)
    drawn.savefig(tmp_path / "x.png", dpi=40)
    with Image.open(tmp_path / "x.png") as image:
        assert len(np.unique(np.asarray(image.convert("L")))) > 10
    shown = words_of(drawn).lower()
    assert not any(word in shown for word in ("no complete", "have no run", "no history"))


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_comes_out_of_broken_records(
    name: str, broken: StudyResults, tmp_path: Path
) -> None:
    drawn = figures.figure(name, broken, FAST)
    drawn.draw_without_rendering()
    shown = words_of(drawn)
    for words in GAPS[name]:
        assert words in shown, words
    caption = figures.caption(name, broken)
    assert "Diverged: CIFAR100 contrastive at 0.07 (2 seeds)" in caption
    assert "Missing: CIFAR100 contrastive at 0.3 (2 seeds)." in caption
    assert "Failed: CIFAR100 simple (1 seed)" in caption
    assert "some runs diverged; the mean is over the survivors" in caption
    if name == NAMES[0]:
        figures.draw(name, broken, [tmp_path / "x.svg"], FAST)
        assert (tmp_path / "x.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_comes_out_of_nothing_and_says_so(name: str, tmp_path: Path) -> None:
    nothing = StudyResults(tmp_path / "absent", frames.records().iloc[:0])
    shown = texts(name, nothing)
    assert "have no" in shown or "no bank is" in shown
    assert (
        "No run is complete." in figures.caption(name, nothing) or not figures.FIGURES[name].seeds
    )


@pytest.mark.parametrize("name", [name for name in NAMES if figures.FIGURES[name].needs])
def test_records_without_run_folders_leave_labelled_panels(
    name: str, complete: StudyResults, tmp_path: Path
) -> None:
    bare = StudyResults(tmp_path / "absent", complete.records)
    shown = texts(name, bare).lower()
    assert any(word in shown for word in ("no complete run", "no history yet", "no bank is"))


@pytest.mark.parametrize("name", ["fig5_tolerance", "fig2_tsne"])
@pytest.mark.parametrize("kind", figures.FORMATS)
def test_the_same_results_give_the_same_bytes(
    name: str, kind: str, complete: StudyResults, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.{kind}" for i in range(2)]
    for path in paths:
        figures.draw(name, complete, [path], FAST)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert not any(word in first for word in (b"CreationDate", b"<dc:date", b"Software"))


def test_bytes_repeat_in_another_process_and_ignore_a_users_matplotlib_settings(
    complete: StudyResults, tmp_path: Path
) -> None:
    here = tmp_path / "here.svg"
    figures.draw("fig9_accuracy", complete, [here])
    complete.records.to_csv(tmp_path / "records.csv", index=False)
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\n")
    code = (
        "import pandas, pathlib; from tausweep.report import figures;"
        "from tausweep.results import published;"
        "records = pandas.read_csv('records.csv');"
        "results = figures.StudyResults(pathlib.Path('x'), records, published.records());"
        "figures.draw('fig9_accuracy', results, [pathlib.Path('there.svg')])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert here.read_bytes() == (tmp_path / "there.svg").read_bytes()


def test_a_line_is_the_mean_over_seeds_and_its_band_the_interval(tmp_path: Path) -> None:
    of = StudyResults(tmp_path, frames.records(("cifar10",), (0.07, 0.3, 1.0)))
    axes = figures.figure("fig4_uniformity", of, FAST).axes[0]
    rows = of.records
    rows = rows[(rows["dataset"] == "cifar10") & (rows["loss"] == "contrastive")]
    wanted = rows.groupby("temperature")["uniformity"].apply(lambda s: np.float64(s.mean()))
    drawn = next(line for line in axes.lines if line.get_linestyle() == "-")
    np.testing.assert_allclose(drawn.get_xdata(), wanted.index)
    np.testing.assert_allclose(drawn.get_ydata(), wanted.to_numpy())
    band = axes.collections[0].get_paths()[0].get_extents()
    widths = [intervals.summary(s).half_width for _, s in rows.groupby("temperature")["uniformity"]]
    assert band.y1 == pytest.approx(max(m + w for m, w in zip(wanted, widths, strict=True)))
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("name", NAMES)
def test_two_seeds_have_no_band_but_their_own_dots(name: str, complete: StudyResults) -> None:
    drawn = figures.figure(name, complete, FAST)
    for axes in drawn.axes:
        bands = [c for c in axes.collections if isinstance(c, PolyCollection)]
        assert not [b for b in bands for p in b.get_paths() if p.get_extents().height > 0]
        bars = [c for c in axes.collections if isinstance(c, LineCollection)]
        assert not [s for b in bars for s in b.get_segments() if s.size and np.isfinite(s).all()]
    if figures.FIGURES[name].seeds:
        assert "small dots: the seeds, too few for an interval" in figures.caption(name, complete)
    if name == "fig5_tolerance":
        rows = complete.records
        rows = rows[(rows["dataset"] == "cifar10") & (rows["loss"] == "contrastive")]
        seeds = {float(y) for line in drawn.axes[0].lines if line.get_marker() == "."
                 for y in line.get_ydata()}  # fmt: skip
        assert {*rows["tolerance"]} <= seeds


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
            colour, _ = above[f"τ = {printed(dot.get_xdata()[0])}"]
            assert to_hex(dot.get_color()) == to_hex(colour)


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
    stars = [y for line in theirs.lines if line.get_marker() == "*" for y in line.get_ydata()]
    assert min(stars) > 70
    assert 35.0 in [line.get_ydata()[0] for line in own.lines if len({*line.get_ydata()}) == 1]
    assert "raw pixels: 20.0 (n = 3)" in words_of(drawn)
    full = StudyResults(tmp_path, ours, published.records())
    assert len(figures.figure("fig9_accuracy", full, FAST).axes) == 1


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
        filled = [np.isfinite(np.ma.filled(c.get_array(), np.nan)).any() for c in stars]
        assert any(filled) == bool(fills)
        assert "spaced as −log(4 − u)" in panel.get_xlabel()


def test_tsne_names_its_classes_and_the_temperature_that_stands_in(tmp_path: Path) -> None:
    frame = frames.records(("cifar10",), (0.07, 0.3), ("contrastive",), (0,))
    frames.run_folders(tmp_path, frame, images=60, bank=80, epochs=2)
    of = StudyResults(tmp_path, frame, classes={"cifar10": ["airplane", "automobile"]})
    shown = texts("fig2_tsne", of).split("\n")
    assert {"CIFAR10, τ = 0.07", "CIFAR10, τ = 0.3 (for 0.2)"} <= {*shown}
    assert {"0 airplane", "1 automobile", "class 2", "class 9"} <= {*shown}


def test_a_single_seed_has_no_band_and_the_legend_says_n(tmp_path: Path) -> None:
    of = single(tmp_path)
    drawn = figures.figure("fig5_tolerance", of, FAST)
    bands = [
        c
        for c in drawn.axes[0].collections
        if len(c.get_paths()) and c.get_paths()[0].vertices.size
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
        for x, y in zip(star.get_xdata(), star.get_ydata(), strict=True)
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
    assert [float(line.get_xdata()[0]) for line in crosses] == [0.07]
    dashes = [float(line.get_xdata()[0]) for line in drawn if line.get_marker() == "_"]
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
    contrastive = next(
        line for line in lines("fig4_uniformity", broken) if len(line.get_xdata()) == 3
    )
    assert [math.isnan(y) for y in contrastive.get_ydata()] == [True, True, False]


def test_losses_without_temperature_stand_outside_the_scale(complete: StudyResults) -> None:
    axes = figures.figure("fig4_uniformity", complete, FAST).axes[0]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    # 0.7 is among the published temperatures only.
    assert [tick.strip() for tick in ticks] == ["0⁺", "0.07", "0.3", "0.7", "1.0", "∞"]
    single_points = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert max(single_points) > 1.0
    assert min(single_points) < 0.07


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


def test_each_loss_has_its_own_colour_marker_and_line() -> None:
    for part in range(3):
        assert len({repr(look[part]) for look in LOSS_STYLES.values()}) == len(LOSS_STYLES)
    study = [*LOSS_STYLES, "decoupled", "hcl", "cosine_tau"]
    assert len({loss_style(loss, study).colour for loss in study}) == len(study)


def test_a_run_is_found_by_its_canonical_temperature(complete: StudyResults) -> None:
    folder = complete.run_folder("cifar10", "contrastive", 1, 0)
    assert folder.parts[-4:] == ("cifar10", "contrastive", "1.0", "seed0")
    assert folder.is_dir()
    assert complete.run_folder("cifar10", "simple", None, 1).parts[-2:] == ("none", "seed1")


def test_tsne_takes_the_temperatures_closest_to_the_papers_in_ratio(tmp_path: Path) -> None:
    frame = frames.records(("svhn", "cifar10"), temperatures=(0.05, 0.1, 0.4), seeds=(0,))
    assert tsne.chosen(StudyResults(tmp_path, frame)) == (
        "cifar10",
        {0.05: [0.07], 0.1: [0.2]},
    )
    assert results.closest(0.2, [0.1, 0.4]) in (0.1, 0.4)
    with pytest.raises(ValueError, match="temperatures"):
        results.closest(0.2, [])


def test_tsne_maps_a_seeded_sample_with_its_own_labels(complete: StudyResults) -> None:
    path = complete.run_folder("cifar10", "contrastive", 0.3, 0) / tsne.FILE
    points, labels = tsne.embed(path, at_most=40)
    again, _ = tsne.embed(path, at_most=40)
    np.testing.assert_array_equal(points, again)
    assert points.shape == (40, 2)
    _, whole = results.tensors(path, "test", "test_labels")
    order = np.random.default_rng(tsne.SEED).permutation(len(whole))[:40]
    np.testing.assert_array_equal(labels, whole[order])


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


@pytest.mark.parametrize(
    "kind", ["identical", "two points", "one outlier", "rank 1", "rounding", "three images"]
)
def test_every_figure_comes_out_of_degenerate_embeddings(kind: str, tmp_path: Path) -> None:
    """The files are what the measures themselves give of such embeddings."""
    images, bank = (3 if kind == "three images" else 60), 80
    kind = "one outlier" if kind == "three images" else kind
    labels = torch.arange(bank) % 2
    test, train = degenerate(kind, images), degenerate(kind, bank)
    block = geometry.measure(test, labels[:images], views=(test, test))
    apart = measures.separation(train[:40], train, torch.arange(40), 10, labels, 8).to_json()
    shares = penalties.measure(train[:40], train, torch.arange(40), temperature=0.07)
    columns = {name: block[name] for name in ("uniformity", "tolerance", "effective_dimension")}
    columns |= {name: apart[name] for name in (*frames.NEGATIVES, "positive_similarity")}
    frame = frames.records(("cifar10",), (0.07,), ("contrastive", "simple"), (0, 1))
    frame = frame.assign(**columns, collapsed=int(block["collapsed"]))
    frames.run_folders(tmp_path, frame, images=images, bank=bank, epochs=4)
    of = StudyResults(tmp_path, frame)
    written = {"geometry": {"test": block}, "separation": apart, "penalty": shares}
    for folder in tmp_path.rglob("seed*"):
        for name, values in written.items():
            content = json.dumps({"values": values})
            (folder / f"{name}.json").write_text(content, encoding="utf-8")
        content = {"test": test.numpy(), "test_labels": labels[:images].numpy()}
        save_file(content, folder / tsne.FILE)
    for name in NAMES:
        figures.figure(name, of, FAST).draw_without_rendering()
    shown = texts("fig2_tsne", of)
    lost = kind in ("identical", "rounding")
    assert ("Collapsed: all embeddings\nare one point." in shown) == lost
    assert ("too few for a map" in shown) == (images == 3)
    assert ("collapsed, counted" in texts("fig4_uniformity", of)) == lost
    assert ("Collapsed, all test embeddings one" in figures.caption("dilemma", of)) == lost


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_embeddings_without_a_direction_have_no_map(value: float, tmp_path: Path) -> None:
    x = degenerate("rank 1", 40).numpy()
    x[7] = value
    save_file({"test": x, "test_labels": np.arange(40) % 2}, tmp_path / "x")
    assert tsne.unmapped(tmp_path / "x") == "Embeddings without a direction:\nzero or not finite."


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
    blocks = complete.blocks("cifar10", "contrastive", 0.3, penalty.FILE)
    wanted = np.mean([np.array(b["entropy"]) - math.log(b["bank"] - 1) for b in blocks], axis=0)
    assert any(
        len(line.get_ydata()) == len(wanted) and np.allclose(line.get_ydata(), wanted)
        for line in entropy.lines
    )


def test_a_spectrum_is_relative_to_its_largest_value(complete: StudyResults) -> None:
    from tausweep.report.figures import spectra

    values = spectra.spectrum(complete, "cifar10", "contrastive", 0.3)
    assert values is not None
    assert values[0] == 1.0
    assert (np.diff(values) <= 0).all()
    assert spectra.spectrum(complete, "svhn", "contrastive", 0.3) is None


def test_the_curve_of_a_diverged_run_ends_where_its_loss_did(broken: StudyResults) -> None:
    crosses = [line for line in lines("training", broken) if line.get_marker() == "x"]
    assert crosses
    assert all(np.isfinite(line.get_ydata()).all() for line in crosses)
    assert "diverged here" in texts("training", broken)


def test_the_dilemma_names_the_best_temperature_of_each_path(complete: StudyResults) -> None:
    frame = complete.records.copy()
    chosen = (frame["loss"] == "contrastive") & (frame["temperature"] == 1.0)
    frame.loc[chosen, "linear_accuracy"] = 99.0
    of = StudyResults(complete.folder, frame)
    assert texts("dilemma", of).count("τ = 1.0\n") >= 2


def test_style_takes_known_positive_numbers_only(complete: StudyResults, tmp_path: Path) -> None:
    figures.draw("fig4_uniformity", complete, [tmp_path / "x.png"], {"width": 4, "dpi": 50})
    with Image.open(tmp_path / "x.png") as image:
        assert image.width == 200
    for bad, words in (
        ({"widht": 4}, "widht: unknown key; did you mean width"),
        ({"dpi": 0}, "dpi: 0 is not allowed"),
        ({"font_size": True}, "font_size: true is not allowed"),
        ({"band_opacity": 2}, "band_opacity: 2 is not allowed"),
    ):
        with pytest.raises(StudyError, match=words):
            Style.of(bad)


def test_unknown_figures_and_formats_are_refused(complete: StudyResults, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="figure fig1: unknown"):
        figures.draw("fig1", complete, [tmp_path / "x.png"])
    with pytest.raises(StudyError, match="fig1"):
        figures.caption("fig1", complete)
    with pytest.raises(StudyError, match="unknown format"):
        figures.draw("fig4_uniformity", complete, [tmp_path / "x.gif"])
    assert not list(tmp_path.iterdir())


def test_svg_text_stays_text(complete: StudyResults, tmp_path: Path) -> None:
    figures.draw("fig4_uniformity", complete, [tmp_path / "x.svg"])
    svg = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert ">CIFAR100<" in svg
    assert ">temperature τ<" in svg


def test_columns_read_from_csv_as_pandas_has_them_are_enough(
    complete: StudyResults, tmp_path: Path
) -> None:
    path = tmp_path / "records.csv"
    complete.records.to_csv(path, index=False)
    from tausweep.results.records import read_table

    of = StudyResults(complete.folder, read_table(path), complete.published)
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    figures.draw("fig9_accuracy", complete, [first])
    figures.draw("fig9_accuracy", of, [second])
    assert first.read_bytes() == second.read_bytes()


def test_a_column_that_the_records_lack_leaves_an_empty_panel(tmp_path: Path) -> None:
    frame = single(tmp_path).records.drop(columns="uniformity")
    assert "no complete run" in texts(
        "fig4_uniformity", StudyResults(tmp_path, pd.DataFrame(frame))
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_that_there_is_a_single_seed(name: str, complete: StudyResults) -> None:
    frame = complete.records[complete.records["seed"] == 0]
    assert complete.along is not None
    along = complete.along[complete.along["seed"] == 0]
    of = StudyResults(complete.folder, frame, along=along)
    assert "n = 1" in f"{texts(name, of)} {figures.caption(name, of)}"
    assert "n = 2" not in f"{texts(name, of)} {figures.caption(name, of)}"


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
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines[before:]]
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


def test_stars_are_hollow_and_below_what_was_measured(complete: StudyResults) -> None:
    drawn = lines("fig9_accuracy", complete)
    stars = [line for line in drawn if line.get_marker() == "*"]
    measured = [line for line in drawn if line.get_marker() in ("o", "s", "^", "D", "v")]
    assert stars
    assert all(star.get_markerfacecolor() == "none" for star in stars)
    assert max(s.get_zorder() for s in stars) < min(m.get_zorder() for m in measured)


@pytest.mark.parametrize(
    "name", ["fig4_uniformity", "fig6_uniformity_hard", "effective_dimension", "dilemma"]
)
def test_at_another_t_published_uniformity_is_dropped_and_the_caption_says_so(
    name: str, complete: StudyResults
) -> None:
    of = StudyResults(complete.folder, complete.records, complete.published, t=3.0)
    assert "published" in texts(name, complete)
    assert "published" not in texts(name, of)
    caption = figures.caption(name, of)
    assert "Published uniformity is at t = 2, this study's at t = 3: none is drawn." in caption
    if name != "effective_dimension":
        assert ("exp(−3‖" if name != "dilemma" else "2t = 6") in caption
    assert "published (n = 1)" in texts("fig5_tolerance", of)
    assert "Stars: published numbers" in figures.caption("fig5_tolerance", of)


def test_at_another_t_the_tables_compare_no_uniformity(complete: StudyResults) -> None:
    table = tables.table1(complete.records, complete.published, t=3.0)
    known = table.cells.dropna(subset=["published"])
    assert {"linear_accuracy", "tolerance"} == {*known["measure"]}
    assert "exp(−3‖" in table.caption
    assert "Published uniformity has t = 2, so it is not compared" in table.caption
    usual = tables.table1(complete.records, complete.published)
    assert "exp(−2‖" in usual.caption
    assert "not compared" not in usual.caption


def test_only_the_positive_the_nearest_and_the_tenth_negative_have_bands(
    complete: StudyResults,
) -> None:
    axes = figures.figure("fig8_separation", complete, FAST).axes[0]
    assert len(axes.collections) == 3
    assert len([line for line in axes.lines if len(line.get_xdata()) == 3]) == 11


@pytest.mark.parametrize("name", ["spectra", "training"])
def test_every_loss_is_drawn_in_its_colour_and_plug_ins_too(name: str, tmp_path: Path) -> None:
    frame = frames.records(
        ("digits",), (0.3, 1.0), (*LOSS_STYLES, "decoupled", "hcl"), seeds=(0, 1)
    )
    frames.run_folders(tmp_path, frame, images=40, bank=50, epochs=4)
    of = StudyResults(tmp_path, frame)
    drawn = figures.figure(name, of, FAST)
    colours = {line.get_color() for axes in drawn.axes for line in axes.lines}
    free = [loss for loss in of.losses if not of.temperatures("digits", loss)]
    assert {"simple", "hard_simple", "nearest_negative"} <= {*free}
    assert {of.look(loss).colour for loss in free} <= colours
    heads = [axes.get_title(loc="left").replace("\n", ", ") for axes in drawn.axes]
    assert {f"Digits, {label}" for label in ("contrastive", "hard contrastive")} <= {*heads}
    shown = words_of(drawn)
    for loss in of.losses:
        assert of.look(loss).label in shown


# ---------------------------------------------------------------------------------- along training


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
        assert list(line.get_xdata()) == list(mean.index) == [50, 100, 200]
        np.testing.assert_allclose(line.get_ydata(), mean)
    # Every seed is a point, and no panel cuts what it shows.
    points = [line for line in panel.lines if line.get_linestyle() == "None"]
    assert sorted(y for line in points for y in line.get_ydata()) == sorted(rows["uniformity"])
    for axes in drawn.axes:
        for line in axes.lines:
            low, high = axes.get_ylim()
            assert all(low <= y <= high for y in line.get_ydata())


def test_epochs_that_were_not_kept_are_counted_in_the_caption(complete: StudyResults) -> None:
    assert complete.along is not None
    assert "Not kept" not in figures.caption("along", complete)
    fewer = complete.along[(complete.along["share"] != 0.5) | (complete.along["seed"] == 0)]
    of = dataclasses.replace(complete, along=fewer)
    lost = len(complete.along) - len(fewer)
    assert f"number of runs: 0.5 of the epochs ({lost})." in figures.caption("along", of)


def test_only_a_study_that_asks_for_it_has_a_figure_along_training() -> None:
    content = {
        "study": "s",
        "baselines": False,
        "datasets": {"digits": None},
        "losses": {"simple": None},
    }
    assert figures.asked(parse(content)) == NAMES[:-1]
    assert figures.asked(parse(content | {"evaluate_at": [0.5]})) == NAMES
    assert NAMES[-1] == "along"
