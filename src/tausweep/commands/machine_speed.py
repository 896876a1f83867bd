"""How fast this machine trains and starts a process: timed with a few steps, then remembered.

Processes of their own take the steps, one a core and at most ``MOST_PROCESSES``, because that is
how a study runs here and processes slow each other down. Torch is not imported.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import mean
from typing import Any

from tausweep.commands import cost
from tausweep.machine import devices, instructions
from tausweep.model.footprint import forward_flops
from tausweep.storage import provenance
from tausweep.storage.atomic import write_json
from tausweep.study import RunSettings, digest

TIMING = "tausweep.training.timing"
"""The module that takes the steps, as a process."""

SECONDS = 2.0
"""After this time no other kind of run is timed; those left are priced by the slowest one before."""

MOST_PROCESSES = 4
TIMEOUT_SECONDS = 120.0

VALID_SECONDS = 86_400.0
"""For how long a timing is used: a day."""

START_SECONDS = 4.0
"""Time until a job has imported what it computes with, where it was not timed."""

JOB_IMPORTS = 1.45
"""That time, in times of importing what trains: what measures is imported too."""


class TimingError(RuntimeError):
    """This machine could not be timed; one sentence."""


@dataclass(frozen=True)
class MachineSpeed:
    """What was timed on this machine.

    Attributes:
        start_seconds: Time until a job has imported torch and all that it computes with.
        epoch_seconds: Time of an epoch, by ``kind_of`` the run.
    """

    start_seconds: float
    epoch_seconds: Mapping[str, float]


@dataclass(frozen=True)
class Kind:
    """Runs that take the same time for an epoch.

    Attributes:
        settings: Of one of them.
        count: N, training images.
    """

    settings: RunSettings
    count: int

    @property
    def key(self) -> str:
        """Digest of what an epoch's time depends on."""
        content = self.settings.pretrain_json()
        loss = {name: value for name, value in content["loss"].items() if name != "temperature"}
        pretrain = {
            name: value
            for name, value in content["pretrain"].items()
            if name in ("batch_size", "bn_group", "precision")
        }
        size = self.settings.dataset.image_size
        return digest([loss, pretrain, content["encoder"], content["views"], size, self.count])

    @property
    def step_operations(self) -> float:
        """Floating-point operations of a step with a whole batch."""
        settings = self.settings
        forward = forward_flops(settings.encoder, settings.dataset.image_size)
        return cost.forward_passes(settings) * settings.pretrain.batch_size * forward

    @property
    def epoch_operations(self) -> float:
        """Floating-point operations of an epoch."""
        return self.step_operations * self.count / self.settings.pretrain.batch_size


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether jobs would train on a GPU here: there is a driver, and no CPU is asked for."""
    return shutil.which("nvidia-smi") is not None and os.environ.get("TAUSWEEP_DEVICE") != "cpu"


def remembered() -> MachineSpeed | None:
    """What was timed on this machine in the last day, with these versions; none if nothing was."""
    machine = _remembered().get(_machine())
    if machine is None:
        return None
    return MachineSpeed(machine["start_seconds"], machine["epoch_seconds"])


def timed(kinds: Sequence[Kind]) -> MachineSpeed:
    """Time kinds of runs, as many as there is time for; remembers them with those of before.

    Raises:
        TimingError: No process of the timing ended well.
    """
    by_precision: dict[bool, list[Kind]] = {}
    for kind in kinds:
        by_precision.setdefault(kind.settings.pretrain.precision == "bf16", []).append(kind)
    starts: list[float] = []
    found: dict[str, float] = {}
    for bf16, group in by_precision.items():
        # A job that trains in bf16 uses the CPU's own instructions, as `tausweep pretrain` does.
        start, seconds = _time(group, SECONDS / len(by_precision), native=bf16)
        starts.append(JOB_IMPORTS * start)
        found |= _completed(group, seconds)
    before = remembered()
    speed = MachineSpeed(mean(starts), {**(before.epoch_seconds if before else {}), **found})
    _remember(speed)
    return speed


def _completed(kinds: Sequence[Kind], seconds: Mapping[str, float]) -> dict[str, float]:
    """Times of all kinds: those that were not timed are as slow, by operations, as the slowest.

    Raises:
        TimingError: None was timed.
    """
    by_key = {kind.key: kind for kind in kinds}
    paces = [took / by_key[key].epoch_operations for key, took in seconds.items()]
    if not paces:
        raise TimingError("no run like those of the study could be timed")
    return {
        key: seconds.get(key, max(paces) * kind.epoch_operations) for key, kind in by_key.items()
    }


def _time(kinds: Sequence[Kind], seconds: float, *, native: bool) -> tuple[float, dict[str, float]]:
    devices.set_threads(1)
    environment = dict(os.environ)
    if native:
        environment = {k: v for k, v in environment.items() if k not in instructions.LIMITS}
    runs = [
        {
            "key": kind.key,
            "settings": kind.settings.model_dump(mode="json"),
            "count": kind.count,
            "step_operations": kind.step_operations,
        }
        for kind in kinds
    ]
    asked = json.dumps({"seconds": seconds, "runs": runs})
    began = time.time()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", TIMING],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment,
        )
        for _ in range(min(cores(), MOST_PROCESSES))
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(asked)
            process.stdin.close()
            process.stdin = None
        answers = [_answer(process, began + TIMEOUT_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    # Those that end first leave the cores to the others, so only what all have timed counts.
    keys = set.intersection(*(set(answer["epoch_seconds"]) for answer in answers))
    start = mean(answer["ready"] - began for answer in answers)
    return start, {key: mean(answer["epoch_seconds"][key] for answer in answers) for key in keys}


def _answer(process: subprocess.Popen[str], until: float) -> dict[str, Any]:
    try:
        said, errors = process.communicate(timeout=max(0.1, until - time.time()))
    except subprocess.TimeoutExpired:
        raise TimingError(f"a few steps took more than {TIMEOUT_SECONDS:.0f} s") from None
    if process.returncode != 0:
        last = errors.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise TimingError(last[0])
    answer: dict[str, Any] = json.loads(said)
    return answer


def _machine() -> str:
    """A key of this machine, and of all by which its speed may change."""
    parts = [
        platform.node(),
        devices.cpu_model(),
        cores(),
        instructions.wanted(),
        metadata.version("torch"),
        provenance.code_version("pretrain"),
    ]
    return digest(parts)


def _file() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "tausweep" / "speeds.json"


def _remembered() -> dict[str, dict[str, Any]]:
    """What is remembered and still valid, by machine."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        return {
            machine: entry
            for machine, entry in content.items()
            if 0 <= time.time() - entry["time"] < VALID_SECONDS
            and entry["start_seconds"] > 0
            and all(seconds > 0 for seconds in entry["epoch_seconds"].values())
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # nothing yet, or damaged: it is timed again


def _remember(speed: MachineSpeed) -> None:
    entry = {
        "time": time.time(),
        "start_seconds": speed.start_seconds,
        "epoch_seconds": dict(speed.epoch_seconds),
    }
    try:
        write_json(_file(), {**_remembered(), _machine(): entry})
    except OSError:
        return  # a home that cannot be written: it is timed again the next time
