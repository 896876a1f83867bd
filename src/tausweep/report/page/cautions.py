"""What a reader must know before trusting the numbers, as cautions with the runs concerned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tausweep.data.sources import folder
from tausweep.report import protocol
from tausweep.report.page.runs import STAGES, Commands, RunRow, Runs, cells
from tausweep.results import kept, labels
from tausweep.storage import provenance
from tausweep.study import StudyError

STAGE_NAMES = {"pretrain": "pretraining", "evaluate": "evaluation"}

PROBE_SHORTFALL = 2.0
"""Points of accuracy by which the probe may end below the converged classifier without a caution:
more than twice the margin between two seeds (0.85)."""


@dataclass(frozen=True)
class Caution:
    """One thing to know.

    Attributes:
        level: ``warning`` if numbers may mislead, ``note`` if they do not.
        title: A few words.
        text: Why it matters.
        items: What it concerns, one line each.
        command: The command that fixes it; empty if there is none.
    """

    level: Literal["warning", "note"]
    title: str
    text: str
    items: tuple[str, ...] = ()
    command: str = ""


def all_cautions(
    runs: Runs,
    commands: Commands,
    scaled_down: str | None,
    strangers: Iterable[str],
    beside: kept.Beside | None = None,
) -> list[Caution]:
    """Every caution that applies, warnings first.

    Args:
        runs: The study's runs.
        commands: Commands for the reader.
        scaled_down: How the study is smaller than the paper's, or none.
        strangers: Rows of the table that do not belong to the study.
        beside: The comparison with the study's kept records, if there are any.
    """
    found = [
        *_scaled_down(scaled_down),
        *_copies(runs),
        *_unfinished(runs, commands),
        *_diverged(runs),
        *_collapsed(runs),
        *_stale(runs, commands),
        *_code(runs, commands),
        *_single_seeds(runs),
        *_probe(runs),
        *_damaged(runs, commands),
        *_strangers(list(strangers)),
        *_mixed(runs),
        *_environments(runs),
        *_kept(beside),
    ]
    return sorted(found, key=lambda caution: caution.level == "note")


def _scaled_down(scaled_down: str | None) -> Iterable[Caution]:
    if scaled_down:
        yield Caution(
            "warning",
            "Scaled down",
            "The study is smaller than the paper's, so its verdicts are about the miniature. The "
            "differences are listed under Protocol.",
        )


LOSSY = {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif"}


def _copies(runs: Runs) -> Iterable[Caution]:
    """Folders of images used instead of a dataset's published archive."""
    folders = {
        row.run.dataset: row.run.settings.dataset.source
        for row in runs.rows
        if row.run.dataset in protocol.PAPER_DATASETS
        and row.run.settings.dataset.source.kind == "folder"
        and row.run.dataset != "imagenet100"
    }
    items = []
    for name, source in folders.items():
        try:
            found = folder.suffixes(source)
        except StudyError:
            items.append(f"{labels.dataset(name)}: the folder no longer exists")
            continue
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in found.items())
        lossy = "; lossy copies" if LOSSY & found.keys() else ""
        items.append(f"{labels.dataset(name)}: {kinds}{lossy}")
    if items:
        yield Caution(
            "warning",
            "Copies of the images",
            "Images come from a folder with a published dataset's name, not from the published "
            "archive. Formats such as JPEG change pixels a little, and so every number that is "
            "compared with the published ones here.",
            tuple(items),
        )


def _unfinished(runs: Runs, commands: Commands) -> Iterable[Caution]:
    lacking = runs.having("missing", "failed", "pretrained")
    if lacking:
        yield Caution(
            "warning",
            "Not complete",
            f"{_of(lacking, runs)} have no result. Means are over the seeds that have one; "
            "verdicts that need a cell without any are undecided.",
            _which(lacking, runs),
            commands.everything,
        )


def _diverged(runs: Runs) -> Iterable[Caution]:
    if rows := runs.having("diverged"):
        yield Caution(
            "warning",
            "Diverged runs",
            f"The loss of {_of(rows, runs)} became infinite or NaN. Their cells are marked, and "
            "verdicts that read them are undecided, because only the survivors are left. To set "
            "another learning rate for them, use overrides in the study file.",
            _which(rows, runs),
        )


def _collapsed(runs: Runs) -> Iterable[Caution]:
    if rows := [row for row in runs.having("complete") if row.collapsed]:
        yield Caution(
            "warning",
            "Collapsed runs",
            f"All test embeddings of {_of(rows, runs)} are one point, to the accuracy of float32. "
            "Their numbers count in the means of their cells, which are marked ‡.",
            _which(rows, runs),
        )


def _stale(runs: Runs, commands: Commands) -> Iterable[Caution]:
    if rows := runs.having("stale"):
        yield Caution(
            "warning",
            "Made with other settings",
            f"The records of {_of(rows, runs)} were made with settings that the study no longer "
            "has.",
            _which(rows, runs),
            commands.everything,
        )


def _code(runs: Runs, commands: Commands) -> Iterable[Caution]:
    """Cautions about digests of the code; each record has two, for pretraining and evaluation."""
    # A pretrained run has only the digest of its pretraining, and no number in a table.
    made = [r for r in runs.rows if r.text("code_version") and r.status != "pretrained"]
    versions = {str(row.text("code_version")) for row in made}
    if len(versions) > 1:
        yield Caution(
            "warning",
            "Mixed code versions",
            f"{len(versions)} versions of the numerical code made these records.",
            tuple(
                f"{version}: {_of([r for r in made if r.text('code_version') == version], runs)}"
                for version in sorted(versions)
            ),
        )
    other = {
        stage: [row for row in made if _part(str(row.text("code_version")), place) != today]
        for place, (stage, today) in enumerate(_today().items())
    }
    if any(other.values()):
        lines = [
            f"{STAGE_NAMES[stage]}: {_of(rows, runs)}; installed: {_today()[stage]}"
            for stage, rows in other.items()
            if rows
        ]
        # Redoing the pretraining also redoes the evaluation.
        first = "pretrain" if other["pretrain"] else "evaluate"
        yield Caution(
            "warning",
            "Other code than today's",
            "The installed code differs from the code that made these numbers in more than "
            "comments. A change of code alone redoes nothing; this command does.",
            (*lines, *_which(list({id(r): r for rows in other.values() for r in rows}.values()),
                             runs)),
            commands.redo(first),
        )  # fmt: skip


def _today() -> dict[str, str]:
    return {stage: provenance.code_version(stage) for stage in STAGES}


def _part(version: str, place: int) -> str:
    parts = version.split("-")
    return parts[place] if place < len(parts) else ""


def _single_seeds(runs: Runs) -> Iterable[Caution]:
    counts: dict[tuple[str, str, float | None], list[RunRow]] = {}
    for row in runs.having("complete"):
        cell = (row.run.dataset, row.run.loss, row.run.temperature)
        counts.setdefault(cell, []).append(row)
    single = [rows[0] for rows in counts.values() if len(rows) == 1]
    if single:
        some = f"{len(single)} of {len(counts)} cells have"
        which = "Every cell has" if len(single) == len(counts) else some
        yield Caution(
            "warning",
            "Single seeds",
            f"{which} only one complete run, so there is no interval, and comparisons that read "
            "them are undecided.",
            () if len(single) == len(counts) else tuple(cells(single)),
        )


def _probe(runs: Runs) -> Iterable[Caution]:
    short = []
    for row in runs.having("complete"):
        last, converged = row.number("linear_accuracy"), row.number("linear_accuracy_converged")
        if last is not None and converged is not None and converged - last > PROBE_SHORTFALL:
            short.append((row, last, converged))
    if short:
        yield Caution(
            "warning",
            "Linear probe below a converged classifier",
            f"In {_of([row for row, _, _ in short], runs)} the probe ends more than "
            f"{PROBE_SHORTFALL:g} points below a converged logistic regression on the same "
            "features. There the paper's learning rate of 30 on un-normalised features is too "
            "large, so the accuracy reflects the protocol, not the features.",
            tuple(
                f"{row.place}: {last:.2f}%, converged {converged:.2f}%"
                for row, last, converged in short
            ),
        )


def _damaged(runs: Runs, commands: Commands) -> Iterable[Caution]:
    if rows := [row for row in runs.rows if row.damaged]:
        yield Caution(
            "warning",
            "Damaged records",
            "Their numbers come from the collected table; how they were made is unknown.",
            tuple(row.damaged for row in rows),
            commands.everything,
        )


def _strangers(ids: list[str]) -> Iterable[Caution]:
    if ids:
        yield Caution(
            "warning",
            "Rows of other runs",
            "The table has rows that do not belong to this study; verdicts and tables read them.",
            tuple(ids),
        )


def _mixed(runs: Runs) -> Iterable[Caution]:
    """Cautions about things that differ within a comparison but should not."""
    yield from _mixed_column(
        runs,
        "data_digest",
        "warning",
        "Mixed data",
        "Runs of one dataset were made on different prepared data.",
        lambda row: labels.dataset(row.run.dataset),
    )
    for column, title, text in (
        ("device", "Mixed devices", "Runs on different devices differ in rounding."),
        ("threads", "Mixed thread counts", "Other numbers of threads round sums differently."),
        (
            "instructions",
            "Mixed instructions",
            "Portable and native instructions of a CPU differ in rounding.",
        ),
        ("precision", "Mixed precision", "Runs of different precision are compared."),
    ):
        yield from _mixed_column(
            runs, column, "note", title, f"{text} Seeds vary more than that.", lambda row: ""
        )


def _mixed_column(
    runs: Runs,
    column: str,
    level: Literal["warning", "note"],
    title: str,
    text: str,
    group: Callable[[RunRow], str],
) -> Iterable[Caution]:
    values: dict[str, dict[str, list[RunRow]]] = {}
    for row in runs.rows:
        if value := row.text(column):
            values.setdefault(group(row), {}).setdefault(value, []).append(row)
    items = [
        f"{f'{name}, ' if name else ''}{column.replace('_', ' ')} {value[:16]}: {_of(rows, runs)}"
        for name, found in values.items()
        if len(found) > 1
        for value, rows in sorted(found.items())
    ]
    if items:
        yield Caution(level, title, text, tuple(items))


def _environments(runs: Runs) -> Iterable[Caution]:
    uncommitted = [e for e in runs.environments if e.commit and e.commit.endswith("+")]
    if uncommitted:
        yield Caution(
            "note",
            "Uncommitted code",
            "Some stages ran with uncommitted changes; the code digests in the records tell them "
            "apart.",
            tuple(f"environment {e.letter}: {e.commit}" for e in uncommitted),
        )
    for what, kinds in (
        ("packages", {str(sorted(e.packages.items())) + e.python for e in runs.environments}),
        ("machines", {str(sorted(e.hardware.items())) for e in runs.environments}),
    ):
        if len(kinds) > 1:
            yield Caution(
                "note",
                f"Mixed {what}",
                f"The stages ran with {len(kinds)} different sets of {what}; see the environments.",
            )


def _kept(beside: kept.Beside | None) -> Iterable[Caution]:
    if beside and beside.differences:
        yield Caution(
            "note",
            "Numbers differ from those kept",
            f"Compared with the records in {beside.folder}: {beside.headline}.",
            tuple(beside.lines()),
        )


def _which(rows: list[RunRow], runs: Runs) -> tuple[str, ...]:
    """The cells by name; empty if they are all cells."""
    return () if len(rows) == len(runs.rows) else tuple(cells(rows))


def _of(rows: list[RunRow], runs: Runs) -> str:
    total = len(runs.rows)
    return f"{len(rows)} of {total} run{'' if total == 1 else 's'}"
