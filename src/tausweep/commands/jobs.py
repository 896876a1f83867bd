"""The stages as jobs: files in, files out. What Snakemake's rules and the commands both call."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import study as studies
from tausweep.commands import targets
from tausweep.commands.plan import planned_run
from tausweep.data import measurable
from tausweep.results import records
from tausweep.storage import provenance
from tausweep.storage.atomic import write_json, write_text
from tausweep.storage.layout import File, Layout, kept_weights, weights_after
from tausweep.storage.run_lock import run_lock
from tausweep.study import Run, Study, StudyError

if TYPE_CHECKING:
    from tausweep.data.prepared import Prepared
    from tausweep.machine.peers import Processes
    from tausweep.model.bank import MemoryBank
    from tausweep.model.encoder import Encoder
    from tausweep.report.figures import StudyResults
    from tausweep.training.checkpoints import CheckpointFile
    from tausweep.training.trainer import Keep, Pretrained

Message = Callable[[str], None]


def prepare(study: str, only: str | None, results: Path, threads: int, say: Message) -> None:
    """Make the prepared data of a study.

    Args:
        study: Its file.
        only: The name of the one folder below ``results/data`` to make; none makes all.
        results: The results folder.
        threads: For decoding.
        say: Told of each folder.

    Raises:
        StudyError: The source is not there or not what it should be, see ``datasets``; a measure
            could not be taken from it; or a run's settings do not fit it.
    """
    if threads < 1:
        raise StudyError(f"--threads: {threads} is not allowed; it should be 1 or more")
    asked, layout = studies.load(study), Layout(results)
    wanted: dict[Path, list[Run]] = {}
    for run in asked.runs():
        wanted.setdefault(layout.prepared(run.settings.dataset), []).append(run)
    names = sorted(folder.name for folder in wanted)
    if only not in (None, *names):
        raise StudyError(
            f"--only {only}: no data of the study {asked.study} are prepared there; they go to "
            f"{', '.join(names)}"
        )
    for folder, runs in sorted(wanted.items()):
        if only in (None, folder.name):
            manifest = _prepare(runs, folder, threads)
            sizes = ", ".join(f"{s['images']:,} {name}" for name, s in manifest["splits"].items())
            say(f"{folder}: {len(manifest['classes'])} classes, {sizes} images")


def _prepare(runs: Sequence[Run], folder: Path, threads: int) -> dict[str, Any]:
    """Make the prepared data of runs, if they are fit for what is asked of them."""
    from tausweep import data as datasets

    dataset = runs[0].settings.dataset
    with measurable.of(runs):
        return datasets.prepare(
            dataset, folder, threads, lambda counts: measurable.check(counts, runs)
        )


def prepared_data(runs: Sequence[Run], results: Path) -> Prepared:
    """The prepared data of runs, made now if they are not there, and fit for what is asked of them.

    Args:
        runs: One or more, all of the same dataset.
        results: The results folder.

    Raises:
        StudyError: They cannot be made, a measure could not be taken from them, or a run's
            settings do not fit their number.
    """
    from tausweep import data as datasets

    folder = Layout(results).prepared(runs[0].settings.dataset)
    if not (folder / File.MANIFEST).exists():
        # Deleted since, to save space: the workflow does not make them again for finished runs.
        _prepare(runs, folder, 1)
    data = datasets.load(folder)
    with measurable.of(runs):
        measurable.check(measurable.per_class(data.manifest), runs)
    return data


def pretrain(
    study: str,
    run_id: str,
    results: Path,
    *,
    planned: str | None = None,
    device: str,
    say: Message,
    stop: Callable[[], bool],
    checkpoint_seconds: float,
) -> None:
    """Pretrain a run and write its outputs; a finished run is left as it is.

    Where torchrun started several processes, they share the run: the first holds the lock, writes
    and speaks.

    Raises:
        StudyError: Bad input, before any work starts.
        RunLockedError: Another process writes this run, and waiting for it was stopped.
        StoppedError: ``stop`` was true; the state is saved.
        ProcessesError: Another process of the run ended.
    """
    from tausweep.machine.peers import joined

    run = planned_run(studies.load(study), run_id, "pretrain", planned)
    folder = Layout(results).run(run)
    with joined(device) as processes:
        if not processes.first:
            say = _silent
        # The first makes and checks them before the others open them.
        data = prepared_data([run], results) if processes.first else None
        with processes.by_first(contextlib.nullcontext, stop):
            data = data or prepared_data([run], results)
        with processes.by_first(lambda: run_lock(folder, wait=say, stop=stop), stop):
            (done,) = processes.any(processes.first and is_pretrained(folder, run, data))
            if done:
                say(f"{run.id}: already pretrained, nothing to do")
                return
            _pretrain_locked(run, data, folder, processes, device, say, stop, checkpoint_seconds)


def _silent(line: str) -> None:
    """What a process has to say that is not the first: the same."""


def is_pretrained(folder: Path, run: Run, data: Prepared) -> bool:
    """Whether a run's folder has what pretraining leaves, whole and of these settings and data."""
    from tausweep.training.checkpoints import load_tensors

    if not all((folder / name).exists() for name in (File.SETTINGS, File.HISTORY)):
        return False
    try:
        described = json.loads((folder / File.PRETRAIN).read_text(encoding="utf-8"))
        _, metadata = load_tensors(folder / File.ENCODER)
    except (OSError, ValueError):
        return False  # absent or damaged (DamagedFileError is a ValueError): it is made again
    wanted = (run.settings.pretrain_digest, data.digest)
    return all(
        (found.get("settings_digest"), found.get("data_digest")) == wanted
        for found in (described, metadata)
    )


def _pretrain_locked(
    run: Run,
    data: Prepared,
    folder: Path,
    processes: Processes,
    wanted_device: str,
    say: Message,
    stop: Callable[[], bool],
    checkpoint_seconds: float,
) -> None:
    from tausweep.machine import devices
    from tausweep.training.pretrain import pretrain as train

    started = provenance.now()
    settings, checkpoints = run.settings, checkpoints_of(run, data, folder)
    say(f"{run.id}: {len(data.train_images):,} images, {settings.pretrain.epochs} epochs")
    with devices.devices_of(wanted_device, processes, say, stop) as device:
        trained = train(
            settings, data, device, checkpoints,
            say=say, stop=stop, checkpoint_seconds=checkpoint_seconds, processes=processes,
            keep=kept_epochs(run, data, folder),
        )  # fmt: skip
        hardware = devices.describe(device)
    if processes.count > 1:
        hardware["processes"] = processes.count
    if processes.first:
        write_pretrained(run, data, folder, trained, started, hardware)


def checkpoints_of(run: Run, data: Prepared, folder: Path) -> CheckpointFile:
    """The checkpoints of a run in its folder, bound to its settings and data."""
    from tausweep.training.checkpoints import CheckpointFile

    settings = run.settings.pretrain_json()
    return CheckpointFile(folder, {"settings": settings, "data_digest": data.digest})


def kept_epochs(run: Run, data: Prepared, folder: Path) -> Keep:
    """What keeps encoder and bank at the epochs that are measured along training, but for the last.

    The last one's are what pretraining leaves.
    """
    wanted = run.settings.along.keys() - {run.settings.pretrain.epochs}
    made = {"settings_digest": run.settings.pretrain_digest, "data_digest": data.digest}

    def keep(epoch: int, encoder: Encoder, bank: MemoryBank) -> None:
        if epoch in wanted:
            path = weights_after(folder, epoch)
            _save_encoder(path, encoder, bank, made | {"outcome": "complete", "epoch": epoch})

    return keep


def _save_encoder(path: Path, encoder: Encoder, bank: MemoryBank, made: dict[str, Any]) -> None:
    from tausweep.training.checkpoints import save_tensors

    save_tensors(path, {**encoder.state_dict(), "bank": bank.entries}, made)


def write_pretrained(
    run: Run,
    data: Prepared,
    folder: Path,
    trained: Pretrained,
    started: str,
    hardware: dict[str, Any],
) -> None:
    """Write what pretraining a run leaves: settings, history, encoder with bank, provenance.

    Args:
        run: The run.
        data: What it was trained on.
        folder: Where its files go.
        trained: What training ended with.
        started: When it began, see ``provenance.now``.
        hardware: See ``devices.describe``.
    """
    from tausweep.training.position import history_csv

    settings, history = run.settings, trained.history
    seconds = sum(row["seconds"] for row in history)
    described = {
        "outcome": trained.outcome,
        "settings_digest": settings.pretrain_digest,
        "data_digest": data.digest,
        "code_version": provenance.code_version("pretrain"),
        "train_loss": history[-1]["loss"] if history and trained.outcome == "complete" else None,
        "seconds": round(seconds, 3),
        "images_per_second": (
            round(len(history) * len(data.train_images) / seconds, 1) if history else None
        ),
        "bank_size": len(data.train_images),
        "hard_set_size": settings.loss.hard_set_size(len(data.train_images)),
        **provenance.describe(started, hardware),
    }
    made = {name: described[name] for name in ("outcome", "settings_digest", "data_digest")}
    write_json(folder / File.SETTINGS, settings.pretrain_json())
    write_text(folder / File.HISTORY, history_csv(history))
    _save_encoder(folder / File.ENCODER, trained.encoder, trained.bank, made)
    for epoch, path in kept_weights(folder).items():
        # Those of another `evaluate_at`, and of a run that diverged after them, mislead.
        if epoch not in settings.along or trained.outcome != "complete":
            path.unlink()
    write_json(folder / File.PRETRAIN, described)
    # The checkpoints stay until there is a record: a Snakemake that was killed before it took note
    # of this job's end deletes its outputs at the next start, and then little is to be repeated.


def evaluate(
    study: str,
    run_id: str,
    results: Path,
    *,
    planned: str | None = None,
    device: str,
    say: Message,
) -> None:
    """Measure a pretrained run and write its record.

    Raises:
        StudyError: Bad input, or the run is not pretrained with these settings and data.
        RunLockedError: Another process writes this run.
    """
    from tausweep.machine import devices
    from tausweep.measures import along
    from tausweep.measures.evaluate import Evaluation
    from tausweep.measures.evaluate import evaluate as measure
    from tausweep.training.checkpoints import CheckpointFile

    started = provenance.now()
    run = planned_run(studies.load(study), run_id, "evaluate", planned)
    data = prepared_data([run], results)
    folder = Layout(results).run(run)
    try:
        described = json.loads((folder / File.PRETRAIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StudyError(f"{folder}: is not pretrained; `tausweep pretrain` does it") from None
    with run_lock(folder, wait=say), devices.device(device, say=say) as where:
        evaluation = Evaluation(run.settings, folder, data, where, say)
        measured = measure(evaluation)
        if measured:
            along.evaluate(evaluation, measured)
        status = "complete" if measured else "diverged"
        code = f"{described['code_version']}-{provenance.code_version('evaluate')}"
        content = records.record(
            run,
            status=status,
            measured=measured,
            pretrain=described,
            evaluate=provenance.describe(started, devices.describe(where)),
            code_version=code,
        )
        records.write(folder / File.RECORD, records.sealed(content, folder))
        CheckpointFile(folder, {}).remove()
    shown = {k: content["columns"].get(k) for k in ("linear_accuracy", "uniformity", "tolerance")}
    say(f"{run.id}: {status} " + " ".join(
        f"{k} {v:.3f}" for k, v in shown.items() if v is not None
    ))  # fmt: skip


def collect(study: str, results: Path, output: Path) -> None:
    """Write ``records.csv``: one row a run, only when every run of the study has its record.

    ``along.csv`` comes beside it where the study measures runs along their training.

    Raises:
        StudyError: A record is missing, damaged, or of other settings; the first is named.
    """
    asked, layout, rows = studies.load(study), Layout(results), []
    targets.check_output(output, asked, layout)
    for run in asked.runs():
        path = layout.run(run) / File.RECORD
        try:
            columns: dict[str, Any] = records.read(path)["columns"]
        except FileNotFoundError:
            raise StudyError(f"{path}: is missing; the study is not complete") from None
        if columns["settings_digest"] != run.settings.digest:
            raise StudyError(
                f"{path}: was made with other settings than the study's; "
                f"`snakemake --configfile {study} --forcerun {path}` measures it again"
            )
        rows.append(columns)
    statuses = [row["status"] for row in rows]
    write_along(asked, layout, statuses, output.parent / File.ALONG_TABLE)
    write_text(output, records.table(rows))


def write_along(study: Study, layout: Layout, statuses: Iterable[str], output: Path) -> None:
    """Write ``along.csv``; remove it where the study measures no run along its training.

    Args:
        study: What is asked for.
        layout: Where its runs lie.
        statuses: Of its runs, in their order; those that are not complete have no rows.
        output: Where to write.

    Raises:
        StudyError: A complete run's ``along.json`` is missing or damaged.
    """
    if study.evaluate_at is None:
        output.unlink(missing_ok=True)
        return
    rows: list[dict[str, Any]] = []
    for run, status in zip(study.runs(), statuses, strict=True):
        if status == "complete" and run.settings.along:
            rows += records.along(run, layout.run(run) / File.ALONG)
    write_text(output, records.along_table(rows))


@dataclass(frozen=True)
class Collected:
    """A study's collected records and where what is made of them goes.

    ``results/<study>/``, or for the partial table of an unfinished study
    ``results/<study>/partial/``, so that the two are never mistaken for each other.

    Attributes:
        study: What is asked for.
        study_file: Its file.
        layout: Where results lie.
        partial: Whether the study is not finished.
    """

    study: Study
    study_file: str
    layout: Layout
    partial: bool = False

    @staticmethod
    def of(study_file: str, results: Path, *, partial: bool = False) -> Collected:
        """The collected records of a study file.

        Raises:
            StudyError: The study is not valid.
        """
        return Collected(studies.load(study_file), study_file, Layout(results), partial)

    @property
    def folder(self) -> Path:
        """Where tables, figures, verdicts and the report go."""
        folder = self.layout.study(self.study.study)
        return folder / "partial" if self.partial else folder

    @cached_property
    def results(self) -> StudyResults:
        """What the tables, figures and verdicts are made from.

        Raises:
            StudyError: The records are not collected.
        """
        from tausweep.report import protocol
        from tausweep.report.figures import StudyResults
        from tausweep.results import published

        return StudyResults(
            self.layout.study(self.study.study),
            records.read_table(self.folder / File.RECORDS),
            published.records(),
            protocol.scaled_down(self.study),
            self.study.uniformity_t,
            classes=self._classes(),
            along=records.read_along(self.folder / File.ALONG_TABLE),
        )

    def _classes(self) -> dict[str, list[str]]:
        from tausweep.data.manifest import manifest

        datasets = {run.dataset: run.settings.dataset for run in self.study.runs()}
        made = {name: manifest(settings, self.layout) for name, settings in datasets.items()}
        return {name: found.get("classes", []) for name, found in made.items() if found}

    def tables(self) -> None:
        """Write Table 1 and the full table in every format."""
        from tausweep.report import tables as rooms

        flip = {run.dataset: run.settings.views.flip for run in self.study.runs()}
        found = self.results
        for make in (rooms.table1, rooms.full):
            table = make(
                found.records,
                found.published,
                scaled_down=found.scaled_down,
                flip=flip,
                t=found.t,
            )
            for kind in rooms.FORMATS:
                path = self.folder / "tables" / f"{table.name}.{kind}"
                write_text(path, table.text(kind))

    def figures(self) -> None:
        """Draw every figure of the study in every format; one that is no more of it goes."""
        from tausweep.report import figures as rooms

        asked = rooms.asked(self.study)
        for name in rooms.NAMES:
            paths = [self.folder / "figures" / f"{name}.{kind}" for kind in rooms.FORMATS]
            if name in asked:
                rooms.draw(name, self.results, paths, self.study.figures.model_dump())
                continue
            for path in paths:
                path.unlink(missing_ok=True)

    def claims(self) -> None:
        """Judge every claim of the paper."""
        from tausweep.claims import judging as rooms
        from tausweep.claims import study_verdicts

        found = self.results
        verdicts = study_verdicts.judge(self.study, self.layout, found.records, found.along)
        miniature = found.scaled_down is not None
        write_text(self.folder / File.CLAIMS_JSON, rooms.to_json(verdicts))
        write_text(self.folder / File.CLAIMS_CSV, rooms.to_csv(verdicts))
        write_text(self.folder / File.CLAIMS_MARKDOWN, rooms.to_markdown(verdicts, miniature))

    def report(self) -> str:
        """Write the report of what the other three made; returns its headline."""
        from tausweep.report import page as rooms

        out = self.folder / File.REPORT
        return rooms.build(
            self.study, self.study_file, self.layout, self.results.records, out, self.partial
        )


def partial(study_file: str, results: Path) -> str:
    """Tabulate, draw, judge and report what a study has so far; nothing is trained for it.

    Returns:
        What the partial table covers, in words, and where the report is.

    Raises:
        StudyError: The study is not valid.
    """
    from tausweep.commands import partial as rooms

    collected = Collected.of(study_file, results, partial=True)
    table = collected.folder / File.RECORDS
    coverage = rooms.collect(collected.study, collected.layout, table)
    statuses = records.read_table(table)["status"]
    write_along(collected.study, collected.layout, statuses, table.parent / File.ALONG_TABLE)
    collected.tables()
    collected.figures()
    collected.claims()
    collected.report()
    return f"{coverage}\nreport: {collected.folder / File.REPORT}"
