"""What a study costs: operations, GPU hours, disk, memory. Torch is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tausweep import data as datasets
from tausweep.commands import rates
from tausweep.data.manifest import manifest
from tausweep.model.footprint import activation_bytes, feature_count, forward_flops, parameter_count
from tausweep.results import markdown
from tausweep.storage.layout import KEPT_BYTES, Layout
from tausweep.study import DatasetSettings, RunSettings, Study

PEAK = {"float32": 66.9e12, "tf32": 494.7e12, "bf16": 989.4e12}
"""Floating-point operations per second of an H100 (SXM, dense) by precision of the trunk, from its
data sheet."""

SUSTAINED = 0.36
"""Share of the peak that the best published speed runs of CIFAR-10 reach in bf16."""

CPU_FLOPS = 40e9
"""Operations per second that a ResNet-18 of width 16 reaches on one AVX2 core."""

BACKWARD = 3.0
"""Cost of training in forward passes: forward, gradient of activations, gradient of weights."""

EVALUATION_PASSES = 8.0
"""Cost of an evaluation with its measures, in forward passes over the training split."""

ALONG_PASSES = 1.5
"""The same for one epoch that is measured along the training."""

ORIGINAL_BYTES = 115e3
"""Mean size of an ImageNet image at its original size: 147.9 GB for 1,281,167 training images."""

GPU_OVERHEAD = 2e9
"""GPU memory of a training process, in bytes, beyond the tensors counted below: CUDA's context,
cuDNN's workspaces, gradients, and the views of the next steps."""


@dataclass(frozen=True)
class Cost:
    """The cost of runs.

    Attributes:
        runs: Number of runs.
        training: Floating-point operations of pretraining and evaluation.
        gpu_seconds: Time on one H100 at the assumed throughput, ``SUSTAINED`` of its ``PEAK``.
        measured: By device, the time at the throughput that was measured on it, and for how many
            runs it is known.
        precisions: Precisions of the trunks.
        disk: Bytes kept: encoders, banks, embeddings, prepared images.
        passing: Most bytes of weights along the training, if all runs are trained before any is
            evaluated; an evaluation deletes those of its run.
        gpu_memory: Bytes of GPU memory that the largest training needs.
        training_memory: Bytes of main memory that the largest training asks for.
        evaluation_memory: The same for the largest evaluation.
        unknown: Datasets whose size is not known before they are prepared.
    """

    runs: int = 0
    training: float = 0.0
    gpu_seconds: float = 0.0
    measured: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    precisions: frozenset[str] = field(default=frozenset())
    disk: float = 0.0
    passing: float = 0.0
    gpu_memory: float = 0.0
    training_memory: float = 0.0
    evaluation_memory: float = 0.0
    unknown: tuple[str, ...] = ()

    def __add__(self, other: Cost) -> Cost:
        """The cost of both: sums, and the larger memory."""
        return Cost(
            runs=self.runs + other.runs,
            training=self.training + other.training,
            gpu_seconds=self.gpu_seconds + other.gpu_seconds,
            measured=_both(self.measured, other.measured),
            precisions=self.precisions | other.precisions,
            disk=self.disk + other.disk,
            passing=self.passing + other.passing,
            gpu_memory=max(self.gpu_memory, other.gpu_memory),
            training_memory=max(self.training_memory, other.training_memory),
            evaluation_memory=max(self.evaluation_memory, other.evaluation_memory),
            unknown=(*self.unknown, *(n for n in other.unknown if n not in self.unknown)),
        )


def _both(
    one: Mapping[str, tuple[float, int]], two: Mapping[str, tuple[float, int]]
) -> dict[str, tuple[float, int]]:
    found = dict(one)
    for device, (seconds, runs) in two.items():
        before, count = found.get(device, (0.0, 0))
        found[device] = before + seconds, count + runs
    return found


def train_count(dataset: DatasetSettings, layout: Layout) -> int | None:
    """Number of training images N, the bank's size; none if it is not known yet."""
    if dataset.train_limit is not None:
        return dataset.train_limit
    if (made := manifest(dataset, layout)) is not None:
        return int(made["splits"]["train"]["images"])
    return datasets.train_size(dataset.source)


def costs(study: Study, layout: Layout) -> dict[str, Cost]:
    """Price a study by dataset; data on disk that several datasets share counts for the first.

    Measured throughput comes from finished runs of any study in the results folder, and from the
    kept rates of GPUs (``tausweep.commands.rates``).
    """
    finished = rates.of_finished_runs(layout)
    found: dict[str, Cost] = {}
    counted = set()
    for run in study.runs():
        settings = run.settings
        price = found.get(run.dataset, Cost())
        count = train_count(settings.dataset, layout)
        if count is None:
            found[run.dataset] = price + Cost(runs=1, unknown=(run.dataset,))
            continue
        price += _of_run(settings, count, finished)
        if (folder := layout.prepared(settings.dataset)) not in counted:
            counted.add(folder)
            price += Cost(disk=_prepared_bytes(settings.dataset, count, layout))
        found[run.dataset] = price
    return found


def cost(study: Study, layout: Layout) -> Cost:
    """Price a study; see ``costs``."""
    return sum(costs(study, layout).values(), Cost())


def _of_run(
    settings: RunSettings, count: int, finished: Mapping[str, Sequence[rates.FinishedRate]]
) -> Cost:
    """Price a run on N images, without the prepared data."""
    epochs, precision = settings.pretrain.epochs, settings.pretrain.precision
    training = pretraining_operations(settings, count) + evaluation_operations(settings, count)
    images = count * (epochs + evaluation_passes(settings) / BACKWARD)
    known = {device: rate.images_per_second for device, rate in rates.best(settings).items()}
    for own in finished.get(rates.kind(settings), ()):
        known[own.device] = own.images_per_second
    parameters = parameter_count(settings.encoder)
    weights = 4.0 * (parameters + count * settings.encoder.dim)
    along, passing = weights * len({*settings.along} - {epochs}), weights > KEPT_BYTES
    return Cost(
        runs=1,
        training=training,
        gpu_seconds=training / (SUSTAINED * PEAK[precision]),
        measured={device: (images / speed, 1) for device, speed in known.items()},
        precisions=frozenset([precision]),
        disk=4 * (parameters + 3.2 * count * settings.encoder.dim) + (0.0 if passing else along),
        passing=along if passing else 0.0,
        gpu_memory=gpu_memory(settings, count),
        training_memory=training_memory(settings, count),
        evaluation_memory=evaluation_memory(settings, count),
    )


def forward_passes(settings: RunSettings) -> float:
    """What an image costs in an epoch, in forward passes of the encoder.

    A second view passes it and back as the first does, or a momentum encoder once.
    """
    loss = settings.loss
    if loss.view_count == 1:
        return BACKWARD
    return BACKWARD + (1.0 if loss.source == "queue" else BACKWARD)


def pretraining_operations(settings: RunSettings, count: int) -> float:
    """Floating-point operations of pretraining a run on N images."""
    passes = forward_passes(settings) * settings.pretrain.epochs
    return passes * count * forward_flops(settings.encoder, settings.dataset.image_size)


def evaluation_operations(settings: RunSettings, count: int) -> float:
    """The same of measuring it."""
    passes = evaluation_passes(settings)
    return passes * count * forward_flops(settings.encoder, settings.dataset.image_size)


def evaluation_passes(settings: RunSettings) -> float:
    """Forward passes over the training split that a run's measures take."""
    return EVALUATION_PASSES + ALONG_PASSES * len(settings.along)


def gpu_memory(settings: RunSettings, count: int) -> float:
    """An estimate of the bytes of GPU memory that training on N images needs.

    It covers weights, gradients and momentum; the bank; a batch's activations, of both views if
    both are passed back, and twice its similarities to the bank; a momentum encoder and its queue;
    the images if they are squares; and ``GPU_OVERHEAD``.
    """
    encoder, side, loss = settings.encoder, settings.dataset.image_size, settings.loss
    batch, queue = settings.pretrain.batch_size, loss.queue or 0
    weights = (4 if queue else 3) * parameter_count(encoder)
    numbers = weights + (count + queue) * encoder.dim + 2 * batch * count
    kept = batch * activation_bytes(encoder, side) * (1 if queue else loss.view_count)
    images = 0 if settings.dataset.form == "originals" else count * 3 * side**2
    return 4.0 * numbers + kept + images + GPU_OVERHEAD


def training_memory(settings: RunSettings, count: int) -> float:
    """Bytes of main memory that a job asks for to train on N images."""
    if settings.dataset.form == "originals":
        # They stay on disk; a few batches of 224 pixels and their maps.
        return 16e9
    # The images whole, and once more while they are copied to the device.
    return 4e9 + 2.0 * count * 3 * settings.dataset.image_size**2


def evaluation_memory(settings: RunSettings, count: int) -> float:
    """Bytes of main memory that an evaluation with N training images is given.

    It covers the features of every version that the probe alternates between, and those of the
    plain images once in float32 and twice in float64.
    """
    random = settings.linear.views in ("colour", "crop")
    copies = (settings.linear.versions if random else 2) + 5
    features = count * feature_count(settings.encoder)
    return training_memory(settings, count) + copies * 4.0 * features


def _prepared_bytes(dataset: DatasetSettings, count: int, layout: Layout) -> float:
    """Size of the prepared images if they exist, else an estimate with a test split of a fifth.

    For the original images of ImageNet100 the test split has 5,000.
    """
    if (made := manifest(dataset, layout)) is not None:
        return float(sum(file["bytes"] for file in made["files"].values()))
    if dataset.form == "originals":
        test = 5_000 if dataset.source.kind == "imagenet100" else 0.2 * count
        return ORIGINAL_BYTES * (count + test)
    return 1.2 * count * 3 * dataset.image_size**2


HEAD = (
    "dataset",
    "runs",
    "training per run",
    "GPU hours",
    "disk",
    "GPU memory",
    "train",
    "evaluate",
)
MEASURED_HEAD = "measured on "


def table(prices: dict[str, Cost]) -> list[str]:
    """A Markdown table with aligned columns, one line per dataset and one for all of them.

    Each device with measured times has a column.
    """
    total = sum(prices.values(), Cost())
    rows = [list(HEAD), *(_row(name, price) for name, price in prices.items())]
    if len(prices) > 1:
        # One cost per run has no meaning for several datasets.
        name, runs, _, *rest = _row("all", total)
        rows.append([name, runs, "", *rest])
    for device in sorted(total.measured, reverse=True):
        shown = [MEASURED_HEAD + device, *(_measured(p, device) for p in prices.values())]
        shown += [_measured(total, device)] if len(prices) > 1 else []
        rows = [[*row[:4], cell, *row[4:]] for row, cell in zip(rows, shown, strict=True)]
    heads, *body = rows
    aligned = [markdown.UNALIGNED, *[markdown.RIGHT] * (len(heads) - 1)]
    return markdown.table(heads, body, aligned, padded=True)


def _row(name: str, price: Cost) -> list[str]:
    if price.unknown and not price.training:
        return [name, f"{price.runs:,}", *["not known yet"] * (len(HEAD) - 2)]
    return [
        name,
        f"{price.runs:,}",
        _operations(price.training / price.runs),
        hours(price.gpu_seconds),
        _gigabytes(price.disk),
        _gigabytes(price.gpu_memory),
        _gigabytes(price.training_memory),
        _gigabytes(price.evaluation_memory),
    ]


def _measured(price: Cost, device: str) -> str:
    seconds, runs = price.measured.get(device, (0.0, 0))
    if not runs:
        return "–"
    return hours(seconds) + ("" if runs == price.runs else f" ({runs} of {price.runs} runs)")


def _reached(study: Study) -> list[str]:
    """Which share of its peak an H100 reached in measurements, by precision."""
    found: dict[str, float] = {}
    for run in study.runs():
        settings = run.settings
        flops = BACKWARD * forward_flops(settings.encoder, settings.dataset.image_size)
        for device, rate in rates.best(settings).items():
            if "H100" in device:
                precision = settings.pretrain.precision
                share = rate.images_per_second * flops / PEAK[precision]
                found[precision] = max(share, found.get(precision, 0.0))
    return [f"{share:.0%} in {precision}" for precision, share in found.items()]


def _operations(count: float) -> str:
    return f"{count / 1e15:,.3g} PFLOP" if count >= 1e14 else f"{count / 1e9:,.3g} GFLOP"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def hours(seconds: float) -> str:
    """A time in seconds, minutes, hours or years."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 360_000:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 3600:,.0f} h" if seconds < 36e6 else f"{seconds / 31_557_600:,.1f} years"


def describe(study: Study, layout: Layout) -> list[str]:
    """The costs as lines of text: a table, and what its numbers come from."""
    prices = costs(study, layout)
    total = sum(prices.values(), Cost())
    stated = " and ".join(
        f"{SUSTAINED * PEAK[name] / 1e12:,.0f} TFLOP/s in {name}"
        for name in PEAK
        if name in total.precisions
    )
    lines = [*table(prices), ""]
    if total.training:
        reached = " and ".join(_reached(study))
        measured = f"; measurements of runs like these reached {reached}" if reached else ""
        lines += [
            f"GPU hours: assumed, not measured: one H100 at {SUSTAINED:.0%} of its peak, {stated}; "
            f"this is optimistic for small batches{measured} (docs/paper-scale.md)",
        ]
    for device, (_, count) in sorted(total.measured.items()):
        lines.append(
            f"measured on {device}: at the speed of runs like these ({count} of {total.runs}); "
            "on a GPU with several runs at once if that was faster (`tausweep fill`)"
        )
    lines += [
        "disk: prepared images, encoders, banks, embeddings",
        "memory: GPU memory that a training needs, estimated; main memory that a job asks for to "
        "train or to evaluate",
    ]
    if total.passing:
        lines.append(
            f"weights along the training: up to {_gigabytes(total.passing)} more until runs are "
            "evaluated"
        )
    if total.unknown:
        lines.append(f"not counted because their size is not known yet: {', '.join(total.unknown)}")
    return lines
