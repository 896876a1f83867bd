"""What a study asks for, checked and priced before anything starts. Torch is not imported."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import data as datasets
from tausweep import study as studies
from tausweep.commands import cost, flags
from tausweep.commands.cost import train_count
from tausweep.commands.json_document import print_document
from tausweep.data import contents, measurable
from tausweep.data.manifest import manifest
from tausweep.machine import instructions
from tausweep.storage import shipped
from tausweep.storage.layout import Layout
from tausweep.study import DatasetSettings, Run, Study, StudyError, canonical, did_you_mean

if TYPE_CHECKING:
    from tausweep.commands.duration import Duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--run", dest="run_id", metavar="ID", help="print one run's settings, as JSON"
    )
    shown.add_argument(
        "--power", action="store_true",
        help="print what the grid and the seeds can settle, and how many seeds would",
    )  # fmt: skip
    flags.add_json(shown)
    parser.add_argument(
        "--no-measure", dest="measure", action="store_false",
        help="do not time a few steps of runs of which no speed is known (timed once a day)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    asked = studies.load(options.study)
    if options.run_id:
        print(settings_of(asked, options.run_id))
        return
    if options.power:
        from tausweep.claims import power

        print(power.describe(asked))
        return
    layout = Layout(Path(options.results))
    check(asked, layout)
    # Only this command times steps: Snakemake reads the module too, often.
    from tausweep.commands import duration, machine_speed

    time = None
    if not machine_speed.has_gpu():
        time = duration.duration(asked, layout, measure=options.measure)
    if options.json:
        print_document("plan", values(asked, layout, time, jobs(options.study)))
        return
    print(describe(asked, layout, duration.lines(time) if time else []))
    print(rules(options.study))


def find_run(study: Study, run_id: str) -> Run:
    """Find a run of a study by its id.

    Raises:
        StudyError: The study has no such run.
    """
    runs = {run.id: run for run in study.runs()}
    if run_id not in runs:
        raise StudyError(
            f"--run {run_id}: the study {study.study} has no such run{did_you_mean(run_id, runs)}; "
            f"`tausweep plan` lists all {len(runs)}"
        )
    return runs[run_id]


def planned_run(study: Study, run_id: str, stage: str, planned: str | None) -> Run:
    """Find a run of a study by its id, and check that its settings are still the planned ones.

    Args:
        study: The study as its file is now.
        run_id: The run.
        stage: ``pretrain`` or ``evaluate``.
        planned: Digest of the stage's settings when the job was planned; none skips the check.

    Raises:
        StudyError: The study has no such run, or its settings have changed.
    """
    run = find_run(study, run_id)
    settings = run.settings
    now = settings.pretrain_digest if stage == "pretrain" else settings.digest
    if planned not in (None, now):
        raise StudyError(
            f"--run {run_id}: its settings have changed since it was planned ({planned}, now "
            f"{now}); start snakemake again"
        )
    return run


def settings_of(study: Study, run_id: str) -> str:
    """One run's resolved settings and their digests as JSON."""
    settings = find_run(study, run_id).settings
    shown = settings.pretrain_json() | settings.evaluate_json()
    shown |= {"pretrain_digest": settings.pretrain_digest, "settings_digest": settings.digest}
    return json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False)


ABSENT = "absent"
"""Stands for the fingerprint of a missing source without which a study can be planned."""


@cache
def source_fingerprint(dataset: DatasetSettings, layout: Layout) -> str:
    """Fingerprint of a source; see ``data.contents``.

    If the source is gone, the fingerprint of what the prepared data were made from.

    Raises:
        StudyError: The source is missing or wrong, and nothing was prepared from it.
    """
    if dataset.source.kind == "imagenet100" and not datasets.root(dataset.source).is_dir():
        # A study can be planned without it, as without archives that are still to be downloaded.
        # Preparing it reports what is missing.
        return ABSENT
    try:
        look = datasets.seen(dataset.source)
        return contents.fingerprint(dataset.source, layout.prepared(dataset), look)
    except StudyError:
        # An unmounted disk, or results copied elsewhere: prepared data can still be used.
        if (made := manifest(dataset, layout)) is None:
            raise
        return str(made["source"]["fingerprint"])


def look_again() -> None:
    """Forget what was seen at the sources, which a process otherwise looks at once."""
    datasets.seen.cache_clear()
    source_fingerprint.cache_clear()


def made_of_source(made: Mapping[str, Any], dataset: DatasetSettings, layout: Layout) -> bool:
    """Whether prepared data, by their manifest, were made from the source as it is now.

    Raises:
        StudyError: See ``source_fingerprint``.
    """
    return str(made["source"]["fingerprint"]) == source_fingerprint(dataset, layout)


def class_counts(dataset: DatasetSettings, layout: Layout) -> dict[str, dict[str, int]] | None:
    """Number of images by split and class; none if not known before preparation.

    Raises:
        StudyError: The source is missing or wrong.
    """
    made = manifest(dataset, layout)
    gone = source_fingerprint(dataset, layout) == ABSENT
    # If the source has changed, the counts in the manifest are out of date.
    if made is not None and (gone or made_of_source(made, dataset, layout)):
        return measurable.images_per_class(made)
    counts = None if gone else datasets.seen(dataset.source).counts
    return measurable.limited(counts, dataset) if counts else None


def check(study: Study, layout: Layout) -> None:
    """Refuse now what would fail hours later: check sources, classes, hard sets and neighbours.

    A user's own losses are tried on random embeddings; torch is imported for them alone.

    Raises:
        StudyError: Something does not fit the data.
    """
    by_data: dict[DatasetSettings, list[Run]] = {}
    for run in study.runs():
        by_data.setdefault(run.settings.dataset, []).append(run)
    for dataset, runs in by_data.items():
        with measurable.of(runs):
            counts = class_counts(dataset, layout)
            count = train_count(dataset, layout)
            if counts is not None:
                measurable.check(counts, runs)
                count = sum(counts["train"].values())
            elif count is not None:
                measurable.check_size(runs, count)
        _try_losses(runs, count)


def _try_losses(runs: list[Run], count: int | None) -> None:
    """Try each own loss of some runs on the same data, with ``count`` training images, once."""
    own = {run.settings.loss: run.settings for run in runs if run.settings.loss.module is not None}
    if own:
        from tausweep.losses import trial

        for settings in own.values():
            trial.refuse(settings, count)


def describe(study: Study, layout: Layout, time: Iterable[str] = ()) -> str:
    """The plan as text: runs, hard sets, time, disk and memory, and this machine's CPU.

    Args:
        study: A study that was checked.
        layout: Where results are.
        time: Lines on the time that it takes on this machine.
    """
    runs = study.runs()
    lines = [f"study {study.study}: {len(runs)} runs, {len(study.seeds)} seed(s)", ""]
    cells: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        taus = cells.setdefault((run.dataset, run.loss), [])
        if (tau := canonical(run.temperature)) not in taus:
            taus.append(tau)
    width = max(len(f"{d}/{loss}") for d, loss in cells)
    for (dataset, loss), taus in cells.items():
        lines.append(f"  {dataset + '/' + loss:{width}}  {' '.join(taus)}")
    seeds = " ".join(f"seed{seed}" for seed in study.seeds)
    lines += [f"  {'each with':{width}}  {seeds}", "", *_hard_set_lines(study, layout)]
    lines += ["", *cost.describe(study, layout), *time, *instructions.describe()]
    lines += [f"missing: {source}" for source in _absent(study, layout)]
    return "\n".join(lines)


def _hard_set_lines(study: Study, layout: Layout) -> list[str]:
    """Where negatives come from but the bank; N, K and alpha of the losses with a hard set."""
    lines: dict[str, None] = {}
    for run in study.runs():
        loss, name = run.settings.loss, f"{run.dataset}/{run.loss}"
        count = train_count(run.settings.dataset, layout)
        if count is None:
            continue
        there = loss.negative_count(count, min(count, run.settings.pretrain.batch_size))
        if loss.source != "bank":
            lines[f"negatives of {name}: {there:,}, from the {loss.source}"] = None
        if loss.hard_set_size(count) is not None:
            hard = loss.negatives or max(1, round((loss.alpha or 0) * there))
            lines[
                f"hard set of {name}: K = {hard:,} of the {there:,} negatives (N = {count:,}), "
                f"alpha = {hard / there:.4f}"
            ] = None
    return list(lines)


def _absent(study: Study, layout: Layout) -> list[str]:
    """Sources that are planned but missing, each with its folder."""
    found = {run.settings.dataset: None for run in study.runs()}
    return [
        f"{dataset.source.kind} ({datasets.root(dataset.source)})"
        for dataset in found
        if source_fingerprint(dataset, layout) == ABSENT
    ]


def jobs(study_file: str) -> dict[str, int]:
    """How many jobs Snakemake would run now, by rule.

    Raises:
        StudyError: Snakemake refuses.
    """
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules"]
    command += ["--snakefile", str(shipped.snakefile())]
    done = subprocess.run(
        [*command, "--configfile", study_file], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise StudyError(f"snakemake cannot plan {study_file}: {' '.join(last)}")
    return {
        words[0]: int(words[1])
        for line in (done.stdout + done.stderr).splitlines()
        if len(words := line.split()) == 2 and words[1].isdecimal() and words[0] != "total"
    }


def rules(study_file: str) -> str:
    """The jobs that Snakemake would run now, by rule, as text.

    Raises:
        StudyError: Snakemake refuses.
    """
    counted = jobs(study_file)
    if not counted:
        return "nothing to do"
    return "would run: " + ", ".join(f"{name} {n}" for name, n in counted.items())


def values(
    study: Study, layout: Layout, time: Duration | None, jobs: Mapping[str, int]
) -> dict[str, Any]:
    """The plan as a JSON document has it (docs/commands.md).

    Args:
        study: A study that was checked.
        layout: Where results are.
        time: What it takes on this machine, if that is known.
        jobs: The jobs that would run now, by rule.
    """
    return {
        "study": study.study,
        "seeds": list(study.seeds),
        "runs": [
            {
                "run": run.id,
                "pretrain_digest": run.settings.pretrain_digest,
                "settings_digest": run.settings.digest,
                "hard_set_size": None
                if (count := train_count(run.settings.dataset, layout)) is None
                else run.settings.loss.hard_set_size(count),
            }
            for run in study.runs()
        ],
        "costs": {name: _cost_values(c) for name, c in cost.costs(study, layout).items()},
        "time": None if time is None else {"seconds": time.seconds, **asdict(time)},
        "jobs": dict(jobs),
        "missing_sources": _absent(study, layout),
    }


def _cost_values(price: cost.Cost) -> dict[str, Any]:
    return {
        "runs": price.runs,
        "operations": price.training,
        "gpu_seconds_assumed": price.gpu_seconds,
        "measured": {
            device: {"seconds": seconds, "runs": runs}
            for device, (seconds, runs) in price.measured.items()
        },
        "disk_bytes": price.disk,
        "passing_disk_bytes": price.passing,
        "gpu_memory_bytes": price.gpu_memory,
        "training_memory_bytes": price.training_memory,
        "evaluation_memory_bytes": price.evaluation_memory,
        "size_known": not price.unknown,
    }
