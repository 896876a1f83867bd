"""Fig. 2: t-SNE of the test embeddings at a low and a middle temperature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from tausweep.measures.collapse import one_point
from tausweep.report.figures import panels
from tausweep.report.figures.panels import handle
from tausweep.report.figures.results import StudyResults, closest, tensors
from tausweep.report.figures.style import CLASS_COLOURS, INK, Style
from tausweep.results import labels
from tausweep.results.cells import printed
from tausweep.storage.layout import File

LOSS = "contrastive"
WANTED = (0.07, 0.2)
AT_MOST = 2000
PERPLEXITY = 30.0
FEWEST = 4
"""Fewest images: the perplexity is at most a third of the other three, so 1."""
SEED = 0


def chosen(results: StudyResults) -> tuple[str, dict[float, list[float]]] | None:
    """The dataset (CIFAR10 if possible), and the temperatures closest to 0.07 and 0.2, by these."""
    having = [d for d in results.datasets if results.temperatures(d, LOSS)]
    if not having:
        return None
    dataset = "cifar10" if "cifar10" in having else having[0]
    temperatures = results.temperatures(dataset, LOSS)
    found: dict[float, list[float]] = {}
    for wanted in WANTED:
        found.setdefault(closest(wanted, temperatures), []).append(wanted)
    return dataset, found


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """Two maps of the same test images, coloured by class."""
    choice = chosen(results)
    if choice is None:
        return panels.empty(style, title, "The records have no run of the contrastive loss.")
    dataset, temperatures = choice
    figure = Figure(
        figsize=(style.width, style.width / max(len(temperatures), 2) + 0.8), layout="constrained"
    )
    axes = figure.subplots(1, len(temperatures), squeeze=False)[0]
    drawn: set[int] = set()
    for panel, (temperature, wanted) in zip(axes, temperatures.items(), strict=True):
        dagger = results.dagger(dataset, LOSS, temperature)
        others = [printed(tau) for tau in wanted if not np.isclose(tau, temperature)]
        instead = f" (for {' and '.join(others)})" if others else ""
        heading = f"{labels.dataset(dataset)}, τ = {printed(temperature)}{dagger}{instead}"
        panels.title(panel, heading, style)
        files = results.files(dataset, LOSS, temperature, File.EMBEDDINGS)
        if not files:
            gap = results.gap(dataset, LOSS, temperature)
            reason = (
                "Every run diverged." if gap == "diverged" else "No complete run\nwith embeddings."
            )
            panels.say(panel, reason)
            continue
        if reason := unmapped(files[0]):
            panels.say(panel, reason)
            continue
        points, ids = embed(files[0])
        _draw_map(panel, points, ids, style)
        drawn |= {*ids.tolist()}
    if drawn:
        classes = results.classes.get(dataset, [])
        panels.legend(figure, style, _class_handles(sorted(drawn), classes))
    return figure


def _class_handles(labels: Sequence[int], classes: Sequence[str]) -> list[Line2D]:
    """A legend entry with colour, number and name for each class that has a colour."""
    if not any(label >= 0 for label in labels):
        return [handle(marker="o", linestyle="none", color="#d8d8d8", label="no labels")]
    shown = labels[: len(CLASS_COLOURS)]
    named = [classes[i] if i < len(classes) else "" for i in shown]
    handles = [
        handle(
            marker="o", linestyle="none", color=colour,
            label=f"{i} {name}" if name and name != str(i) else f"class {i}",
        )
        for colour, i, name in zip(CLASS_COLOURS, shown, named, strict=False)
    ]  # fmt: skip
    if len(labels) > len(shown):
        more = f"{len(labels) - len(shown)} more classes"
        handles.append(handle(marker="o", linestyle="none", color="#d8d8d8", label=more))
    return handles


def unmapped(path: Path, at_most: int = AT_MOST) -> str:
    """Why there can be no map of a run's test embeddings; empty if there can.

    t-SNE starts by dividing by the spread of the points. Without spread the result is NaN, which
    crashes the process.
    """
    x, _ = _sample(path, at_most)
    if len(x) < FEWEST:
        return f"{len(x)} test images:\ntoo few for a map."
    lengths = np.linalg.norm(x, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        return "Embeddings without a direction:\nzero or not finite."
    if one_point(x / lengths[:, None]):
        return "Collapsed: all embeddings\nare one point."
    return ""


def _sample(path: Path, at_most: int) -> tuple[np.ndarray, np.ndarray]:
    x, labels = tensors(path, "test", "test_labels")
    order = np.random.default_rng(SEED).permutation(len(x))[:at_most]
    return x[order].astype(np.float64), labels[order]


def embed(path: Path, at_most: int = AT_MOST) -> tuple[np.ndarray, np.ndarray]:
    """The t-SNE map (n x 2) of the test embeddings of a run, and their labels (n).

    Uses at most ``at_most`` images, the same for every run on the same data. scikit-learn runs on
    one thread from a fixed seed, so the map is repeatable. See ``unmapped`` for exceptions.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    x, labels = _sample(path, at_most)
    perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
    with threadpool_limits(1):
        points = TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(x)
    return np.asarray(points), labels


def _draw_map(axes: Axes, points: np.ndarray, labels: np.ndarray, style: Style) -> None:
    classes = np.unique(labels[labels >= 0])
    shown = classes[: len(CLASS_COLOURS)]
    size = float(np.clip(5000 / len(points), 2.5, 14))
    rest = ~np.isin(labels, shown)
    axes.scatter(
        points[rest, 0], points[rest, 1], s=size, color="#d8d8d8", linewidths=0, rasterized=True
    )
    for colour, label in zip(CLASS_COLOURS, shown, strict=False):
        mine = points[labels == label]
        axes.scatter(
            mine[:, 0], mine[:, 1], s=size, color=colour, linewidths=0, alpha=0.8, rasterized=True
        )
    for label in shown:
        mine = points[labels == label]
        # The member nearest to the median, because the median itself may be between two clusters.
        at = mine[np.argmin(((mine - np.median(mine, axis=0)) ** 2).sum(axis=1))]
        axes.text(
            float(at[0]), float(at[1]), str(label), ha="center", va="center", color=INK,
            weight="bold", fontsize=style.font_size,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_aspect("equal", adjustable="datalim")
    for spine in axes.spines.values():
        spine.set(visible=True, color="#cccccc")
