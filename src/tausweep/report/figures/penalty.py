"""Fig. 3: the relative penalty r of Eq. 5, its entropy, and the interval that carries it.

Both from the formula for similarities spread evenly over [-1, 1], as in the paper, and measured on
the embeddings and banks of the runs (``penalty.json``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tausweep.report.figures import panels
from tausweep.report.figures.panels import TemperatureAxis, handle
from tausweep.report.figures.results import StudyResults, spread
from tausweep.report.figures.style import INK, MUTED, TEMPERATURE_LINES, Style, temperature_colour
from tausweep.results import intervals, labels
from tausweep.results.cells import printed
from tausweep.storage.layout import File

LOSS = "contrastive"
DRAWN = (0.07, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Temperatures of the formula's curves."""


def relative_penalty(s: np.ndarray, temperature: float) -> np.ndarray:
    """N r(s) in the limit of many negatives spread evenly over [-1, 1]; 1 is an equal share.

    e^{s/tau} over its mean, which is tau sinh(1/tau).

    Args:
        s: Similarities, any shape.
        temperature: tau > 0.
    """
    return np.asarray(np.exp(s / temperature - _log_mean(temperature)))


def entropy_deficit(temperature: np.ndarray) -> np.ndarray:
    """H(r) - log N in the same limit, in nats: 0 is an equal penalty for all negatives.

    Args:
        temperature: tau > 0, any shape.
    """
    mean_similarity = 1 / np.tanh(1 / temperature) - temperature
    return np.asarray(_log_mean(temperature) - mean_similarity / temperature)


def interval(temperature: np.ndarray, share: float = 0.9) -> np.ndarray:
    """Width w of the interval [1 - w, 1] whose negatives carry this share of the penalty."""
    total = -np.expm1(-2 / temperature)
    return np.asarray(-temperature * np.log1p(-share * total))


def _log_mean(temperature: np.ndarray | float) -> np.ndarray:
    """Logarithm of tau sinh(1/tau), without overflow."""
    inverse = 1 / np.asarray(temperature, dtype=np.float64)
    return np.asarray(inverse + np.log(-np.expm1(-2 * inverse) / (2 * inverse)))


def draw(results: StudyResults, style: Style, title: str) -> Figure:
    """Draw Fig. 3; the formula needs no data, and missing measurements are noted."""
    dataset = chosen_dataset(results)
    figure = Figure(figsize=(style.width, 2.35 * style.panel_height), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.25)).flat
    trained = _trained(results, dataset)
    looks = _looks({*DRAWN, *trained})
    _draw_formula(above.subplots(), looks)
    entropy, width = below.subplots(1, 2)
    _draw_banks(entropy, results, dataset, trained, "entropy", style, looks)
    _draw_banks(width, results, dataset, trained, "interval_width", style, looks)
    name = f"{labels.dataset(dataset)} bank" if dataset else "bank"
    panels.title(entropy, "Entropy of r", style)
    entropy.set_ylabel("H(r) − log(N − 1)  (nats)")
    panels.title(width, "Interval with 90% of r", style)
    width.set_ylabel("width in similarity")
    handles = [handle(color=INK, linestyle=(0, (4, 2)), label="formula, s even on [−1, 1]")]
    for temperature in trained:
        label = f"{name}, {_trained_label(results, dataset, temperature)}"
        handles.append(handle(**looks[temperature], marker="o", label=label))
    if dataset is not None:
        gaps = results.gaps(dataset, LOSS, results.temperatures(dataset, LOSS))
        handles += [handle(linestyle="none", label=gap) for gap in gaps]
    below.legend(handles=handles, loc="outside lower left", ncols=2, columnspacing=1.4)
    if not trained:
        width.text(
            0.97, 0.04, "formula only:\nno bank is\nmeasured yet", transform=width.transAxes,
            color=MUTED, ha="right", va="bottom", fontsize=style.font_size - 2,
        )  # fmt: skip
    return figure


def _looks(temperatures: set[float]) -> dict[float, dict[str, Any]]:
    """Colour and line of each temperature of the figure, the same in all of its panels."""
    every = sorted(temperatures)
    return {
        temperature: {
            "color": temperature_colour(temperature, every),
            "linestyle": TEMPERATURE_LINES[place % len(TEMPERATURE_LINES)],
        }
        for place, temperature in enumerate(every)
    }


def chosen_dataset(results: StudyResults) -> str | None:
    """The first dataset whose runs of the contrastive loss have measured penalties."""
    return next((name for name in results.datasets if _measured(results, name)), None)


def _trained(results: StudyResults, dataset: str | None) -> list[float]:
    if dataset is None:
        return []
    return spread(_measured(results, dataset), 4)


def _measured(results: StudyResults, dataset: str) -> list[float]:
    """The temperatures at which penalties were measured."""
    grid = results.temperatures(dataset, LOSS)
    return [t for t in grid if results.files(dataset, LOSS, t, File.PENALTY)]


def _trained_label(results: StudyResults, dataset: str | None, temperature: float) -> str:
    assert dataset is not None
    seeds = len(results.files(dataset, LOSS, temperature, File.PENALTY))
    return f"τ = {printed(temperature)}{results.dagger(dataset, LOSS, temperature)} (n = {seeds})"


def _draw_formula(axes: Axes, looks: Mapping[float, dict[str, Any]]) -> None:
    s = np.linspace(-1, 1, 401)
    axes.set_title("Relative penalty")
    axes.axhline(1, color="#b0b0b0", linewidth=0.8)
    for temperature in DRAWN:
        r = relative_penalty(s, temperature)
        axes.plot(s, r, **looks[temperature], label=f"τ = {printed(temperature)}")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    # Straight lines of slope 1/tau: the exponential rise is the figure's message.
    axes.set_yscale("log")
    axes.set_xlim(-1, 1)
    axes.set_ylim(1e-4, 40)
    panels.plain_log_ticks(axes, subs=(1.0,))
    axes.set_xlabel("similarity s of a negative")
    axes.set_ylabel("r(s) / equal share")


def _draw_banks(
    axes: Axes,
    results: StudyResults,
    dataset: str | None,
    trained: Sequence[float],
    field: str,
    style: Style,
    looks: Mapping[float, dict[str, Any]],
) -> None:
    grid = np.geomspace(0.05, 1.0, 100)
    formula = entropy_deficit(grid) if field == "entropy" else interval(grid)
    TemperatureAxis(axes, sorted({0.05, 0.1, 0.2, 0.5, 1.0, *trained}), [])
    axes.plot(grid, formula, color=INK, linestyle=(0, (4, 2)), linewidth=1.1)
    axes.set_xlabel("τ in r")
    for temperature in trained:
        assert dataset is not None
        blocks = results.blocks(dataset, LOSS, temperature, File.PENALTY)
        x = np.array(blocks[0]["temperatures"])
        offset = [np.log(b["bank"] - 1) if field == "entropy" else 0.0 for b in blocks]
        rows = np.array([b[field] for b in blocks]) - np.array(offset)[:, None]
        found = [intervals.summary(column) for column in rows.T]
        mean = np.array([f.mean for f in found])
        half = np.array([panels.half_width(f) for f in found])
        colour = looks[temperature]["color"]
        axes.plot(x, mean, **looks[temperature])
        axes.fill_between(
            x, mean - half, mean + half, color=colour, alpha=style.band_opacity, linewidth=0
        )
        if len(rows) == panels.PAIR:
            axes.plot(x, rows.T, ".", color=colour, markersize=2.5, alpha=0.55)
        own = int(np.argmin(np.abs(np.log(x / temperature))))
        if np.isclose(x[own], temperature):
            axes.plot(x[own], mean[own], "o", color=colour)
