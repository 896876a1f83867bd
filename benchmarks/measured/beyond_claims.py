"""What docs/findings.md says beyond the paper's claims: classes, hard-set sizes, other losses."""

from __future__ import annotations

import itertools

import pandas as pd
from findings import HERE, Kept, kept

from tausweep.claims import study_verdicts
from tausweep.claims.other_losses import OF_TEMPERATURE
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
        body.append([canonical(tau), f"{share:g}", *numbers])
    heads = ["tau", "hardest negatives (%)"]
    return "\n".join(
        markdown.table([*heads, *(labels.measure(m).label for m in labels.MAIN_MEASURES)], body)
    )


FEW_PERCENT = 10
"""What the page calls a few percent of the negatives."""


def best_size(name: str, temperature: float) -> str:
    """The share of the negatives of the best mean accuracy: ``10%, 4.1 points above all of them``.

    Raises:
        ValueError: It is more than a few percent, or is not above all negatives, as the page says.
    """
    study = there(name)
    table = study.records[study.records["temperature"] == temperature]
    hard = table[table["loss"].isin(figures.hard_losses(study.study))]
    means = hard.groupby(100 * hard["alpha"])["linear_accuracy"].mean()
    best, whole = means.idxmax(), table["linear_accuracy"][table["loss"] == "contrastive"].mean()
    above = means.max() - whole
    if not (best <= FEW_PERCENT + 0.5 and above > 0):
        raise ValueError(f"{name}: the page says a few percent, the records {dict(means)}")
    return f"{best:.0f}%, {above:.1f} points above all of them"


def other_losses(name: str) -> str:
    """What the rules of the claims about temperature say of every loss of a study that has one."""
    study = there(name)
    by_loss = study_verdicts.of_each_loss(study.study, Layout(HERE), study.records, study.along)
    body = []
    for loss, verdicts in by_loss.items():
        said = {v.claim: v for v in verdicts if v.dataset is not None}
        cells = [f"{said[claim].verdict}<br>{said[claim].headline}" for claim in OF_TEMPERATURE]
        body.append([labels.loss(loss), *(cell.removesuffix("<br>") for cell in cells)])
    return "\n".join(markdown.table(["loss", *OF_TEMPERATURE], body))
