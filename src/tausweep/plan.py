"""What a study asks for, checked and priced before anything starts. Torch is not imported."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tausweep import datasets
from tausweep.layout import Layout
from tausweep.study import (
    TRUNKS,
    DatasetSettings,
    EncoderSettings,
    Run,
    RunSettings,
    Study,
    StudyError,
    canonical,
    nearest,
)

FLOPS = {"a CPU thread": 40e9, "an H100 (bf16, 36% of peak)": 356e12}
"""Stated sustained throughput for runs that nothing was measured for, floating-point operations a
second: what ResNet-18 of width 16 reaches on one AVX2 core, and what the best speed-runs reach."""

BACKWARD = 3.0
"""Training costs forward, gradient to the activations and gradient to the weights."""

EVALUATION = 8.0
"""Forward passes over the training split that an evaluation takes, its measures included."""

ORIGINAL_BYTES = 115e3
"""An image of ImageNet at its original size: 147.9 GB of 1,281,167 training images."""


def find_run(study: Study, run_id: str) -> Run:
    """A study's run by its id.

    Raises:
        StudyError: The study has no such run.
    """
    runs = {run.id: run for run in study.runs()}
    if run_id not in runs:
        raise StudyError(
            f"run {run_id}: the study {study.study} has no such run{nearest(run_id, runs)}; "
            f"`tausweep plan` lists all {len(runs)}"
        )
    return runs[run_id]


def planned_run(study: Study, run_id: str, stage: str, planned: str | None) -> Run:
    """A study's run by its id, if its settings are still those that were planned.

    Args:
        study: As its file says now.
        run_id: The run.
        stage: ``pretrain`` or ``evaluate``.
        planned: Digest of the stage's settings when the job was planned; none asks for no check.

    Raises:
        StudyError: The study has no such run, or its settings changed since.
    """
    run = find_run(study, run_id)
    settings = run.settings
    now = settings.pretrain_digest if stage == "pretrain" else settings.digest
    if planned not in (None, now):
        raise StudyError(
            f"run {run_id}: its settings changed since it was planned ({planned}, now {now}); "
            "start snakemake again"
        )
    return run


def settings_of(study: Study, run_id: str) -> str:
    """One run's resolved settings as JSON, its digests with them."""
    settings = find_run(study, run_id).settings
    shown = settings.pretrain_json() | settings.evaluate_json()
    shown |= {"pretrain_digest": settings.pretrain_digest, "settings_digest": settings.digest}
    return json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False)


def manifest(dataset: DatasetSettings, layout: Layout) -> dict[str, Any] | None:
    """The manifest of prepared data, or none if it is not made yet."""
    try:
        text = (layout.prepared(dataset) / "manifest.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None  # a damaged manifest is as good as none: Snakemake or `load` will say so
    return found


@lru_cache
def source_fingerprint(dataset: DatasetSettings, layout: Layout) -> str:
    """What lies at the source; if it is gone, what the prepared data were made from.

    Raises:
        StudyError: The source is not what it should be, and nothing was prepared from it.
    """
    if dataset.source.kind == "imagenet100" and not datasets.root(dataset.source).is_dir():
        # As for archives that are not fetched yet, a study can be planned without it; preparing
        # it says what is missing.
        return "absent"
    try:
        return datasets.fingerprint(dataset.source)
    except StudyError:
        # An unmounted disk, or results copied elsewhere: what is prepared can still be used.
        if (made := manifest(dataset, layout)) is None:
            raise
        return str(made["source"]["fingerprint"])


def train_count(dataset: DatasetSettings, layout: Layout) -> int | None:
    """Number of training images N, the bank's size; none if it is not known yet."""
    if dataset.train_limit is not None:
        return dataset.train_limit
    if (made := manifest(dataset, layout)) is not None:
        return int(made["splits"]["train"]["images"])
    return datasets.train_size(dataset.source)


def check(study: Study, layout: Layout) -> None:
    """Refuse what would fail hours later: sources, hard sets and neighbours against the data.

    Raises:
        StudyError: One sentence.
    """
    for settings in {run.settings for run in study.runs()}:
        source_fingerprint(settings.dataset, layout)
        count = train_count(settings.dataset, layout)
        if count is None:
            continue
        settings.loss.hard_set_size(count)
        settings.check_batches(count)
        if settings.knn.k > count:
            raise StudyError(
                f"knn.k: {settings.knn.k} is more than the {count} training images; "
                f"allowed is 1 to {count}"
            )


def _layers(encoder: EncoderSettings, image_size: int) -> Iterator[tuple[int, int, int, int]]:
    """Side of the result, kernel area, channels in and out of every layer, the head's last."""
    kind, blocks = TRUNKS[encoder.trunk]
    if encoder.trunk == "pixels":
        return
    kernel, stride, pool = (3, 1, 1) if encoder.stem == "cifar" else (7, 2, 2)
    side, channels = math.ceil(image_size / stride), encoder.width
    yield side, kernel**2, 3, channels
    side = math.ceil(side / pool)
    for stage, count in enumerate(blocks):
        planes = encoder.width * 2**stage
        out = planes * (1 if kind == "basic" else 4)
        for block in range(count):
            before = side
            side = math.ceil(side / 2) if stage > 0 and block == 0 else side
            if kind == "basic":
                yield side, 9, channels, planes
                yield side, 9, planes, planes
            else:
                yield before, 1, channels, planes
                yield side, 9, planes, planes
                yield side, 1, planes, out
            if channels != out:
                yield side, 1, channels, out
            channels = out
    if encoder.head == "mlp":
        yield 1, 1, channels, channels
    yield 1, 1, channels, encoder.dim


def forward_flops(encoder: EncoderSettings, image_size: int) -> float:
    """Floating-point operations of one image's forward pass (two a multiply-add)."""
    return sum(2.0 * side**2 * k * i * o for side, k, i, o in _layers(encoder, image_size))


def parameter_count(encoder: EncoderSettings) -> int:
    """Parameters of trunk and head: weights, and two a channel for batch norm or bias."""
    layers = [*_layers(encoder, 1)]
    heads = 2 if encoder.head == "mlp" else 1
    # A head's layer has a bias alone.
    return sum(k * i * o + 2 * o for _, k, i, o in layers) - sum(o for *_, o in layers[-heads:])


def feature_count(encoder: EncoderSettings) -> int:
    """Dimension D of the pooled features."""
    layers = [*_layers(encoder, 1)]
    return layers[-1][2] if layers else encoder.dim


@dataclass(frozen=True)
class Cost:
    """What a study's runs cost.

    Attributes:
        training: Floating-point operations of all pretraining.
        seconds: From measured throughput, of the runs that it is known for.
        measured: How many runs that is.
        disk: Bytes kept: encoders, banks, embeddings, prepared images.
        unknown: Datasets whose size is not known before they are prepared.
    """

    training: float
    seconds: float
    measured: int
    disk: float
    unknown: tuple[str, ...]


def cost(study: Study, layout: Layout) -> Cost:
    """Price a study; throughput is taken from runs under the results folder where they exist."""
    speeds = _measured_throughput(layout)
    training = seconds = disk = 0.0
    measured, unknown, images = 0, set(), {}
    for run in study.runs():
        settings = run.settings
        count = train_count(settings.dataset, layout)
        if count is None:
            unknown.add(run.dataset)
            continue
        side = settings.dataset.image_size
        flops = forward_flops(settings.encoder, side)
        training += count * flops * (BACKWARD * settings.pretrain.epochs + EVALUATION)
        if (speed := speeds.get(_alike(settings))) is not None:
            forwards = settings.pretrain.epochs + EVALUATION / BACKWARD
            seconds += count * forwards / speed
            measured += 1
        parameters = parameter_count(settings.encoder)
        disk += 4 * (parameters + 3.2 * count * settings.encoder.dim)
        images[layout.prepared(settings.dataset)] = _prepared_bytes(settings.dataset, count, layout)
    return Cost(training, seconds, measured, disk + sum(images.values()), tuple(sorted(unknown)))


def _prepared_bytes(dataset: DatasetSettings, count: int, layout: Layout) -> float:
    """Size of prepared images: as they are if they are there, else with a test split of a fifth.

    Of ImageNet100, whose images keep their size, 5,000 are the test split.
    """
    if (made := manifest(dataset, layout)) is not None:
        return float(sum(file["bytes"] for file in made["files"].values()))
    if dataset.form == "originals":
        test = 5_000 if dataset.source.kind == "imagenet100" else 0.2 * count
        return ORIGINAL_BYTES * (count + test)
    return 1.2 * count * 3 * dataset.image_size**2


def _alike(settings: RunSettings) -> tuple[Any, ...]:
    """Runs of one key train at about the same speed on one machine."""
    pretrain = settings.pretrain
    return (
        settings.encoder, settings.dataset.image_size, pretrain.batch_size, pretrain.precision,
        settings.loss.name,
    )  # fmt: skip


def _measured_throughput(layout: Layout) -> dict[tuple[Any, ...], float]:
    """Images a second of finished runs, the last one read of each kind."""
    found: dict[tuple[Any, ...], float] = {}
    for path in sorted(layout.root.glob("*/runs/*/*/*/*/record.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            settings = RunSettings.model_validate(record["settings"])
            speed = record["columns"]["images_per_second"]
        except (ValueError, KeyError, TypeError):
            continue  # a damaged or older record prices nothing
        if speed:
            found[_alike(settings)] = float(speed)
    return found


def describe(study: Study, layout: Layout) -> str:
    """The plan as text: runs, what would run, time and disk.

    Raises:
        StudyError: See ``check``.
    """
    check(study, layout)
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
    lines += _cost_lines(study, layout)
    return "\n".join(lines)


def _hard_set_lines(study: Study, layout: Layout) -> list[str]:
    """N, K and alpha of every dataset and loss that has a hard set."""
    lines: dict[str, None] = {}
    for run in study.runs():
        count = train_count(run.settings.dataset, layout)
        if count is None or (hard := run.settings.loss.hard_set_size(count)) is None:
            continue
        lines[
            f"hard set of {run.dataset}/{run.loss}: K = {hard:,} of the {count - 1:,} negatives "
            f"(N = {count:,}), alpha = {hard / (count - 1):.4f}"
        ] = None
    return list(lines)


def _cost_lines(study: Study, layout: Layout) -> list[str]:
    price = cost(study, layout)
    total = len(study.runs())
    lines = [f"training: {price.training / 1e15:,.3g} PFLOP"]
    if price.measured:
        lines.append(
            f"time from measured throughput ({price.measured} of {total} runs): "
            f"{_hours(price.seconds)} on one job at a time"
        )
    if price.measured < total:
        lines += [
            f"time from stated throughput, {name}: {_hours(price.training / flops)}"
            for name, flops in FLOPS.items()
        ]
    for settings in {run.settings.dataset for run in study.runs()}:
        if source_fingerprint(settings, layout) == "absent":
            lines.append(
                f"not there yet: {settings.source.kind} ({datasets.root(settings.source)})"
            )
    lines.append(f"disk: about {price.disk / 1e9:,.3g} GB")
    if price.unknown:
        lines.append(f"not counted, for their size is not known yet: {', '.join(price.unknown)}")
    return lines


def _hours(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def rules(study_file: str) -> str:
    """The jobs that Snakemake would run now, by rule.

    Raises:
        StudyError: Snakemake is not where the workflow is, or it refuses.
    """
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules"]
    done = subprocess.run(
        [*command, "--configfile", study_file], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise StudyError(f"snakemake cannot plan {study_file}: {' '.join(last)}")
    counted = Counter(
        {
            words[0]: int(words[1])
            for line in (done.stdout + done.stderr).splitlines()
            if len(words := line.split()) == 2 and words[1].isdecimal() and words[0] != "total"
        }
    )
    if not counted:
        return "nothing to be done"
    return "would run: " + ", ".join(f"{name} {n}" for name, n in counted.items())
