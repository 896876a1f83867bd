"""Every figure comes out, whatever is there, repeats to the byte, and says what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PolyCollection
from PIL import Image
from safetensors.numpy import save_file

import frames
from drawn_figures import FAST, degenerate, texts, words_of, ys
from tausweep.measures import geometry
from tausweep.measures import penalty as penalties
from tausweep.measures import separation as measures
from tausweep.report import figures
from tausweep.report.figures import NAMES, StudyResults
from tausweep.report.figures.style import LOSS_STYLES
from tausweep.storage.layout import File
from tausweep.study import StudyError, parse

OF_ANY_STUDY = [name for name in NAMES if not figures.FIGURES[name].of_sizes]
"""That of the hard set's size needs a study of several; ``test_hard_set`` has one."""

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


def test_every_figure_of_the_paper_and_the_four_beyond_are_there() -> None:
    assert {name.split("_")[0] for name in NAMES if name.startswith("fig")} == PAPERS
    assert {"dilemma", "spectra", "effective_dimension", "training"} <= {*NAMES}


def test_reading_the_names_imports_neither_torch_nor_matplotlib_nor_pandas() -> None:
    code = (
        "import sys; from tausweep.report.figures import NAMES, FIGURES;"
        "assert not {'torch', 'matplotlib', 'pandas', 'sklearn', 'numpy'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", OF_ANY_STUDY)
def test_every_figure_comes_out_of_complete_records(
    name: str, complete: StudyResults, tmp_path: Path
) -> None:
    drawn = figures.figure(name, complete, FAST)
    drawn.savefig(tmp_path / "x.png", dpi=40)
    with Image.open(tmp_path / "x.png") as image:
        assert len(np.unique(np.asarray(image.convert("L")))) > 10
    shown = words_of(drawn).lower()
    assert not any(word in shown for word in ("no complete", "have no run", "no history"))


@pytest.mark.parametrize("name", OF_ANY_STUDY)
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
                 for y in ys(line)}  # fmt: skip
        assert {*rows["tolerance"]} <= seeds


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
            text = json.dumps({"values": values})
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
        content = {"test": test.numpy(), "test_labels": labels[:images].numpy()}
        save_file(content, folder / File.EMBEDDINGS)
    for name in NAMES:
        figures.figure(name, of, FAST).draw_without_rendering()
    shown = texts("fig2_tsne", of)
    lost = kind in ("identical", "rounding")
    assert ("Collapsed: all embeddings\nare one point." in shown) == lost
    assert ("too few for a map" in shown) == (images == 3)
    assert ("collapsed, counted" in texts("fig4_uniformity", of)) == lost
    assert ("Collapsed (all test embeddings are one" in figures.caption("dilemma", of)) == lost


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


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_that_there_is_a_single_seed(name: str, complete: StudyResults) -> None:
    frame = complete.records[complete.records["seed"] == 0]
    assert complete.along is not None
    along = complete.along[complete.along["seed"] == 0]
    of = StudyResults(complete.folder, frame, along=along)
    assert "n = 1" in f"{texts(name, of)} {figures.caption(name, of)}"
    assert "n = 2" not in f"{texts(name, of)} {figures.caption(name, of)}"


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
    assert (
        "Published uniformity has t = 2, this study's has t = 3, so no published numbers are drawn."
        in caption
    )
    if name != "effective_dimension":
        assert ("exp(−3‖" if name != "dilemma" else "2t = 6") in caption
    assert "published (n = 1)" in texts("fig5_tolerance", of)
    assert "Stars: published numbers" in figures.caption("fig5_tolerance", of)


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


def test_only_a_study_that_asks_for_it_has_a_figure_along_training() -> None:
    content = {
        "study": "s",
        "baselines": False,
        "datasets": {"digits": None},
        "losses": {"simple": None},
    }
    assert figures.asked(parse(content)) == tuple(OF_ANY_STUDY[:-1])
    assert figures.asked(parse(content | {"evaluate_at": [0.5]})) == tuple(OF_ANY_STUDY)
    assert OF_ANY_STUDY[-1] == "along"
