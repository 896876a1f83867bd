"""Simulate what a study can settle before it is run, and how often it would be wrong.

A *world* has the true values of every cell. Its records add two kinds of noise: one value per seed
for the run, and one for the test images, which all seeds share. ``published_world`` takes Table 1
and the author's sweep as true. ``nothing_differs`` gives all trained cells the same true values.
The usual rules judge these records.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tausweep.claims.evidence import PAPER_RANGE, Evidence
from tausweep.claims.judging import CLAIMS
from tausweep.claims.readings import Reading
from tausweep.results import published
from tausweep.results.intervals import MARGINS
from tausweep.study import BASELINES, Study

RUN_SD = 0.30
"""Scatter of one run's accuracy in points, from the author's seven repeats for another table."""

SHARED_ERRORS = 0.6
"""Assumed correlation of the errors of two cells on the same image, each a mean over seeds. Two
single runs of a method agree on about half of their errors, means over seeds on more."""

TEST_IMAGES = {"cifar10": 10_000, "cifar100": 10_000, "svhn": 26_032, "imagenet100": 5_000}
ENOUGH = 0.8
"""A probability of being settled that counts as enough."""

Truths = Mapping[tuple[str, float | None], Mapping[str, float]]
"""True measures (by column) by loss and temperature."""


@dataclass(frozen=True)
class World:
    """True values, and how numbers scatter about them.

    Attributes:
        cells: True values by cell.
        run_sd: Scatter of one run's accuracy, in points; other measures scatter in proportion.
        uneven: Standard deviation of the logarithm of the cells' scatter; 0 makes all equal.
        test_images: Size of the test split; none for no sampling noise.
        one_run: Whether the rules know the noise of one run.
    """

    cells: Truths
    run_sd: float = RUN_SD
    uneven: float = 0.0
    test_images: int | None = None
    one_run: bool = False


class _Simulated(Evidence):
    """Evidence whose errors correlate by image as in ``SHARED_ERRORS``."""

    def split(self, a: Reading, b: Reading) -> float:
        """The variance of independent samples, reduced by the shared errors."""
        return (1 - SHARED_ERRORS) * super().split(a, b)


def draw(world: World, seeds: int, rng: np.random.Generator) -> Evidence:
    """Draw the records of one study in a world, as evidence."""
    rows = []
    for (loss, temperature), truth in world.cells.items():
        factor = math.exp(world.uneven * rng.normal())
        share = min(max(truth.get("linear_accuracy", 0.0) / 100, 0.0), 1.0)
        split = 0.0
        if world.test_images is not None:
            variance = (1 - SHARED_ERRORS) * share * (1 - share) / world.test_images
            split = 100 * math.sqrt(variance) * rng.normal()
        for seed in range(seeds):
            row: dict[str, object] = {
                "dataset": "simulated",
                "loss": loss,
                "temperature": math.nan if temperature is None else temperature,
                "seed": seed,
                "status": "complete",
            }
            for column, value in truth.items():
                margin = MARGINS.get(column, MARGINS["similarity"])
                sd = world.run_sd * factor * margin / MARGINS["linear_accuracy"]
                row[column] = value + sd * rng.normal()
                if column == "linear_accuracy":
                    row[column] = value + split + world.run_sd * factor * rng.normal()
            rows.append(row)
    return _Simulated(
        pd.DataFrame(rows), MARGINS, one_run=world.one_run, test_images=world.test_images
    )


def outcomes(world: World, seeds: int, worlds: int, start: int = 0) -> dict[str, Counter[str]]:
    """Counts of the outcomes of each finding by its rule alone; preconditions count as met.

    Args:
        world: The true values.
        seeds: Runs per cell.
        worlds: How many studies to draw.
        start: Seed of the generator.
    """
    rng = np.random.default_rng(start)
    found: dict[str, Counter[str]] = {c.id: Counter() for c in CLAIMS.values() if _finding(c.id)}
    for _ in range(worlds):
        evidence = draw(world, seeds, rng)
        for id, counts in found.items():
            counts[CLAIMS[id].judge(evidence).outcome] += 1
    return found


def _finding(id: str) -> bool:
    return CLAIMS[id].kind == "finding"


def grid(study: Study, dataset: str) -> list[tuple[str, float | None]]:
    """The cells of a study's dataset."""
    seed = study.seeds[0]
    return [
        (run.loss, run.temperature)
        for run in study.runs()
        if run.dataset == dataset and run.seed == seed
    ]


def published_world(cells: Sequence[tuple[str, float | None]], dataset: str, **noise: Any) -> World:
    """The published numbers as true values, interpolated along log tau.

    A dataset that the paper does not have gets CIFAR10's numbers. Baselines are ``PAPER_RANGE``
    below the best cell. Measures without published numbers are missing.
    """
    frame = published.records()
    known = dataset if dataset in set(frame["dataset"]) else "cifar10"
    frame = frame[frame["dataset"] == known]
    truth: dict[tuple[str, float | None], dict[str, float]] = {}
    for loss, temperature in cells:
        rows = frame[frame["loss"] == loss]
        values = {}
        for column in ("linear_accuracy", "uniformity", "tolerance"):
            there = rows.dropna(subset=[column]).sort_values("temperature")
            if there.empty:
                continue
            if temperature is None:
                values[column] = float(there[column].iloc[0])
            elif there["temperature"].min() <= temperature * (1 + 1e-9):
                log = np.log(there["temperature"])
                values[column] = float(np.interp(math.log(temperature), log, there[column]))
        if values:
            truth[loss, temperature] = values
    if truth:
        best = max(v["linear_accuracy"] for v in truth.values() if "linear_accuracy" in v)
        for baseline in BASELINES:
            truth[baseline, None] = {"linear_accuracy": best - PAPER_RANGE}
    return World(truth, test_images=TEST_IMAGES[known], **noise)


def nothing_differs(
    cells: Sequence[tuple[str, float | None]],
    accuracy: float,
    reach: float,
    test_images: int,
    **noise: Any,
) -> World:
    """A world where all trained cells are the same, except nearest_negative, which learns nothing.

    Args:
        cells: The cells of the study.
        accuracy: Accuracy of every trained cell, in percent.
        reach: How many points the baselines are below it.
        test_images: Size of the test split.
        noise: See ``World``.
    """
    same = {
        "linear_accuracy": accuracy,
        "uniformity": 3.5,
        "tolerance": 0.2,
        "interclass_similarity": 0.01,
        "nearest_interclass_similarity": 0.4,
        "positive_similarity": 0.8,
        **{f"negative_similarity_{k}": 0.6 for k in range(1, 11)},
    }
    floor = {"linear_accuracy": accuracy - reach}
    truth = {cell: floor if cell[0] in (*BASELINES, "nearest_negative") else same for cell in cells}
    return World(truth, test_images=test_images, **noise)


SEEDS = (2, 3, 5, 8)
"""Numbers of seeds that ``describe`` tries."""


def describe(study: Study, worlds: int = 60) -> str:
    """The power of a study as text: for each claim, the probability to settle it, and seeds needed.

    Args:
        study: The study; its datasets are simulated one by one.
        worlds: Number of simulated studies for each number of seeds.
    """
    tried = sorted({len(study.seeds), *SEEDS})
    lines = [
        "Power: the probability that a claim is supported or contradicted if the published "
        f"numbers are true, one run scatters by {RUN_SD:g} points, and the errors of two cells on "
        f"the same image have a correlation of {SHARED_ERRORS:g} ({worlds} simulated studies each; "
        "preconditions count as met). A dash: nothing was published about what the claim reads, "
        "or the grid lacks it.",
    ]
    for dataset in study.datasets:
        world = published_world(grid(study, dataset), dataset)
        found = {n: outcomes(world, n, worlds) for n in tried}
        heads = ["claim", *(f"{n} seeds" for n in tried), "seeds needed"]
        rows = [heads]
        for id in found[tried[0]]:
            shares = {
                n: (c[id]["supported"] + c[id]["contradicted"]) / worlds for n, c in found.items()
            }
            absent = found[tried[0]][id]["not measured"] + found[tried[0]][id]["not tested"]
            if absent == worlds:
                rows.append([id, *("–" for _ in tried), "–"])
                continue
            enough = next((str(n) for n in tried if shares[n] >= ENOUGH), f"over {tried[-1]}")
            rows.append([id, *(f"{shares[n]:.2f}" for n in tried), enough])
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        lines += ["", f"{dataset} ({len(study.seeds)} seeds in the study)"]
        lines += [
            "  " + "  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
    return "\n".join(lines)
