"""What docs/findings.md says beyond the paper's claims: classes, hard-set sizes, other losses."""

from __future__ import annotations

import itertools

import pandas as pd
from findings import HERE, Kept, kept

from tausweep.claims import study_verdicts
from tausweep.claims.columns import ACCURACY
from tausweep.claims.comparisons import Finding, difference
from tausweep.claims.evidence import Evidence
from tausweep.claims.other_losses import OF_TEMPERATURE
from tausweep.claims.verdicts import Verdict, shown
from tausweep.report import figures
from tausweep.results import labels, markdown
from tausweep.results.intervals import format_cell, summary
from tausweep.storage.layout import File, Folder, Layout
from tausweep.study import canonical

BY_CLASS = ("cifar10-200", "related", "hard-set-size", "demo")
"""Where the penalty by class is looked for (`tausweep classes`), in this order."""


def there(name: str) -> Kept:
    """A kept study.

    Raises:
        ValueError: Nothing is kept of it.
    """
    study = kept(name)
    if study is None:
        raise ValueError(f"{name}: nothing is kept of it")
    return study


def by_class() -> str | None:
    """The first kept study whose penalty was measured by class; none if there is none."""
    for name in BY_CLASS:
        study = kept(name)
        if study is not None and (study.folder / File.CLASSES_TABLE).is_file():
            return name
    return None


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
    evidence = study_verdicts.evidence(study.study, Layout(HERE), study.records)
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
        gap = "" if loss == "contrastive" else _accuracy_gap(evidence, loss, tau).headline
        body.append([canonical(tau), f"{share:g}", numbers[0], gap, *numbers[1:]])
    measures = [labels.measure(m).label for m in labels.MAIN_MEASURES]
    heads = ["tau", "hardest negatives (%)", measures[0], "minus that with all", *measures[1:]]
    return "\n".join(markdown.table(heads, body))


def _accuracy_gap(evidence: Evidence, loss: str, temperature: float) -> Finding:
    """Accuracy of a loss minus that of contrastive, with the noise of the verdicts."""
    ours, all_of_them = (
        evidence.cell(name, ACCURACY, temperature) for name in (loss, "contrastive")
    )
    split = evidence.split(ours, all_of_them)
    return difference(ours, all_of_them, evidence.noise(ACCURACY), split=split)


def against_all(name: str, loss: str, temperature: float, stands: str) -> str:
    """Accuracy of a loss of few negatives minus that of contrastive: ``+8.2 ± 6.4 (3)``.

    Args:
        name: The study.
        loss: The loss in it.
        temperature: Of both.
        stands: ``above``, ``below`` or ``within noise``, as the page says.

    Raises:
        ValueError: The records say something else.
    """
    study = there(name)
    evidence = study_verdicts.evidence(study.study, Layout(HERE), study.records)
    found = _accuracy_gap(evidence, loss, temperature)
    outcomes = {"above": "supported", "below": "contradicted", "within noise": "undecided"}
    if found.outcome != outcomes[stands]:
        raise ValueError(
            f"{name}, {loss} at {temperature}: the page says {stands}, the records {found.headline}"
        )
    return found.headline


def _verdicts_by_loss(study: Kept) -> dict[str, list[Verdict]]:
    return study_verdicts.of_each_loss(study.study, Layout(HERE), study.records, study.along)


def every_loss(name: str, claim: str, verdict: str) -> str:
    """How many losses of a study have three temperatures or more, all of one verdict: ``5``.

    Raises:
        ValueError: One of them has another verdict.
    """
    by_loss = _verdicts_by_loss(there(name))
    found = {
        loss: v.verdict
        for loss, vs in by_loss.items()
        for v in vs
        if v.dataset and v.claim == claim
    }
    if set(found.values()) != {verdict}:
        raise ValueError(f"{name}, {claim}: the page says {verdict} of all, the records {found}")
    return str(len(found))


def gains(name: str, better: float, worse: float) -> str:
    """Accuracy of these losses at one temperature minus another, all clear: ``7.0 to 22.9``.

    Raises:
        ValueError: The difference is within noise for one of them.
    """
    study = there(name)
    evidence = study_verdicts.evidence(study.study, Layout(HERE), study.records)
    means = []
    for loss in _verdicts_by_loss(study):
        high, low = (evidence.cell(loss, ACCURACY, tau) for tau in (better, worse))
        split = evidence.split(high, low)
        found = difference(high, low, evidence.noise(ACCURACY), split=split)
        if found.outcome != "supported":
            raise ValueError(f"{name}, {loss}: the page says a gain, the records {found.headline}")
        means.append(float(high.values.mean() - low.values.mean()))
    return f"{min(means):.1f} to {max(means):.1f}"


def other_losses(name: str) -> str:
    """What the rules of the claims about temperature say of every loss of a study that has one."""
    study = there(name)
    by_loss = _verdicts_by_loss(study)
    body = []
    for loss, verdicts in by_loss.items():
        said = {v.claim: v for v in verdicts if v.dataset is not None}
        cells = [
            f"{shown(said[claim].verdict, study.miniature)}<br>{said[claim].headline}"
            for claim in OF_TEMPERATURE
        ]
        body.append([labels.loss(loss), *(cell.removesuffix("<br>") for cell in cells)])
    return "\n".join(markdown.table(["loss", *OF_TEMPERATURE], body))
