"""How long a study takes on this machine: trainings, evaluations, and starts of processes.

Torch is not imported: what is not known is timed by processes of its own (``machine_speed``).
"""

from __future__ import annotations

from dataclasses import dataclass

from tausweep.commands import cost, machine_speed, rates
from tausweep.commands.machine_speed import START_SECONDS, Kind, MachineSpeed, TimingError
from tausweep.machine import devices
from tausweep.storage.layout import Layout
from tausweep.study import Study

PROBE_STARTS = 1.0
"""Time of the measures that pass no image through the encoder, mostly of the linear probe, in
starts of a process: 4 to 8 s on digits and CIFAR-10, where a start took 4 s."""

RUN_STARTS = 1.4
"""Starts of processes a run: of its training job with torch, and of its evaluation job, which
without torch takes less than half as long."""

STUDY_STARTS = 5.0
"""The same for what a study does once: planning, preparing data, tables, figures, report."""

TIMED = "a few steps of runs like these, timed here"
FINISHED = "the speed of finished runs like these"
ASSUMED = (
    f"{cost.CPU_FLOPS / 1e9:.0f} GFLOP/s a core, assumed for runs of which no speed is known; small "
    "encoders are several times slower"
)


@dataclass(frozen=True)
class Duration:
    """Time of a study, if nothing of it is done.

    Attributes:
        training: Seconds of training, of all runs together.
        evaluation: The same of evaluation.
        starts: The same of starting processes.
        once: Seconds of what is done once for the study.
        cores: Cores that the runs share.
        runs: How many runs there are.
        left_out: How many of them have no estimate, because the size of their data is not known, or
            because they decode images during training.
        source: What the speed comes from, in words.
        note: Why it was not timed, in words; empty if it was, or did not have to be.
    """

    training: float
    evaluation: float
    starts: float
    once: float
    cores: int
    runs: int
    left_out: int
    source: str
    note: str = ""

    @property
    def seconds(self) -> float:
        """Time until the study is complete, with a run on each core."""
        counted = self.runs - self.left_out
        at_once = max(1, min(self.cores, counted))
        return (self.training + self.evaluation + self.starts) / at_once + self.once


def duration(study: Study, layout: Layout, *, measure: bool) -> Duration:
    """Estimate the time of a study.

    The speed of a run is that of finished runs like it on this CPU, or else is timed with a few
    steps, once a day for each kind of run.

    Args:
        study: The study.
        layout: Where results are.
        measure: Whether steps may be timed; else what is not known is assumed.
    """
    kinds: dict[str, Kind] = {}
    of_run: dict[str, str | None] = {}
    left_out = 0
    for run in study.runs():
        settings = run.settings
        count = cost.train_count(settings.dataset, layout)
        if count is None or settings.dataset.form == "originals":
            left_out += 1
        elif settings.pretrain.epochs:
            kind = Kind(settings, count)
            of_run[run.id] = kind.key
            kinds.setdefault(kind.key, kind)
        else:
            of_run[run.id] = None
    epochs, note, source = _finished(kinds, layout), "", FINISHED
    speed = machine_speed.remembered()
    if kinds.keys() - epochs.keys():
        untimed = [k for k in kinds.values() if k.key not in epochs and not _timed(k, speed)]
        if untimed and measure:
            try:
                speed = machine_speed.timed(untimed)
            except TimingError as error:
                note = str(error)
        epochs = {**(speed.epoch_seconds if speed else {}), **epochs}
        source = TIMED if kinds.keys() <= epochs.keys() else ASSUMED
    for key, kind in kinds.items():
        epochs.setdefault(key, kind.epoch_operations / cost.CPU_FLOPS)
    start = speed.start_seconds if speed is not None else START_SECONDS
    training = evaluation = 0.0
    for run in study.runs():
        if run.id not in of_run:
            continue
        key = of_run[run.id]
        evaluation += PROBE_STARTS * start
        if key is not None:
            settings = run.settings
            training += settings.pretrain.epochs * epochs[key]
            passes = cost.evaluation_passes(settings) / cost.forward_passes(settings)
            evaluation += passes * epochs[key]
    return Duration(
        training=training,
        evaluation=evaluation,
        starts=RUN_STARTS * start * len(of_run),
        once=STUDY_STARTS * start,
        cores=machine_speed.cores(),
        runs=len(study.runs()),
        left_out=left_out,
        source=source,
        note=note,
    )


def _timed(kind: Kind, speed: MachineSpeed | None) -> bool:
    return speed is not None and kind.key in speed.epoch_seconds


def _finished(kinds: dict[str, Kind], layout: Layout) -> dict[str, float]:
    """Seconds of an epoch by kind, from finished runs on a core of a CPU like this one."""
    finished, here = rates.of_finished_runs(layout), devices.cpu_model()
    found = {}
    for key, kind in kinds.items():
        rate = finished.get(rates.alike(kind.settings))
        if rate is not None and rate.cpu == here:
            found[key] = kind.count / rate.images_per_second
    return found


def lines(found: Duration) -> list[str]:
    """The estimate as lines of text."""
    count = f"{found.cores} core{'s' * (found.cores != 1)}"
    parts = {
        "training": found.training,
        "evaluation": found.evaluation,
        "starting processes": found.starts,
    }
    said = ", ".join(f"{name} {cost.hours(seconds)}" for name, seconds in parts.items())
    text = [
        f"time on this machine: about {cost.hours(found.seconds)} on {count} of a CPU, by "
        f"{found.source}",
        f"  of one core: {said}; then {cost.hours(found.once)} for tables, figures and report",
    ]
    if found.note:
        text.append(f"  no steps were timed: {found.note}")
    if found.left_out:
        text.append(
            f"  without {found.left_out} of {found.runs} runs, whose images are decoded during "
            "training or not counted yet"
        )
    return text
