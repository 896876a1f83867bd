"""How long what is left of a study takes on this machine's cores, with starts of processes.

Torch is not imported: what is not known is timed by processes of its own (``machine_speed``).
"""

from __future__ import annotations

from dataclasses import dataclass

from tausweep.commands import cost, job_server, machine_speed, rates, status
from tausweep.commands.machine_speed import AT_ONCE, MachineSpeed, TimingError
from tausweep.commands.messages import say
from tausweep.machine import devices
from tausweep.storage.layout import Layout
from tausweep.study import Run, RunSettings, Study

# Seconds of one core where importing what trains took IMPORT_SECONDS; slower machines take longer
# in proportion. From a run of the demo study.
IMPORT_SECONDS = 2.5
RUN_SECONDS = 7.0
"""Starting a run's two jobs, and Snakemake's share in them."""

SERVED_SECONDS = 1.5
"""The same if a server forks their processes (``job_server``)."""

IMAGE_SECONDS = 0.0015
"""Measures that pass no image through the encoder, mostly linear classifiers, by training image."""

STUDY_SECONDS = 40.0
"""What is done once: planning, preparing data, tables, figures, verdicts, report."""

TIMED = "a few steps of runs like these, timed here"
FINISHED = "the speed of finished runs like these"
ASSUMED = (
    f"{cost.CPU_FLOPS / 1e9:.0f} GFLOP/s a core, assumed for runs of which no speed is known; "
    "small encoders are several times slower"
)


@dataclass(frozen=True)
class Duration:
    """Time of what is left of a study, in seconds of one core.

    Attributes:
        training: Of training.
        evaluation: Of measuring.
        starts: Of starting processes.
        once: Of what is done once for the study.
        cores: Cores that the runs share.
        runs: How many runs are left.
        unknown: How many of them have no estimate, because the size of their data is not known, or
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
    unknown: int
    source: str
    note: str = ""

    @property
    def seconds(self) -> float:
        """Time until the study is complete, if nothing else uses the cores."""
        at_once = max(1, min(self.cores, self.runs - self.unknown, AT_ONCE))
        return (self.training + self.evaluation + self.starts) / at_once + self.once


def duration(study: Study, layout: Layout, *, measure: bool) -> Duration:
    """Estimate the time that is left of a study.

    The speed of a run is that of finished runs like it on this CPU, or else is timed with a few
    steps, once a day for each kind of run.

    Args:
        study: The study.
        layout: Where results are.
        measure: Whether steps may be timed; else what is not known is assumed.
    """
    done = ("complete", "diverged")
    left = [s.run for s in status.states(study, layout) if s.state not in done]
    counted: list[tuple[Run, int]] = []
    kinds: dict[str, tuple[RunSettings, int]] = {}
    for run in left:
        settings = run.settings
        count = cost.train_count(settings.dataset, layout)
        if count is not None and settings.dataset.form != "originals":
            counted.append((run, count))
            if settings.pretrain.epochs:
                kinds.setdefault(rates.kind(settings), (settings, count))
    speeds, source, note = _finished(kinds, layout), FINISHED, ""
    known = machine_speed.remembered()
    missing = {kind: run for kind, run in kinds.items() if kind not in speeds}
    if missing:
        untimed = {kind: run for kind, run in missing.items() if not _has(known, kind)}
        if untimed and measure:
            say("timing a few steps, once a day for runs of a kind (--no-measure leaves it out)")
            try:
                known = machine_speed.timed(untimed)
            except TimingError as error:
                note = str(error)
        source = TIMED
        for kind, (settings, _) in missing.items():
            if known is not None and _has(known, kind):
                speeds[kind] = known.images_per_second[kind]
            else:
                speeds[kind] = cost.CPU_FLOPS / machine_speed.image_operations(settings)
                source = ASSUMED
    pace = known.import_seconds / IMPORT_SECONDS if known is not None else 1.0
    training = evaluation = 0.0
    for run, count in counted:
        settings = run.settings
        evaluation += IMAGE_SECONDS * count * pace
        if settings.pretrain.epochs:
            epoch = count / speeds[rates.kind(settings)]
            training += settings.pretrain.epochs * epoch
            passes = cost.evaluation_passes(settings) / cost.forward_passes(settings)
            evaluation += passes * epoch
    start = SERVED_SECONDS if job_server.serves(run for run, _ in counted) else RUN_SECONDS
    return Duration(
        training=training,
        evaluation=evaluation,
        starts=start * len(counted) * pace,
        once=STUDY_SECONDS * pace,
        cores=machine_speed.cores(),
        runs=len(left),
        unknown=len(left) - len(counted),
        source=source,
        note=note,
    )


def _has(speed: MachineSpeed | None, kind: str) -> bool:
    return speed is not None and kind in speed.images_per_second


def _finished(kinds: dict[str, tuple[RunSettings, int]], layout: Layout) -> dict[str, float]:
    """Images per second by kind, of finished runs on a core of a CPU like this one."""
    finished, here = rates.of_finished_runs(layout), devices.cpu_model()
    return {
        kind: rate.images_per_second
        for kind in kinds
        for rate in finished.get(kind, ())
        if rate.cpu == here
    }


def lines(found: Duration) -> list[str]:
    """The estimate as lines of text."""
    if not found.runs:
        return ["time on this machine: every run is done"]
    count = f"{found.cores} core{'s' * (found.cores != 1)}"
    parts = {
        "training": found.training,
        "evaluation": found.evaluation,
        "starting processes": found.starts,
        "tables, figures and report": found.once,
    }
    said = ", ".join(f"{name} {cost.hours(seconds)}" for name, seconds in parts.items())
    text = [
        f"time on this machine: about {cost.hours(found.seconds)} for {found.runs} runs, if "
        f"nothing else uses its {count}; by {found.source}",
        f"  of one core: {said}",
    ]
    if found.note:
        text.append(f"  no steps were timed: {found.note}")
    if found.unknown:
        text.append(
            f"  without {found.unknown} of {found.runs} runs, whose images are decoded during "
            "training or not counted yet"
        )
    return text
