"""How fast this machine trains and starts a process: timed with a few steps, then remembered.

As many processes take the steps as a study's runs would here, because they slow each other down.
Torch is not imported.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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

SECONDS = 3.0
"""CPU time after which no other kind of run is timed; those left are priced by the slowest."""

TIMEOUT_SECONDS = 60.0

VALID_SECONDS = 86_400.0
"""For how long a timing is used: a day."""

AT_ONCE = 8
"""Runs that train at a time without a GPU, at most: ``gpu`` of the default profile."""


class TimingError(RuntimeError):
    """This machine could not be timed; one sentence."""


@dataclass(frozen=True)
class MachineSpeed:
    """What was timed on this machine.

    Attributes:
        import_seconds: CPU time until a process has imported torch and what trains.
        images_per_second: Of training on one core, by kind of run (``rates.kind``).
    """

    import_seconds: float
    images_per_second: Mapping[str, float] = field(default_factory=dict)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether jobs would train on a GPU here: there is a driver, and no CPU is asked for."""
    return shutil.which("nvidia-smi") is not None and os.environ.get("TAUSWEEP_DEVICE") != "cpu"


def remembered() -> MachineSpeed | None:
    """What was timed on this machine in the last day, with these versions; none if nothing was."""
    entry = _remembered().get(_machine())
    if entry is None:
        return None
    return MachineSpeed(entry["import_seconds"], entry["images_per_second"])


def timed(runs: Mapping[str, tuple[RunSettings, int]]) -> MachineSpeed:
    """Time runs, as many as there is time for; remembers them with those of before.

    Args:
        runs: By kind, the settings and the number of training images of one run.

    Raises:
        TimingError: No process of the timing ended well.
    """
    operations = {kind: image_operations(settings) for kind, (settings, _) in runs.items()}
    # A job that trains in bf16 uses the CPU's own instructions, as `tausweep pretrain` does.
    bf16 = {kind for kind, (settings, _) in runs.items() if settings.pretrain.precision == "bf16"}
    imports: list[float] = []
    found: dict[str, float] = {}
    for native, kinds in ((True, bf16), (False, runs.keys() - bf16)):
        if kinds:
            asked = [
                {
                    "key": kind,
                    "settings": settings.model_dump(mode="json"),
                    "count": count,
                    "image_operations": operations[kind],
                }
                for kind, (settings, count) in runs.items()
                if kind in kinds
            ]
            answers = _answers(asked, SECONDS * len(kinds) / len(runs), native=native)
            imports += [answer["import_seconds"] for answer in answers]
            found |= _of_all([answer["images_per_second"] for answer in answers])
    if not found:
        raise TimingError("no run like those of the study could be timed")
    slowest = min(speed * operations[kind] for kind, speed in found.items())
    untimed = {kind: slowest / operations[kind] for kind in runs if kind not in found}
    before = remembered()
    known = dict(before.images_per_second) if before else {}
    speed = MachineSpeed(mean(imports), known | found | untimed)
    _remember(speed)
    return speed


def image_operations(settings: RunSettings) -> float:
    """Floating-point operations of training on one image."""
    forward = forward_flops(settings.encoder, settings.dataset.image_size)
    return cost.forward_passes(settings) * forward


def _of_all(speeds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean speed of each kind of run that every process has timed."""
    kinds = set.intersection(*(set(speed) for speed in speeds))
    return {kind: mean(speed[kind] for speed in speeds) for kind in kinds}


def _answers(
    runs: Iterable[Mapping[str, Any]], seconds: float, *, native: bool
) -> list[dict[str, Any]]:
    """What the processes of a timing write.

    Raises:
        TimingError: One of them failed or took too long.
    """
    devices.set_threads(1)  # which the processes inherit
    environment = dict(os.environ)
    if native:
        environment = {k: v for k, v in environment.items() if k not in instructions.LIMITS}
    asked = json.dumps({"seconds": seconds, "runs": list(runs)})
    until = time.monotonic() + TIMEOUT_SECONDS
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", TIMING],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment,
        )
        for _ in range(min(cores(), AT_ONCE))
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(asked)
            process.stdin.close()
            process.stdin = None
        return [_answer(process, until) for process in processes]
    except BrokenPipeError:
        raise TimingError("a process that was to take a few steps ended at once") from None
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _answer(process: subprocess.Popen[str], until: float) -> dict[str, Any]:
    try:
        said, errors = process.communicate(timeout=max(0.1, until - time.monotonic()))
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
            and entry["import_seconds"] > 0
            and all(speed > 0 for speed in entry["images_per_second"].values())
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # nothing yet, or damaged: it is timed again


def _remember(speed: MachineSpeed) -> None:
    entry = {
        "time": time.time(),
        "import_seconds": speed.import_seconds,
        "images_per_second": dict(speed.images_per_second),
    }
    try:
        write_json(_file(), {**_remembered(), _machine(): entry})
    except OSError:
        return  # a home that cannot be written: it is timed again the next time
