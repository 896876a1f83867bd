"""Tables and figures for the page, read from the study's folder; nothing is drawn here.

Figures are embedded as images, not as inline SVG, because the ids of several SVGs would clash.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from tausweep.report import figures
from tausweep.report.figures import StudyResults
from tausweep.results import labels
from tausweep.results.cells import printed
from tausweep.storage.layout import Folder

SWEEPS = {
    "fig4_uniformity": ("uniformity", ("contrastive",)),
    "fig5_tolerance": ("tolerance", ("contrastive",)),
    "fig6_uniformity_hard": ("uniformity", ("hard_contrastive",)),
    "fig7_tolerance_hard": ("tolerance", ("hard_contrastive",)),
    "fig9_accuracy": ("linear_accuracy", ("contrastive", "hard_contrastive")),
    "effective_dimension": ("effective_dimension", ("contrastive", "hard_contrastive")),
}
"""Figures of one measure against temperature, whose text alternative gives the numbers."""

SCALED_DOWN = "see Protocol below"
"""The note in captions of a scaled-down study; the page has the whole list."""


@dataclass(frozen=True)
class FigureExhibit:
    """A figure in the page.

    Attributes:
        name: One of ``figures.FIGURES``.
        title: The title in print.
        caption: The caption without the title.
        alt: Text alternative.
        source: Data URI of the SVG; none if the figure has not been made.
    """

    name: str
    title: str
    caption: str
    alt: str
    source: str | None


def read_figures(results: StudyResults, folder: Path) -> list[FigureExhibit]:
    """All figures in the order of the report; ``source`` is none if a file is missing.

    Figures along training are included only if there are such measures, and those of several hard
    sets or of classes only if they were drawn.
    """
    along = results.along is not None and not results.along.empty
    return [
        _figure(name, results, folder)
        for name, entry in figures.FIGURES.items()
        if (along or not entry.along)
        and (not (entry.of_sizes or entry.of_classes) or _file(name, folder).is_file())
    ]


def _file(name: str, folder: Path) -> Path:
    return folder / Folder.FIGURES / f"{name}.svg"


def _figure(name: str, results: StudyResults, folder: Path) -> FigureExhibit:
    title = figures.FIGURES[name].title
    caption = figures.caption(name, results).removeprefix(f"{title}. ")
    path, source = _file(name, folder), None
    if path.is_file():
        encoded = base64.b64encode(path.read_bytes()).decode("ascii")
        source = f"data:image/svg+xml;base64,{encoded}"
    return FigureExhibit(name, title, caption, f"{title}.{_told(name, results)}", source)


def _told(name: str, results: StudyResults) -> str:
    """A curve in words: its means at the lowest and the highest temperature."""
    if name not in SWEEPS:
        return " What it shows is in the caption below."
    column, losses = SWEEPS[name]
    frame = results.records
    if column not in frame:
        return f" No run has {labels.measure(column).label}."
    complete = frame[(frame["status"] == "complete") & frame["temperature"].notna()]
    parts = []
    for (dataset, loss), rows in complete.groupby(["dataset", "loss"]):
        means = rows.groupby("temperature")[column].mean().dropna()
        if loss in losses and len(means):
            ends = {
                t: f"{means[t]:.4g} at τ = {printed(t)}" for t in (means.index[0], means.index[-1])
            }
            parts.append(
                f"{labels.dataset(str(dataset))}, {labels.loss(str(loss))}: "
                f"{' to '.join(ends.values())}"
            )
    told = f" {'; '.join(parts)}." if parts else " No complete run."
    return f"{told} All numbers are in the full table."


def table_fragment(folder: Path, name: str) -> str | None:
    """A table's HTML fragment; none if it has not been made."""
    path = folder / Folder.TABLES / f"{name}.html"
    return path.read_text(encoding="utf-8") if path.is_file() else None
