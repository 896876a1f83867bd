"""What docs/findings.md says of the number of classes: benchmarks/many-classes.yaml.

The question and its answers are registered in the study's file. Accuracies of different numbers of
classes are compared as shares of that at 0.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from beyond_claims import evidence
from findings import there
from numpy.typing import NDArray

from tausweep.claims.columns import ACCURACY
from tausweep.claims.evidence import Evidence
from tausweep.results import labels, markdown
from tausweep.results import published as printed
from tausweep.results.intervals import format_cell, summary
from tausweep.storage.layout import File
from tausweep.study import canonical

STUDY = "many-classes"
FEW, MANY = "tiny_imagenet_10", "tiny_imagenet_100"
IN_PRINT = {FEW: "10 classes", MANY: "100 classes"}
LIKE = {FEW: "cifar10", MANY: "cifar100"}
"""The paper's data sets of as many classes."""
REFERENCE = 0.3


@dataclass(frozen=True)
class Share:
    """An accuracy as a share of that at ``REFERENCE``, in percent.

    Attributes:
        value: Ratio of the means over seeds.
        half: Half the 95% interval's width, over seeds and test images; infinite with one seed.
        n: Number of seeds that both have.
    """

    value: float
    half: float
    n: int

    def __str__(self) -> str:
        if not math.isfinite(self.half):
            return f"{self.value:.1f} ({self.n})"
        return f"{self.value:.1f} ± {self.half:.1f} ({self.n})"


def share(dataset: str, temperature: float) -> Share:
    """The share of contrastive at a temperature.

    With a and b the accuracies at the temperature and at 0.3, and r the ratio of their means, the
    error of r is that of a - r b over the mean of b. Its noise is that of verdicts.

    Raises:
        ValueError: The two have no seed in common.
    """
    of = evidence(STUDY, dataset)
    a, b = (of.cell("contrastive", ACCURACY, tau).values for tau in (temperature, REFERENCE))
    seeds = a.index.intersection(b.index)
    if not len(seeds):
        raise ValueError(f"{STUDY}: {dataset} has no seed with both {temperature} and {REFERENCE}")
    ratio = float(a[seeds].mean() / b[seeds].mean())
    gap = summary((a[seeds] - ratio * b[seeds]).to_numpy())
    first, second = (_right(of, tau, list(seeds)) for tau in (temperature, REFERENCE))
    split = float((100 * (first - ratio * second)).var(ddof=1) / len(first))
    half = of.noise(ACCURACY).half_width(gap, 1 + ratio**2, split)
    return Share(100 * ratio, 100 * half / float(b[seeds].mean()), len(seeds))


def _right(of: Evidence, temperature: float, seeds: list[int]) -> NDArray[np.float64]:
    """Share of the seeds that classify each test image correctly."""
    kept = [of.correct["contrastive", temperature, seed] for seed in seeds]
    return np.mean(kept, axis=0, dtype=np.float64)


def gap_of_shares(temperature: float) -> Share:
    """The share with many classes minus that with few.

    The two are taken as independent. Common seeds and images would, if anything, make the interval
    narrower.
    """
    many, few = share(MANY, temperature), share(FEW, temperature)
    return Share(many.value - few.value, math.hypot(many.half, few.half), min(many.n, few.n))


def answer(temperature: float) -> str:
    """The registered answer, with its numbers."""
    gap = gap_of_shares(temperature)
    numbers = f"{share(FEW, temperature)}% of that at 0.3 with 10 classes and "
    numbers += f"{share(MANY, temperature)}% with 100 (difference "
    numbers += f"{gap.value:+.1f} ± {gap.half:.1f})"
    if abs(gap.value) <= gap.half:
        return f"{numbers}; whether the ratio is lower with 100 classes cannot be told"
    return f"{numbers}; the ratio is {'lower' if gap.value < 0 else 'higher'} with 100 classes"


def _contrastive_along() -> pd.DataFrame:
    table = there(STUDY).along
    if table is None:
        raise ValueError(f"{STUDY}: no measures along its training are kept")
    return table[table["loss"] == "contrastive"]


def difference_along(temperature: float) -> str:
    """The difference of the shares by the short probe, at the last two epochs; no interval."""
    rows = _contrastive_along()
    means = rows.pivot_table(
        index=["epoch", "dataset"], columns="temperature", values="linear_accuracy_short"
    )
    shares = (100 * means[temperature] / means[REFERENCE]).unstack("dataset")
    gaps = (shares[MANY] - shares[FEW]).iloc[-2:]
    return " and ".join(f"{gap:+.1f} at epoch {epoch}" for epoch, gap in gaps.items())


def turns(column: str, low: float, high: float) -> str:
    """A measure at a high temperature minus a low one, with few and many classes, as it turns.

    Raises:
        ValueError: It does not change from below 0 to above 0 between the last two epochs.
    """
    rows, said = _contrastive_along(), []
    digits = labels.measure(column).digits or 3
    for dataset, name in IN_PRINT.items():
        means = rows[rows["dataset"] == dataset].pivot_table(
            index="epoch", columns="temperature", values=column
        )
        gaps = (means[high] - means[low]).iloc[-2:]
        if not gaps.iloc[0] < 0 < gaps.iloc[1]:
            raise ValueError(f"{STUDY}: the page says that {column} turns, not {gaps.to_dict()}")
        ends = " and ".join(f"{gap:+.{digits}f} at epoch {epoch}" for epoch, gap in gaps.items())
        said.append(f"{ends} with {name}")
    return ", ".join(said)


def penalty_on_own_class(low: float, high: float) -> str:
    """The share of the penalty on the anchor's class at two temperatures, few and many classes.

    Raises:
        ValueError: It is not higher at the low one.
    """
    study, said = there(STUDY), []
    table = pd.read_csv(study.folder / File.CLASSES_TABLE)
    for dataset, name in IN_PRINT.items():
        rows = table[(table["dataset"] == dataset) & (table["loss"] == "contrastive")]
        ends = [summary(rows["share"][rows["temperature"] == tau]) for tau in (low, high)]
        if not ends[0].mean > ends[1].mean:
            raise ValueError(f"{STUDY}: the page says that the share falls, not {ends}")
        first, second = (format_cell(end, 3) for end in ends)
        chance = rows["by_chance"].mean()
        said.append(f"{first} and {second} with {name} (by chance {chance:.2f})")
    return ", ".join(said)


def shares_table() -> str:
    """The shares at every temperature, and the paper's where it has them."""
    study, frame = there(STUDY), printed.records()
    table = study.records[study.records["loss"] == "contrastive"]
    body = []
    for tau in sorted(table["temperature"].unique()):
        gap = gap_of_shares(tau)
        shown = f"{gap.value:+.1f} ± {gap.half:.1f}" if tau != REFERENCE else ""
        mine = ["100" if tau == REFERENCE else str(share(name, tau)) for name in IN_PRINT]
        added = "" if tau == REFERENCE else f"{_added(MANY, tau) - _added(FEW, tau):+.1f}"
        theirs = [_printed(frame, LIKE[name], tau) for name in LIKE]
        body.append([canonical(tau), *mine, shown, *theirs, added])
    heads = ["tau", *IN_PRINT.values(), "difference"]
    heads += [f"published, {labels.dataset(name)}" for name in LIKE.values()]
    return "\n".join(markdown.table([*heads, "difference above untrained"], body))


def _added(dataset: str, temperature: float) -> float:
    """What training adds to the untrained encoder, as a percentage of the same at 0.3."""
    rows = there(STUDY).records
    rows = rows[rows["dataset"] == dataset]
    means = rows[rows["loss"] == "contrastive"].groupby("temperature")[ACCURACY].mean()
    floor = rows[ACCURACY][rows["loss"] == "untrained"].mean()
    return float(100 * (means[temperature] - floor) / (means[REFERENCE] - floor))


def _printed(frame: pd.DataFrame, dataset: str, temperature: float) -> str:
    rows = frame[(frame["dataset"] == dataset) & (frame["loss"] == "contrastive")]
    at = {t: rows[ACCURACY][rows["temperature"] == t] for t in (temperature, REFERENCE)}
    if not all(len(found) for found in at.values()):
        return "–"
    return f"{100 * float(at[temperature].iloc[0]) / float(at[REFERENCE].iloc[0]):.1f}"


def classes_table() -> str:
    """The measures of contrastive and the baselines with few and many classes."""
    table, body = there(STUDY).records, []
    for dataset, name in IN_PRINT.items():
        rows = table[(table["dataset"] == dataset) & (table["status"] == "complete")]
        for (loss, tau), cell in rows.groupby(["loss", "temperature"], dropna=False, sort=False):
            numbers = [
                format_cell(summary(cell[column].dropna()), labels.measure(column).digits)
                for column in labels.MAIN_MEASURES
            ]
            shown = "" if pd.isna(tau) else canonical(tau)
            body.append([name, labels.loss(loss), shown, *numbers])
    heads = ["images", "loss", "tau", *(labels.measure(m).label for m in labels.MAIN_MEASURES)]
    return "\n".join(markdown.table(heads, body))
