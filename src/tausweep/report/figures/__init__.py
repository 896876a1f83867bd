"""Figures of a study: ``draw(name, results, paths)`` makes one, ``caption`` gives its text.

The import is cheap (no matplotlib, pandas or torch), so that the Snakefile can read ``NAMES`` and
``FIGURES``. A figure whose data are missing is still drawn, and says what is missing.
"""

from __future__ import annotations

import importlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.report.figures.entries import FEWEST_SIZES, FIGURES, NAMES, OF_CLASSES
from tausweep.report.figures.results import StudyResults
from tausweep.results import labels
from tausweep.study import Study, StudyError, canonical

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from tausweep.report.figures.style import Style

__all__ = [
    "FIGURES",
    "FORMATS",
    "NAMES",
    "OF_CLASSES",
    "StudyResults",
    "asked",
    "caption",
    "draw",
    "draw_all",
    "figure",
]

FORMATS = ("svg", "pdf", "png")
SLOWEST = "fig2_tsne"


def asked(study: Study) -> tuple[str, ...]:
    """The figures of a study: all except those whose measures or runs it lacks."""
    sizes = {
        (study.losses[loss].negatives, study.losses[loss].alpha) for loss in hard_losses(study)
    }
    return tuple(
        name
        for name in NAMES
        if (study.evaluate_at or not FIGURES[name].along)
        and (len(sizes) >= FEWEST_SIZES or not FIGURES[name].of_sizes)
    )


def hard_losses(study: Study) -> tuple[str, ...]:
    """The losses of a study that are the hard contrastive one, by whatever name."""
    return tuple(
        name
        for name, grid in study.losses.items()
        if grid.module is None and (grid.kind or name) == "hard_contrastive"
    )


def draw(
    name: str,
    results: StudyResults,
    paths: Iterable[Path],
    style: Style | Mapping[str, Any] | None = None,
) -> None:
    """Draw a figure into files whose suffixes (svg, pdf, png) name the format.

    The same results and style give the same bytes with the same library versions.

    Raises:
        StudyError: The name, format or style is unknown.
    """
    paths = [Path(path) for path in paths]
    for path in paths:
        if path.suffix[1:] not in FORMATS:
            raise StudyError(f"{path}: unknown format; known formats are {', '.join(FORMATS)}")
    drawn = figure(name, results, style)
    with _style(style).applied():
        # The layout is computed once, so that all formats share it.
        drawn.draw_without_rendering()
        drawn.set_layout_engine("none")
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_render(drawn, path.suffix[1:], FIGURES[name].title, style))


def draw_all(
    wanted: Mapping[str, Iterable[Path]],
    results: StudyResults,
    style: Style | Mapping[str, Any] | None = None,
    processes: int = 1,
) -> None:
    """Draw several figures, in separate processes if more than one is allowed.

    Matplotlib holds Python's global lock while it draws, so threads would not help.

    Args:
        wanted: Files by name of the figure, as for ``draw``.
        results: The results to show.
        style: See ``draw``.
        processes: Most processes at once.

    Raises:
        StudyError: See ``draw``.
    """
    if processes < 2:
        for name, paths in wanted.items():
            draw(name, results, paths, style)
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(processes) as pool:
        # The slowest goes first: t-SNE alone takes as long as several others.
        names = sorted(wanted, key=lambda name: name != SLOWEST)
        drawn = [pool.submit(draw, name, results, [*wanted[name]], style) for name in names]
        for future in drawn:
            future.result()


def figure(
    name: str, results: StudyResults, style: Style | Mapping[str, Any] | None = None
) -> Figure:
    """The figure as a matplotlib object.

    Raises:
        StudyError: The name or style is unknown.
    """
    if name not in FIGURES:
        raise StudyError(f"figure {name}: unknown; known are {', '.join(FIGURES)}")
    entry = FIGURES[name]
    module, function = entry.function.split(".")
    chosen = _style(style)
    with chosen.applied():
        make = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        made: Figure = make(results.of_losses(), chosen, entry.title)
    return made


def caption(name: str, results: StudyResults) -> str:
    """What the figure shows, how certain it is, and what it lacks, in plain text.

    Raises:
        StudyError: The name is unknown.
    """
    if name not in FIGURES:
        raise StudyError(f"figure {name}: unknown; known are {', '.join(FIGURES)}")
    entry, results = FIGURES[name], results.of_losses()
    text = entry.text.format(t=results.t, ceiling=2 * results.t)
    sentences = [f"{entry.title}. {text}"]
    if entry.seeds:
        sentences.append(_intervals(results))
    if results.cells.has_published and entry.function.startswith(("sweep.", "dilemma.")):
        from tausweep.report.tables import PUBLISHED_T

        if entry.of_uniformity and results.t != PUBLISHED_T:
            sentences.append(
                f"Published uniformity has t = {PUBLISHED_T:g}, this study's has "
                f"t = {results.t:g}, so no published numbers are drawn."
            )
        else:
            sentences.append("Stars: published numbers (Wang & Liu 2021), single runs.")
    if entry.along:
        sentences.extend(_not_kept(results))
    sentences.extend(_unfinished(results))
    keys = results.cells.keys()
    if any(results.survivors(*key) for key in keys):
        sentences.append(
            "† (in sweeps: × at the foot): some runs diverged; the mean is over the survivors, so "
            "it is optimistic."
        )
    if results.cells.any_collapsed:
        sentences.append(_collapsed(results))
    if results.scaled_down:
        sentences.append(f"Scaled down: {results.scaled_down.rstrip('.')}.")
    return " ".join(sentences)


def _style(style: Style | Mapping[str, Any] | None) -> Style:
    from tausweep.report.figures.style import Style

    return style if isinstance(style, Style) else Style.of(style)


def _render(drawn: Figure, kind: str, title: str, style: Style | Mapping[str, Any] | None) -> bytes:
    # No date or program in the metadata, so that the bytes depend only on the data.
    metadata = {
        "svg": {"Date": None, "Creator": None, "Title": title},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None, "Title": title},
        "png": {"Software": None, "Title": title},
    }[kind]
    content = io.BytesIO()
    with _style(style).applied():
        drawn.savefig(content, format=kind, metadata=metadata)
    return content.getvalue()


def _intervals(results: StudyResults) -> str:
    records = results.records
    complete = records[records["status"] == "complete"]
    counts = sorted(set(complete.groupby(["dataset", "loss", "temperature"], dropna=False).size()))
    if not counts:
        return "No run is complete."
    if counts[-1] == 1:
        return "Single runs (n = 1): no intervals."
    seeds = f"n = {counts[0]}" if counts[0] == counts[-1] else f"n = {counts[0]} to {counts[-1]}"
    if counts[-1] == 2:
        return f"Means over seeds ({seeds}); small dots: the seeds, too few for an interval."
    few = " where n is 3 or more, small dots: the seeds" if counts[0] <= 2 else ""
    return (
        f"Means over seeds ({seeds}); bands and bars: 95% t-intervals{few}; an arrowhead at "
        "a panel's edge: the interval extends beyond it."
    )


def _not_kept(results: StudyResults) -> list[str]:
    """One sentence about epochs that complete runs had already passed, so they are missing."""
    if results.along is None:
        return []
    runs = int((results.records["status"] == "complete").sum())
    rows = Counter(results.along["share"].tolist())
    lacking = {share: runs - rows[share] for share in sorted(rows) if rows[share] < runs}
    if not lacking:
        return []
    listed = ", ".join(f"{share:g} of the epochs ({count})" for share, count in lacking.items())
    return [f"Not kept and so not shown (number of runs): {listed}."]


def _unfinished(results: StudyResults) -> list[str]:
    """One sentence per status other than complete, with its cells."""
    return [
        f"{str(status).capitalize()}: {_cells_of(rows)}."
        for status, rows in results.records.groupby("status", sort=True)
        if status != "complete"
    ]


def _collapsed(results: StudyResults) -> str:
    records = results.records
    rows = records[(records["status"] == "complete") & (records["collapsed"] == 1)]
    return (
        f"Collapsed (all test embeddings are one point to the accuracy of float32) but included in "
        f"the means: {_cells_of(rows)}."
    )


def _cells_of(rows: pd.DataFrame) -> str:
    """The cells of these runs, with the first few by name."""
    cells = Counter(zip(rows["dataset"], rows["loss"], rows["temperature"].map(_at), strict=True))
    listed = [
        f"{labels.dataset(dataset)} {labels.loss(loss)}{at} ({count} seed{'s' * (count > 1)})"
        for (dataset, loss, at), count in cells.items()
    ]
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return f"{', '.join(listed[:4])}{more}"


def _at(temperature: float) -> str:
    return "" if math.isnan(temperature) else f" at {canonical(temperature)}"
