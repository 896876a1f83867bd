"""The stages as jobs: files in, files out. What Snakemake's rules and the commands both call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import provenance, records
from tausweep import study as studies
from tausweep.atomic import write_json, write_text
from tausweep.layout import Layout
from tausweep.plan import planned_run
from tausweep.run_lock import run_lock
from tausweep.study import DatasetSettings, Run, RunSettings, Study, StudyError

if TYPE_CHECKING:
    from tausweep.datasets.prepared import Prepared
    from tausweep.figures import StudyResults

Message = Callable[[str], None]


def prepare(
    study: str | None, settings: str | None, results: Path, threads: int, say: Message
) -> None:
    """Make prepared data: of all datasets of a study, or of one dataset's settings (JSON).

    Raises:
        StudyError: The source is not there or not what it should be; see ``datasets``.
    """
    from tausweep import datasets

    if study is not None:
        wanted = {run.settings.dataset for run in studies.load(study).runs()}
    else:
        wanted = {studies.parse_settings(DatasetSettings, json.loads(settings or "{}"))}
    for dataset in sorted(wanted, key=lambda d: str(Layout(results).prepared(d))):
        folder = Layout(results).prepared(dataset)
        manifest = datasets.prepare(dataset, folder, threads)
        sizes = ", ".join(f"{s['images']:,} {name}" for name, s in manifest["splits"].items())
        say(f"{folder}: {len(manifest['classes'])} classes, {sizes} images")


def _data(settings: RunSettings, results: Path) -> Prepared:
    from tausweep import datasets

    folder = Layout(results).prepared(settings.dataset)
    if not (folder / "manifest.json").exists():
        # Deleted since, to save space: the workflow does not make them again for finished runs.
        datasets.prepare(settings.dataset, folder, 1)
    return datasets.load(folder)


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

    Raises:
        StudyError: Bad input, before any work starts.
        RunLockedError: Another process writes this run, and waiting for it was stopped.
        StoppedError: ``stop`` was true; the state is saved.
    """
    run = planned_run(studies.load(study), run_id, "pretrain", planned)
    data = _data(run.settings, results)
    folder = Layout(results).run(run)
    with run_lock(folder, wait=say, stop=stop):
        if _is_pretrained(folder, run, data):
            say(f"{run.id}: already pretrained, nothing to do")
            return
        _pretrain_locked(run, data, folder, device, say, stop, checkpoint_seconds)


def _is_pretrained(folder: Path, run: Run, data: Prepared) -> bool:
    from tausweep.checkpoints import load_tensors

    if not all((folder / name).exists() for name in ("settings.json", "history.csv")):
        return False
    try:
        described = json.loads((folder / "pretrain.json").read_text(encoding="utf-8"))
        _, metadata = load_tensors(folder / "encoder.safetensors")
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
    wanted_device: str,
    say: Message,
    stop: Callable[[], bool],
    checkpoint_seconds: float,
) -> None:
    from tausweep import devices
    from tausweep.checkpoints import CheckpointFile, save_tensors
    from tausweep.pretrain import history_csv
    from tausweep.pretrain import pretrain as train

    started = provenance.now()
    settings = run.settings
    identity = {"settings": settings.pretrain_json(), "data_digest": data.digest}
    checkpoints = CheckpointFile(folder, identity)
    say(f"{run.id}: {len(data.train_images):,} images, {settings.pretrain.epochs} epochs")
    with devices.device(wanted_device, say=say) as device:
        trained = train(
            settings, data, device, checkpoints,
            say=say, stop=stop, checkpoint_seconds=checkpoint_seconds,
        )  # fmt: skip
        hardware = devices.describe(device)
    history = trained.history
    seconds = sum(row["seconds"] for row in history)
    described = {
        "outcome": trained.outcome,
        "settings_digest": settings.pretrain_digest,
        "data_digest": data.digest,
        "code_version": provenance.code_version("pretrain"),
        "train_loss": history[-1]["loss"] if trained.outcome == "complete" else None,
        "seconds": round(seconds, 3),
        "images_per_second": (
            round(len(history) * len(data.train_images) / seconds, 1) if history else None
        ),
        "bank_size": len(data.train_images),
        "hard_set_size": settings.loss.hard_set_size(len(data.train_images)),
        **provenance.describe(started, hardware),
    }
    tensors = {**trained.encoder.state_dict(), "bank": trained.bank.entries}
    made = {name: described[name] for name in ("outcome", "settings_digest", "data_digest")}
    write_json(folder / "settings.json", settings.pretrain_json())
    write_text(folder / "history.csv", history_csv(history))
    save_tensors(folder / "encoder.safetensors", tensors, made)
    write_json(folder / "pretrain.json", described)
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
    from tausweep import devices
    from tausweep.checkpoints import CheckpointFile
    from tausweep.evaluate import Evaluation
    from tausweep.evaluate import evaluate as measure

    started = provenance.now()
    run = planned_run(studies.load(study), run_id, "evaluate", planned)
    data = _data(run.settings, results)
    folder = Layout(results).run(run)
    try:
        described = json.loads((folder / "pretrain.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StudyError(f"{folder}: is not pretrained; `tausweep pretrain` does it") from None
    with run_lock(folder, wait=say), devices.device(device, say=say) as where:
        evaluation = Evaluation(run.settings, folder, data, where, say)
        measured = measure(evaluation)
        code = f"{described['code_version']}-{provenance.code_version('evaluate')}"
        content = records.record(
            run,
            status=evaluation.outcome,
            measured=measured,
            pretrain=described,
            evaluate=provenance.describe(started, devices.describe(where)),
            code_version=code,
        )
        records.write(folder / "record.json", content)
        CheckpointFile(folder, {}).remove()
    shown = {k: content["columns"].get(k) for k in ("linear_accuracy", "uniformity", "tolerance")}
    say(f"{run.id}: {evaluation.outcome} " + " ".join(
        f"{k} {v:.3f}" for k, v in shown.items() if v is not None
    ))  # fmt: skip


def collect(study: str, results: Path, output: Path) -> None:
    """Write ``records.csv``: one row a run, only when every run of the study has its record.

    Raises:
        StudyError: A record is missing, damaged, or of other settings; the first is named.
    """
    layout, rows = Layout(results), []
    for run in studies.load(study).runs():
        path = layout.run(run) / "record.json"
        try:
            columns: dict[str, Any] = records.read(path)["columns"]
        except FileNotFoundError:
            raise StudyError(f"{path}: is missing; the study is not complete") from None
        if columns["settings_digest"] != run.settings.digest:
            raise StudyError(
                f"{path}: was made with other settings than the study's; "
                f"`snakemake --forcerun pretrain {path}` makes it again"
            )
        rows.append(columns)
    write_text(output, records.table(rows))


def _results(study: Study, results: Path) -> StudyResults:
    """What the tables, figures and verdicts of a study are made from."""
    from tausweep import published
    from tausweep.figures import StudyResults
    from tausweep.protocol import scaled_down

    folder = Layout(results).study(study.study)
    return StudyResults(
        folder,
        records.read_table(folder / "records.csv"),
        published.records(),
        scaled_down(study),
    )


def tables(study: str, results: Path) -> None:
    """Write Table 1 and the full table of a study in every format.

    Raises:
        StudyError: The records are not collected.
    """
    from tausweep import tables as rooms

    asked = studies.load(study)
    found = _results(asked, results)
    flip = {run.dataset: run.settings.views.flip for run in asked.runs()}
    for make in (rooms.table1, rooms.full):
        table = make(found.records, found.published, scaled_down=found.scaled_down, flip=flip)
        for kind in rooms.FORMATS:
            path = found.folder / "tables" / f"{table.name}.{kind}"
            write_text(path, table.text(kind))


def figures(study: str, results: Path) -> None:
    """Draw every figure of a study in every format.

    Raises:
        StudyError: The records are not collected.
    """
    from tausweep import figures as rooms

    asked = studies.load(study)
    found = _results(asked, results)
    for name in rooms.NAMES:
        paths = [found.folder / "figures" / f"{name}.{kind}" for kind in rooms.FORMATS]
        rooms.draw(name, found, paths, asked.figures.model_dump())


def claims(study: str, results: Path) -> None:
    """Judge every claim of the paper by a study's records.

    Raises:
        StudyError: The records are not collected.
    """
    from tausweep import claims as rooms

    asked = studies.load(study)
    verdicts = rooms.judge(_results(asked, results).records)
    folder = Layout(results).study(asked.study)
    write_text(folder / "claims.json", rooms.to_json(verdicts))
    write_text(folder / "claims.md", rooms.to_markdown(verdicts))


def report(study: str, results: Path) -> str:
    """Write the report of a complete study; returns its headline.

    Raises:
        StudyError: The records are not collected.
    """
    from tausweep import report as rooms

    asked, layout = studies.load(study), Layout(results)
    folder = layout.study(asked.study)
    collected = records.read_table(folder / "records.csv")
    return rooms.build(asked, study, layout, collected, folder / "report.html")
