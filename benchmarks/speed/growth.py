"""How cost grows: a loss with its gradient over N, B and K, and planning over the number of runs.

Writes ``results/speed/growth.csv`` and ``growth.svg``. An exponent is the slope in the logarithms,
by least squares over the upper half of a curve's points: what its larger end grows like.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import dag
import measure
import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from measure import Cells

from losses import BATCH, NEGATIVES, SMALL, ours, problem, with_gradient
from tausweep.report.figures import panels
from tausweep.report.figures.style import INK, Style, loss_style

BANKS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 604_388)
BATCHES = (16, 32, 64, 128, 256, 512, 1024)
HARDEST = (64, 256, 1024, 4096, 16_384, 32_768)
SEEDS = (1, 4, 16)
"""Of studies with as many runs as one dataset and one seed of the paper have, times these."""
ROUNDS, ROUNDS_PLANNING = 3, 2
TITLES = {
    "N": f"Bank, B = {BATCH}",
    "B": f"Batch, N = {SMALL:,}",
    "K": f"Negatives, N = {SMALL:,}",
    "runs": "Planning a study",
}
LABELS = {"N": "bank entries N", "B": "anchors B", "K": "negatives K", "runs": "runs"}
PLANNING = "snakemake -n"
DRY_RUN = [*dag.SNAKEMAKE, "-n", "--quiet", "--nolock", "-c", "1", "--configfile"]


@dataclass
class Curve:
    """Median seconds by x; ``over`` is N, B, K or runs."""

    over: str
    what: str
    x: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def exponent(self) -> float:
        """Slope of log(seconds) by log(x) over the upper half of the points, two at least."""
        upper = slice(-max(2, (len(self.x) + 1) // 2), None)
        return float(np.polyfit(np.log(self.x[upper]), np.log(self.seconds[upper]), 1)[0])


@dataclass(frozen=True)
class Point:
    """One line of ``growth.csv``."""

    curve: str
    what: str
    x: int
    seconds: float
    exponent: float
    hardware: str


def losses_over(over: str, xs: tuple[int, ...], names: tuple[str, ...]) -> Iterator[Curve]:
    """Curves of losses over ``N`` (with K in the paper's proportion), ``B`` or ``K``."""
    cells: Cells = {}
    for x in xs:
        size = x if over == "N" else SMALL
        where = problem(size, batch=x if over == "B" else BATCH)
        negatives = x if over == "K" else round(NEGATIVES / SMALL * size)
        for name in names:
            cells[f"{name} {x}"] = partial(with_gradient, ours(name, negatives), where)
    times = measure.interleave(cells, ROUNDS)
    for name in names:
        yield Curve(over, name, list(xs), [median(times[f"{name} {x}"]) for x in xs])


def planning() -> Curve:
    """Seconds of a dry run of studies of the paper's form, from the command to its end."""
    study: dict[str, Any] = yaml.safe_load((dag.ROOT / "benchmarks/paper.yaml").read_text())
    study["datasets"] = {"digits": {}}
    for name in ("hard_contrastive", "hard_simple"):
        study["losses"][name]["negatives"] = 118
    temperatures = study["losses"]["contrastive"]["temperature"]
    for name in ("contrastive", "hard_contrastive"):
        study["losses"][name]["temperature"] = [*temperatures, 2.0]
    runs = 2 * (len(temperatures) + 1) + 2
    with tempfile.TemporaryDirectory() as folder:
        cells: Cells = {}
        for seeds in SEEDS:
            file = Path(folder) / f"{seeds}.yaml"
            content = {**study, "study": f"growth{seeds}", "seeds": list(range(seeds))}
            file.write_text(yaml.safe_dump(content), encoding="utf-8")
            cells[str(seeds * runs)] = partial(dag.run, [*DRY_RUN, str(file)])
        times = measure.interleave(cells, ROUNDS_PLANNING)
    return Curve("runs", PLANNING, [*map(int, cells)], [median(t) for t in times.values()])


def curves() -> Iterator[Curve]:
    """All of them."""
    both = ("contrastive", "hard_contrastive")
    yield from losses_over("N", BANKS, both)
    yield from losses_over("B", BATCHES, both)
    yield from losses_over("K", HARDEST, both[1:])
    yield planning()


def write(found: list[Curve]) -> None:
    """The table in long form."""
    hardware = measure.hardware()
    with (measure.FOLDER / "growth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, Point.__dataclass_fields__, lineterminator="\n")
        writer.writeheader()
        for curve in found:
            for x, seconds in zip(curve.x, curve.seconds, strict=True):
                point = Point(curve.over, curve.what, x, seconds, curve.exponent, hardware)
                writer.writerow(asdict(point))


def draw(found: list[Curve], kind: str = "svg") -> None:
    """Four panels, both axes logarithmic."""
    style = Style.of(None)
    with style.applied():
        figure, axes = panels.grid(style, len(TITLES))
        for over, panel in zip(TITLES, axes, strict=True):
            draw_panel(panel, [curve for curve in found if curve.over == over], style)
        handles = [
            panels.handle(color=look.colour, marker=look.marker, linestyle=look.line, label=name)
            for look, name in (
                (loss_style(loss), loss_style(loss).label)
                for loss in ("contrastive", "hard_contrastive")
            )
        ]
        handles.append(panels.handle(color=INK, marker="P", linestyle="-", label=PLANNING))
        panels.legend(figure, style, handles)
        figure.savefig(
            measure.FOLDER / f"growth.{kind}", metadata={"Date": None} if kind == "svg" else None
        )


def draw_panel(panel: Axes, shown: list[Curve], style: Style) -> None:
    """The curves over one variable, with their exponents in words."""
    over = shown[0].over
    words = []
    for curve in shown:
        if curve.what == PLANNING:
            panel.plot(curve.x, curve.seconds, color=INK, marker="P", linestyle="-")
            words.append(f"∝ {over}^{curve.exponent:.2f}")
        else:
            look = loss_style(curve.what)
            panel.plot(
                curve.x, curve.seconds, color=look.colour, marker=look.marker, linestyle=look.line
            )
            words.append(f"{look.label}: ∝ {over}^{curve.exponent:.2f}")
    panel.set_xscale("log")
    panel.set_yscale("log")
    seconds = [value for curve in shown for value in curve.seconds]
    # A decade at least, and room for the words below the curves.
    panel.set_ylim(min(seconds) / 8, max(seconds) * 1.6)
    panels.plain_log_ticks(panel, (1, 3))
    x = shown[0].x if len(shown[0].x) < 4 else shown[0].x[::3]
    panel.set_xticks(x, [f"{value:,}" for value in x])
    panel.xaxis.set_minor_locator(NullLocator())
    panels.title(panel, TITLES[over], style)
    panel.set_xlabel(LABELS[over])
    panel.set_ylabel("seconds")
    panels.note(panel, words, style, right=True)


def report(found: list[Curve]) -> None:
    """Print the curves, a line each."""
    print(f"\ngrowth: {measure.hardware()}")
    for curve in found:
        points = ", ".join(
            f"{x:,}: {measure.quantity(seconds, 's')}"
            for x, seconds in zip(curve.x, curve.seconds, strict=True)
        )
        print(f"{curve.what} over {curve.over}, exponent {curve.exponent:.2f}: {points}")


if __name__ == "__main__":
    measure.arguments(__doc__)
    measure.FOLDER.mkdir(parents=True, exist_ok=True)
    measured = list(curves())
    report(measured)
    write(measured)
    draw(measured)
