"""The runs of a study for the page: status, numbers, provenance, and what is missing.

The status is that of the collected table. A run that the table lacks is ``missing``. One whose
record was made with other settings is ``stale``. One that finished training but has no record is
``pretrained``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tausweep.claims.study_verdicts import status
from tausweep.results import labels, records
from tausweep.results.cells import Key, printed, run_key
from tausweep.storage.layout import File, Layout
from tausweep.study import Run, Study, StudyError, canonical

STATUSES = ("complete", "diverged", "failed", "stale", "pretrained", "missing")
FURTHER_COLUMNS = dict.fromkeys(
    (
        *("linear_accuracy_best", "linear_accuracy_converged", "knn_accuracy_bank"),
        *("interclass_similarity", "tolerance_gap", "nearest_interclass_similarity"),
        *("common_mean", "alignment", "effective_dimension", "rankme"),
        *("positive_similarity", "negative_similarity_1", "effective_negatives"),
        *("train_loss", "pretrain_seconds", "images_per_second"),
        *("bank_size", "hard_set_size", "alpha"),
    ),
    "",
) | {
    "positive_similarity": "similarity of the positive",
    "negative_similarity_1": "similarity of the nearest negative",
}
"""Columns shown below the line, with a name if the one in the tables needs their heading."""

STAGES = ("pretrain", "evaluate")


@dataclass(frozen=True)
class Stage:
    """How one stage of a run was made.

    Attributes:
        name: ``pretrain`` or ``evaluate``.
        environment: Letter of its environment.
        command: The command.
        started: ISO 8601, UTC.
        ended: The same.
    """

    name: str
    environment: str
    command: str
    started: str
    ended: str


@dataclass(frozen=True)
class Environment:
    """Where stages ran; the same for all stages with its letter.

    Attributes:
        letter: A, B, ...
        hardware: The hardware as the stage found it.
        python: Python's version.
        packages: Versions of packages by name.
        commit: The code's commit; a ``+`` at the end means uncommitted changes.
        stages: Number of stages that ran in it.
    """

    letter: str
    hardware: Mapping[str, Any]
    python: str
    packages: Mapping[str, str | None]
    commit: str | None
    stages: int


@dataclass(frozen=True)
class RunRow:
    """One run of the study.

    Attributes:
        run: The run.
        status: One of ``STATUSES``.
        columns: Its row of the table; empty if it has none.
        stages: Provenance from its record, if it has one.
        damaged: Why its record cannot be read; empty if it can, or if there is none.
    """

    run: Run
    status: str
    columns: Mapping[str, Any]
    stages: list[Stage]
    damaged: str = ""

    @property
    def place(self) -> str:
        """Dataset, loss, temperature and seed in print."""
        tau = "" if self.run.temperature is None else f", τ = {printed(self.run.temperature)}"
        cell = f"{labels.dataset(self.run.dataset)}, {labels.loss(self.run.loss)}{tau}"
        return f"{cell}, seed {self.run.seed}"

    @property
    def collapsed(self) -> bool:
        """Whether it is complete but all its embeddings are one point (``geometry.collapsed``)."""
        return self.status == "complete" and self.number("collapsed") == 1

    def number(self, column: str) -> float | None:
        """A number of its row, or none."""
        value = self.columns.get(column)
        if value is None or pd.isna(value):
            return None
        return float(value)

    def text(self, column: str) -> str | None:
        """A text of its row, or none."""
        value = self.columns.get(column)
        if value is None or pd.isna(value):
            return None
        # A column of integers with gaps is read as floats.
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True)
class Runs:
    """All runs of a study, in its order, and their environments."""

    rows: list[RunRow]
    environments: list[Environment]

    def having(self, *statuses: str) -> list[RunRow]:
        """Rows with one of these statuses."""
        return [row for row in self.rows if row.status in statuses]

    @property
    def counts(self) -> dict[str, int]:
        """How many runs have each status that occurs."""
        found = {status: len(self.having(status)) for status in STATUSES}
        return {status: count for status, count in found.items() if count}


@dataclass(frozen=True)
class Commands:
    """Commands with which a reader fills gaps.

    Attributes:
        study_file: As given to ``--configfile``.
        layout: Where results are.
        study: Name of the study.
    """

    study_file: str
    layout: Layout
    study: str

    @property
    def everything(self) -> str:
        """The command that makes everything that is missing."""
        return f"snakemake --configfile {shlex.quote(self.study_file)}"

    def target(self, run: Run) -> str:
        """The command that makes one record; the target must come before --configfile's list."""
        record = (self.layout.run(run) / File.RECORD).as_posix()
        return f"snakemake {shlex.quote(record)} --configfile {shlex.quote(self.study_file)}"

    def redo(self, stage: str) -> str:
        """The command that redoes a stage of every run."""
        return f"{self.everything} --forcerun {stage}"

    def log(self, run: Run) -> str:
        """The folder of a run's logs."""
        return self.layout.logs(run).as_posix()


def gather(study: Study, table: pd.DataFrame, layout: Layout) -> Runs:
    """Join the study's runs with the table and with the records in the runs' folders.

    Args:
        study: The study.
        table: The collected table or a partial one (columns of ``records.csv``).
        layout: Where results are.
    """
    found = {run_key(row): {str(k): v for k, v in row.items()} for row in table.to_dict("records")}
    environments = _Environments()
    rows = []
    for run in study.runs():
        columns = found.get(_key(run), {})
        content, damaged = _record(run, layout)
        rows.append(
            RunRow(
                run,
                status(run, columns) if columns else "missing",
                columns,
                environments.stages(content),
                damaged,
            )
        )
    return Runs(rows, environments.named())


def strangers(study: Study, table: pd.DataFrame) -> list[str]:
    """Ids of rows in the table that do not belong to the study."""
    asked = {_key(run) for run in study.runs()}
    keys = [run_key(row) for row in table.to_dict("records")]
    return [
        f"{key.dataset}/{key.loss}/{canonical(key.temperature)}/seed{seed}"
        for key, seed in keys
        if (key, seed) not in asked
    ]


def _key(run: Run) -> tuple[Key, int]:
    return Key(run.dataset, run.loss, run.temperature), run.seed


def _record(run: Run, layout: Layout) -> tuple[Mapping[str, Any], str]:
    try:
        return records.read(layout.run(run) / File.RECORD), ""
    except FileNotFoundError:
        return {}, ""
    except StudyError as error:
        return {}, str(error)


@dataclass
class _Environments:
    """Environments by content, with letters in the order in which runs use them."""

    found: dict[str, tuple[Mapping[str, Any], int]] = field(default_factory=dict)

    def stages(self, record: Mapping[str, Any]) -> list[Stage]:
        return [self._stage(name, record[name]) for name in STAGES if record.get(name)]

    def _stage(self, name: str, made: Mapping[str, Any]) -> Stage:
        content = {key: made.get(key) for key in ("hardware", "python", "packages", "commit")}
        key = json.dumps(content, sort_keys=True)
        self.found[key] = (content, self.found.get(key, (content, 0))[1] + 1)
        return Stage(
            name=name,
            environment=_letter(list(self.found).index(key)),
            command=str(made.get("command", "")),
            started=str(made.get("started", "")),
            ended=str(made.get("ended", "")),
        )

    def named(self) -> list[Environment]:
        return [
            Environment(
                letter=_letter(place),
                hardware=content["hardware"] or {},
                python=str(content["python"] or ""),
                packages=content["packages"] or {},
                commit=content["commit"],
                stages=count,
            )
            for place, (content, count) in enumerate(self.found.values())
        ]


def _letter(place: int) -> str:
    """A to Z, then AA, AB, ..."""
    first, last = divmod(place, 26)
    return (_letter(first - 1) if first else "") + chr(ord("A") + last)


def groups(rows: Iterable[RunRow]) -> list[tuple[str, list[RunRow]]]:
    """Rows grouped by dataset and loss, in order, under a heading in print."""
    found: dict[str, list[RunRow]] = {}
    for row in rows:
        heading = f"{labels.dataset(row.run.dataset)}, {labels.loss(row.run.loss)}"
        found.setdefault(heading, []).append(row)
    return list(found.items())


def cells(rows: Iterable[RunRow]) -> list[str]:
    """Rows in few words: a line per dataset and loss with temperatures and their seeds."""
    lines = []
    for heading, found in groups(rows):
        seeds: dict[str, list[str]] = {}
        for row in found:
            seeds.setdefault(canonical(row.run.temperature), []).append(str(row.run.seed))
        by_seeds: dict[str, list[str]] = {}
        for tau, those in seeds.items():
            by_seeds.setdefault(", ".join(those), []).append(tau)
        parts = [_cell_words(taus, those) for those, taus in by_seeds.items()]
        lines.append(f"{heading}: {'; '.join(parts)}")
    return lines


def _cell_words(taus: list[str], seeds: str) -> str:
    at = "" if taus == ["none"] else f"τ = {', '.join(taus)}, "
    return f"{at}seed{'s' if ',' in seeds else ''} {seeds}"
