"""Simulate how often the rules of the verdicts are wrong, and what they can settle.

    python benchmarks/verdicts            # writes coverage.csv, false.csv and power.csv beside it

docs/claims.md shows the results. Nothing measured is read: ``tausweep.claims.power`` defines the
simulated worlds.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from tausweep import study
from tausweep.claims import judging, power, preconditions, rules
from tausweep.claims.comparisons import RANK
from tausweep.claims.evidence import PAPER_RANGE
from tausweep.claims.readings import STAND_IN
from tausweep.claims.verdicts import CLEARLY, MEANING, OVERALL
from tausweep.results import markdown
from tausweep.results.intervals import (
    MARGINS_SOURCE,
    PRIOR_CELLS,
    PRIOR_DF,
    Noise,
    paired,
    prior_of_cells,
)

HERE = Path(__file__).resolve().parent
BENCHMARKS = HERE.parent
ROOT = BENCHMARKS.parent
TRUE_IF_NOTHING_DIFFERS = {"C8", "C12b"}
SETTINGS = (
    ("FAR", f"{rules.FAR:g}", "C7, C12b, C14: share of (best minus untrained)"),
    ("COMPETITIVE", f"{rules.COMPETITIVE:g}", "C8: share of the same range"),
    (
        "PAPER_RANGE",
        f"{PAPER_RANGE:g} points",
        "that range if no untrained encoder was measured",
    ),
    ("SMALLEST", f"{rules.SMALLEST:g}", "trends and geometry run over temperatures above it"),
    ("RANK", f"{RANK:g}", "trends: smallest rank correlation that counts"),
    ("STABLE", f"{rules.STABLE:g}", "C16: largest spread of uniformity that counts as stable"),
    ("COMMON_MEAN", f"{preconditions.COMMON_MEAN:g}", "geometry: largest squared mean embedding"),
    (
        "FEW_NEGATIVES",
        f"{preconditions.FEW_NEGATIVES:g}",
        "C14: largest number of effective negatives",
    ),
    (
        "STAND_IN",
        f"{STAND_IN:g}",
        "largest factor between a temperature and one that stands in for it",
    ),
    ("PRIOR_DF", f"{PRIOR_DF:g}", "most degrees of freedom of the prior of variances"),
    ("PRIOR_CELLS", f"{PRIOR_CELLS}", "fewest cells for moderated intervals"),
)
"""Every number that the rules depend on."""
WORLDS = 200
POWER_WORLDS = 60

SHIPPED = {
    "demo": (70.0, 45.0, 360),
    "cifar10-small": (45.0, 13.0, 10_000),
    "cifar10-longer": (45.0, 13.0, 10_000),
    "cifar10-paper": (83.0, 50.0, 10_000),
    "first-gpu": (83.0, 50.0, 10_000),
    "paper": (83.0, 50.0, 10_000),
    "options/flip": (83.0, 50.0, 10_000),
    "options/literal_topk": (83.0, 50.0, 10_000),
}
"""Assumed accuracy, distance to the baselines and number of test images, by study. The grids of the
options differ only in their loss, so there is one option for each loss."""

Row = dict[str, object]


def coverage() -> Iterator[Row]:
    """Share of the 95% intervals of paired differences that contain the truth."""
    for cells in (10, 14, 27):
        for seeds in (2, 3, 5):
            for kind in ("the same", "uneven", "one is 4 times", "half are 3 times"):
                rng = np.random.default_rng([cells, seeds, len(kind)])
                held = {"plain": 0, "moderated": 0}
                made = 0
                for _ in range(WORLDS):
                    sd = np.ones(cells)
                    if kind == "uneven":
                        sd = np.exp(rng.normal(0, 0.5, cells))
                    elif kind == "one is 4 times":
                        sd[0] = 4
                    elif kind == "half are 3 times":
                        sd[: cells // 2] = 3
                    table = pd.DataFrame(rng.normal(0, 1, (seeds, cells)) * sd)
                    noise = {
                        "plain": Noise(0.0),
                        "moderated": Noise(0.0, prior_of_cells(table)),
                    }
                    for _ in range(10):
                        a, b = rng.choice(cells, 2, replace=False)
                        gap = paired(table[a], table[b])
                        made += 1
                        for name, one in noise.items():
                            held[name] += abs(gap.mean) <= one.half_width(gap)
                yield {
                    "cells": cells,
                    "seeds": seeds,
                    "standard deviations": kind,
                    **{name: f"{count / made:.3f}" for name, count in held.items()},
                }


def false_verdicts() -> Iterator[Row]:
    """Share of studies that decide a claim although nothing differs, by the claim's rule alone."""
    for name, (accuracy, reach, images) in SHIPPED.items():
        asked = study.load(BENCHMARKS / f"{name}.yaml")
        dataset = next(iter(asked.datasets))
        for run_sd, uneven in ((0.3, 0.0), (1.0, 0.5)):
            world = power.nothing_differs(
                power.grid(asked, dataset), accuracy, reach, images, run_sd=run_sd, uneven=uneven
            )
            seeds = len(asked.seeds)
            for id, counts in power.outcomes(world, seeds, WORLDS).items():
                yield {
                    "study": name,
                    "seeds": seeds,
                    "run sd": run_sd,
                    "uneven": uneven,
                    "claim": id,
                    "contradicted": f"{counts['contradicted'] / WORLDS:.3f}",
                    "supported": f"{counts['supported'] / WORLDS:.3f}",
                }


def powers() -> Iterator[Row]:
    """Share of studies that decide a claim if the published numbers are true."""
    asked = study.load(BENCHMARKS / "paper.yaml")
    for dataset in asked.datasets:
        for run_sd in (0.3, 0.6):
            for seeds in (1, 3, 5):
                world = power.published_world(
                    power.grid(asked, dataset), dataset, run_sd=run_sd, one_run=run_sd == 0.3
                )
                for id, counts in power.outcomes(world, seeds, POWER_WORLDS).items():
                    if counts["not measured"] + counts["not tested"] == POWER_WORLDS:
                        continue
                    yield {
                        "dataset": dataset,
                        "run sd": run_sd,
                        "seeds": seeds,
                        "claim": id,
                        "supported": f"{counts['supported'] / POWER_WORLDS:.2f}",
                        "contradicted": f"{counts['contradicted'] / POWER_WORLDS:.2f}",
                    }


def write(name: str, rows: Iterable[Row]) -> None:
    """A CSV file beside this program."""
    found = list(rows)
    with (HERE / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def read(name: str) -> list[dict[str, str]]:
    """A CSV file beside this program."""
    with (HERE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(heads: list[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    return "\n".join(markdown.table(heads, map(list, rows)))


def needs(claim: judging.Claim) -> str:
    """The preconditions of a claim as a list."""
    if not claim.needs:
        return ""
    return "\n\nNeeds:\n\n" + "\n".join(f"- {need.text}" for need in claim.needs)


def power_by_claim(settled: list[dict[str, str]], run_sd: str = "0.3") -> str:
    """Lowest and highest power over the datasets, by claim and number of seeds."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in settled:
        if row["run sd"] == run_sd:
            found.setdefault(row["claim"], {}).setdefault(row["seeds"], []).append(row["supported"])
    seeds = sorted({count for each in found.values() for count in each}, key=int)

    def span(values: list[str]) -> str:
        low, high = min(values), max(values)
        return low if low == high else f"{low} to {high}"

    heads = ["claim", *(f"{n} seed{'' if n == '1' else 's'}" for n in seeds)]
    return table(heads, ([id, *(span(each[n]) for n in seeds)] for id, each in found.items()))


def page() -> str:
    """docs/claims.md."""
    covered, false, settled = read("coverage"), read("false"), read("power")
    studies: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in false:
        place = (row["study"], row["seeds"], row["run sd"], row["uneven"])
        studies.setdefault(place, []).append(row)
    worst = []
    for place, rows in studies.items():
        top = max(rows, key=lambda r: float(r["contradicted"]))
        # Supporting a claim that is true in these worlds is not an error.
        told = [r for r in rows if r["claim"] not in TRUE_IF_NOTHING_DIFFERS]
        support = max(told, key=lambda r: float(r["supported"]))
        worst.append(
            [*place, top["contradicted"], top["claim"], support["supported"], support["claim"]]
        )
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in settled:
        shown = f"{row['supported']} / {row['contradicted']}"
        place3 = (row["dataset"], row["run sd"], row["seeds"])
        cells.setdefault(place3, {})[row["claim"]] = shown
    ids = list(dict.fromkeys(row["claim"] for row in settled))
    return (HERE / "claims.md.in").read_text(encoding="utf-8").format(
        digest=judging.rules_digest(),
        clearly=CLEARLY,
        overall=OVERALL,
        margins=MARGINS_SOURCE,
        meaning=table(["verdict", "meaning"], MEANING.items()),
        rules="\n\n".join(
            f"### {c.id} ({c.kind}): {c.text}\n\nReads {c.reads}.\n\n{c.rule}{needs(c)}"
            for c in judging.CLAIMS.values()
        ),
        settings=table(["setting", "value", "used for"], SETTINGS),
        coverage=table(list(covered[0]), (row.values() for row in covered)),
        least=min(float(row["moderated"]) for row in covered),
        most=max(float(row["moderated"]) for row in covered),
        false=table(
            ["study", "seeds", "run sd", "uneven", "most contradicted", "by", "most supported",
             "by"], worst,
        ),
        worst=max(float(row["contradicted"]) for row in false),
        worlds=WORLDS,
        power_worlds=POWER_WORLDS,
        power=table(
            ["dataset", "run sd", "seeds", *ids],
            ([*place, *(found.get(id, "–") for id in ids)] for place, found in cells.items()),
        ),
        power_by_claim=power_by_claim(settled),
        shared=power.SHARED_ERRORS,
    )  # fmt: skip


def main() -> int:
    """Write the three files and the page, or those that are named."""
    makers = {"coverage": coverage, "false": false_verdicts, "power": powers}
    for name in sys.argv[1:] or [*makers, "page"]:
        if name == "page":
            (ROOT / "docs/claims.md").write_text(page(), encoding="utf-8")
        else:
            write(name, makers[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
