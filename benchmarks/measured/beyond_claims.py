"""What docs/findings.md says beyond the paper's claims: classes, hard-set sizes, other losses."""

from __future__ import annotations

import itertools
from functools import cache

import pandas as pd
from findings import HERE, Kept, there

from tausweep.claims import study_verdicts
from tausweep.claims.columns import ACCURACY
from tausweep.claims.comparisons import Finding, difference
from tausweep.claims.evidence import Evidence
from tausweep.claims.other_losses import OF_TEMPERATURE
from tausweep.claims.verdicts import Verdict, shown
from tausweep.report import figures
from tausweep.results import labels, markdown
from tausweep.results.intervals import PairedSummary, format_cell, paired, summary
from tausweep.storage.layout import File, Folder, Layout
from tausweep.study import canonical


@cache
def evidence(name: str, dataset: str | None = None) -> Evidence:
    """A kept study's records, with the noise of the verdicts; see ``study_verdicts.evidence``."""
    study = there(name)
    return study_verdicts.evidence(study.study, Layout(HERE), study.records, dataset)


def _classes(name: str) -> tuple[Kept, pd.DataFrame]:
    study = there(name)
    return study, pd.read_csv(study.folder / File.CLASSES_TABLE)


def class_share(name: str, temperature: float | None = None) -> str:
    """Share of the penalty on the anchor's class: of contrastive runs, or by chance."""
    _, table = _classes(name)
    rows = table[table["loss"] == "contrastive"]
    if temperature is None:
        return f"{rows['by_chance'].mean():.2f}"
    found = summary(rows["share"][rows["temperature"] == temperature])
    return format_cell(found, 3)


def classes_link(name: str) -> str:
    """A link to the table of what was measured by class."""
    study, _ = _classes(name)
    return f"[{study.called}, {File.CLASSES_TABLE}]({study.place}/{File.CLASSES_TABLE})"


def lowest_temperature(name: str) -> float:
    """The lowest temperature at which the penalty of contrastive was measured by class."""
    _, table = _classes(name)
    return float(table["temperature"][table["loss"] == "contrastive"].min())


def class_shares(name: str) -> str:
    """The share at every temperature of contrastive and hard contrastive, with their tolerance.

    Raises:
        ValueError: The share of contrastive does not fall as tau rises, as the page says.
    """
    study, table = _classes(name)
    body, means = [], []
    for loss in ("contrastive", "hard_contrastive"):
        rows = table[table["loss"] == loss]
        for tau, cell in rows.groupby("temperature"):
            shares = summary(cell["share"])
            if loss == "contrastive":
                means.append(shares.mean)
            here = study.records[
                (study.records["loss"] == loss) & (study.records["temperature"] == tau)
            ]
            numbers = [
                format_cell(summary(here[column].dropna()), labels.measure(column).digits)
                for column in ("linear_accuracy", "tolerance")
            ]
            body.append([labels.loss(loss), canonical(tau), format_cell(shares, 3), *numbers])
    if any(a <= b for a, b in itertools.pairwise(means)):
        raise ValueError(f"{name}: the page says that the share falls, the records {means}")
    heads = ["loss", "tau", "penalty on the anchor's class"]
    heads += [labels.measure(column).label for column in ("linear_accuracy", "tolerance")]
    return "\n".join(markdown.table(heads, body))


def figure(name: str, drawn: str, text: str) -> str:
    """A kept figure of a study.

    Raises:
        ValueError: It is not kept.
    """
    study = there(name)
    if not (study.folder / Folder.FIGURES / f"{drawn}.svg").is_file():
        raise ValueError(f"{name}: its figure {drawn} is not kept")
    return f"![{text}, {study.called}]({study.place}/{Folder.FIGURES}/{drawn}.svg)"


def sizes_table(name: str) -> str:
    """Measures by the share of the negatives that the loss takes, at each temperature."""
    study = there(name)
    losses = [*figures.hard_losses(study.study), "contrastive"]
    table = study.records[study.records["loss"].isin(losses)]
    percent = 100 * table["alpha"].where(table["loss"] != "contrastive", 1.0)
    body = []
    for (tau, share), cell in table.groupby([table["temperature"], percent.round(2)]):
        done = cell[cell["status"] == "complete"]
        numbers = [
            format_cell(summary(done[column]), labels.measure(column).digits)
            for column in labels.MAIN_MEASURES
        ]
        loss = str(cell["loss"].iloc[0])
        gaps = ["", ""]
        if loss != "contrastive":
            found = _accuracy_gap(evidence(name), (loss, tau), ("contrastive", tau))
            half = _short_gaps(study, loss, tau)
            gaps = [found.headline, format_cell(half[0], 1, signed=True) if half else "–"]
        body.append([canonical(tau), f"{share:g}", numbers[0], *gaps, *numbers[1:]])
    measures = [labels.measure(m).label for m in labels.MAIN_MEASURES]
    heads = ["tau", "hardest negatives (%)", measures[0], "minus that with all", "half-way"]
    return "\n".join(markdown.table([*heads, *measures[1:]], body))


Place = tuple[str, float | None]
"""Loss and temperature."""


def _accuracy_gap(of: Evidence, first: Place, second: Place) -> Finding:
    """Accuracy of one cell minus that of another, with the noise of the verdicts."""
    a, b = (of.cell(loss, ACCURACY, tau) for loss, tau in (first, second))
    return difference(a, b, of.noise(ACCURACY), split=of.split(a, b))


def _short_gaps(study: Kept, loss: str, temperature: float) -> list[PairedSummary]:
    """A loss minus contrastive by the short probe, at the last two measured epochs, if any."""
    if study.along is None:
        return []
    rows = study.along[study.along["temperature"] == temperature]
    found = rows.pivot_table(
        index=["epoch", "seed"], columns="loss", values="linear_accuracy_short"
    )
    return [
        paired(found.loc[epoch][loss], found.loc[epoch]["contrastive"])
        for epoch in sorted(found.index.unique("epoch"))[-2:]
    ]


OUTCOMES = {
    "above": ("supported",),
    "below": ("contradicted",),
    "within noise": ("undecided",),
    "not below": ("supported", "undecided"),
}


def difference_in_accuracy(name: str, loss: str, first: float, second: float, stands: str) -> str:
    """Accuracy of a loss at one temperature minus another; see ``against_all``."""
    found = _accuracy_gap(evidence(name), (loss, first), (loss, second))
    return _stated(name, f"{loss} at {first} and {second}", stands, found)


def _stated(name: str, what: str, stands: str, found: Finding) -> str:
    if found.outcome not in OUTCOMES[stands]:
        raise ValueError(f"{name}, {what}: the page says {stands}, the records {found.headline}")
    return found.headline


def against_all(name: str, loss: str, temperature: float, stands: str) -> str:
    """Accuracy of a loss of few negatives minus that of contrastive: ``+8.2 ± 6.4 (3)``.

    Args:
        name: The study.
        loss: The loss in it.
        temperature: Of both.
        stands: One of ``OUTCOMES``, as the page says.

    Raises:
        ValueError: The records say something else.
    """
    found = _accuracy_gap(evidence(name), (loss, temperature), ("contrastive", temperature))
    return _stated(name, f"{loss} at {temperature}", stands, found)


def still_grows(name: str, loss: str, temperature: float) -> str:
    """That the difference to all negatives grew in the second half of training.

    Raises:
        ValueError: It did not.
    """
    gaps = _short_gaps(there(name), loss, temperature)
    if len(gaps) < 2 or not gaps[0].mean < gaps[1].mean:
        raise ValueError(f"{name}, {loss} at {temperature}: the page says it grows, not {gaps}")
    before, after = (format_cell(gap, 1, signed=True) for gap in gaps)
    return f"it still grew in the second half of training (short probe: {before} to {after})"


def common_means(name: str, loss: str) -> str:
    """Mean common mean of a loss at each temperature: ``0.88 and 0.86``."""
    rows = there(name).records
    means = rows[rows["loss"] == loss].groupby("temperature")["common_mean"].mean()
    return " and ".join(f"{mean:.2f}" for mean in means)


def better_than_all(name: str, loss: str, column: str) -> str:
    """A measure of a loss against that of contrastive, at each temperature that it has.

    Raises:
        ValueError: It is not higher at each of them.
    """
    rows = there(name).records
    means = rows.pivot_table(index="temperature", columns="loss", values=column)[
        [loss, "contrastive"]
    ].dropna()
    if not (means[loss] > means["contrastive"]).all():
        raise ValueError(f"{name}, {loss}: the page says better, the records {means.to_dict()}")
    said = [
        f"{ours:.1f}% against {theirs:.1f}% at {canonical(float(str(tau)))}"
        for tau, (ours, theirs) in zip(means.index, means.to_numpy(), strict=True)
    ]
    return " and ".join(said)


def no_lower(name: str, column: str, low: float, high: float) -> str:
    """A measure of contrastive at a low temperature against a high one: ``0.237 against ...``.

    Raises:
        ValueError: It is lower at the low one.
    """
    rows = there(name).records
    cells = [
        summary(rows[column][(rows["loss"] == "contrastive") & (rows["temperature"] == tau)])
        for tau in (low, high)
    ]
    if cells[0].mean < cells[1].mean:
        raise ValueError(f"{name}, {column}: the page says not lower at {low}, not {cells}")
    digits = labels.measure(column).digits
    first, second = (format_cell(cell, digits) for cell in cells)
    return f"{first} at {canonical(low)} and {second} at {canonical(high)}"


@cache
def _verdicts_by_loss(name: str) -> dict[str, list[Verdict]]:
    study = there(name)
    return study_verdicts.of_each_loss(study.study, Layout(HERE), study.records, study.along)


def _others(name: str) -> dict[str, list[Verdict]]:
    """The same without contrastive, which the paper is about."""
    return {loss: vs for loss, vs in _verdicts_by_loss(name).items() if loss != "contrastive"}


def every_loss(name: str, claim: str, verdict: str) -> str:
    """The losses but contrastive that have three temperatures or more, all of one verdict.

    Raises:
        ValueError: One of them has another verdict.
    """
    by_loss = _others(name)
    found = {
        loss: v.verdict
        for loss, vs in by_loss.items()
        for v in vs
        if v.dataset and v.claim == claim
    }
    if set(found.values()) != {verdict}:
        raise ValueError(f"{name}, {claim}: the page says {verdict} of all, the records {found}")
    *first, last = map(labels.loss, found)
    return f"{', '.join(first)} and {last}"


def gains(name: str, better: float, worse: float) -> str:
    """The least and the largest gain of these losses from one temperature to another, all clear.

    Raises:
        ValueError: The difference is within noise for one of them.
    """
    found = {
        loss: _accuracy_gap(evidence(name), (loss, better), (loss, worse)) for loss in _others(name)
    }
    for loss, gain in found.items():
        _stated(name, f"{loss} at {better} and {worse}", "above", gain)
    ordered = sorted(found.values(), key=lambda gain: float(gain.numbers["a"] - gain.numbers["b"]))
    return f"{ordered[0].headline} to {ordered[-1].headline}"


def other_losses(name: str) -> str:
    """What the rules of the claims about temperature say of every loss of a study that has one."""
    study = there(name)
    by_loss = _verdicts_by_loss(name)
    body = []
    for loss, verdicts in by_loss.items():
        said = {v.claim: v for v in verdicts if v.dataset is not None}
        cells = [
            f"{shown(said[claim].verdict, study.miniature)}<br>{said[claim].headline}"
            for claim in OF_TEMPERATURE
        ]
        body.append([labels.loss(loss), *(cell.removesuffix("<br>") for cell in cells)])
    return "\n".join(markdown.table(["loss", *OF_TEMPERATURE], body))
