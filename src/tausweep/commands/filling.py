"""Train as many runs of a study as fit into a given time, several at once on one GPU.

This is for a GPU that is available for minutes, on a machine that may have neither Snakemake nor a
network. Runs are taken in the study's ``order``. Each has its own stream on the GPU, and they take
steps in turn, so that the kernels of one fill the gaps that another leaves. Each run gets the same
numbers as alone. The files written are those of ``tausweep pretrain`` and ``tausweep evaluate``.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tausweep import study as studies
from tausweep.commands import run_store, stored_runs
from tausweep.commands.prepare import prepared_data
from tausweep.commands.pretrain import is_there
from tausweep.data.prepared import Prepared
from tausweep.machine import devices
from tausweep.results import records
from tausweep.storage import provenance
from tausweep.storage.layout import File, Layout
from tausweep.storage.run_lock import RunLockedError
from tausweep.study import DatasetSettings, Run, StudyError
from tausweep.training import outputs
from tausweep.training.checkpoints import Message
from tausweep.training.trainer import Pretrained, Trainer

MEASURED_SECONDS = 10.0
"""How long speed is measured before it decides which runs to start."""
PROGRESS_LINES = 20
"""Lines of progress per run."""
EVALUATIONS = 2
"""Evaluations at once: one starts and reads its data while another computes. More would slow the
training, because all processes take turns on the device."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Filling:
    """How to use the time.

    Attributes:
        until: When training stops, by ``time.monotonic``; unfinished runs are saved.
        evaluate_seconds: How long to wait after that for evaluations that are still running.
        at_once: Number of runs that share the device.
        device: ``auto``, ``cpu`` or ``cuda:<n>``.
        threads: CPU threads of an evaluation.
        partial: Whether to start runs that cannot finish in time.
        compiled: See ``Trainer``.
        checkpoint_seconds: Least time between checkpoints of a run.
    """

    until: float
    evaluate_seconds: float
    at_once: int
    device: str
    threads: int
    partial: bool
    compiled: bool
    checkpoint_seconds: float


class Training:
    """A run that is trained one step at a time, on its own stream."""

    def __init__(
        self,
        run: Run,
        data: Prepared,
        layout: Layout,
        device: torch.device,
        filling: Filling,
        say: Message,
    ) -> None:
        """Lock the run and load its checkpoint, if there is one.

        It is ``done``, and not locked, if another study had it trained meanwhile.

        Raises:
            RunLockedError: Another process is writing this run.
        """
        self.run, self._data, self._layout, self._say = run, data, layout, say
        self._filling, self._device = filling, device
        self._started, self._saved = provenance.now(), time.monotonic()
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        with contextlib.ExitStack() as held, self._on_stream():
            folder = layout.trained(run)
            held.enter_context(run_store.locked(run, layout, folder))
            self.done = is_there(run, layout, data, say)
            if self.done:
                return
            self._trainer = Trainer(run.settings, data, device, compiled=filling.compiled)
            self._checkpoints = outputs.checkpoints_of(run, data, folder)
            if (found := self._checkpoints.load(say)) is not None:
                self._trainer.restore(found.tensors, found.position)
            self._held = held.pop_all()
        at = self._trainer.position
        say(f"{run.id}: begins at epoch {at.epoch + 1}, step {at.step + 1}")
        keep = outputs.kept_epochs(run, self._data, folder)
        self._steps = self._trainer.steps_left(self._progress, keep)

    def _on_stream(self) -> contextlib.AbstractContextManager[Any]:
        return torch.cuda.stream(self._stream) if self._stream else contextlib.nullcontext()

    @property
    def images_left(self) -> int:
        """Number of views still to be computed."""
        at, epochs = self._trainer.position, self.run.settings.pretrain.epochs
        return (epochs - at.epoch) * self._trainer.count - at.step * self._trainer.batch

    @property
    def batch(self) -> int:
        """Number of views per step."""
        return self._trainer.batch

    def _progress(self, line: str) -> None:
        """Print a line for each of the first epochs and for some of the others."""
        epoch, epochs = self._trainer.position.epoch, self.run.settings.pretrain.epochs
        if epoch <= 2 or epoch % max(1, epochs // PROGRESS_LINES) == 0:
            self._say(f"{self.run.id}: {line}")

    def step(self) -> Pretrained | None:
        """Take a step; return the result if it was the last."""
        with self._on_stream():
            try:
                next(self._steps)
            except StopIteration:
                return self._trainer.result("complete")
            except FloatingPointError as error:
                self._say(f"{self.run.id}: diverged: {error}")
                return self._trainer.result("diverged")
        if time.monotonic() - self._saved > self._filling.checkpoint_seconds:
            self.save()
        return None

    def save(self) -> None:
        """Save the state, to resume later."""
        with self._on_stream():
            self._checkpoints.save(*self._trainer.state())
        self._saved = time.monotonic()

    def finish(self, trained: Pretrained) -> None:
        """Write the outputs of pretraining, and unlock the run for its evaluation."""
        hardware = devices.describe(self._device) | {
            "runs_at_once": self._filling.at_once,
            "graphs": self._trainer.graphs,
            "compiled": self._trainer.compiled,
        }
        with self._on_stream():
            folder = self._layout.trained(self.run)
            run_store.unseal(folder)
            outputs.write_pretrained(self.run, self._data, folder, trained, self._started, hardware)
            run_store.store_trained(self.run, self._layout, self._data.digest)
        self._held.close()

    def leave(self) -> str:
        """Save the state and unlock the run; return its position in words."""
        self.save()
        self._held.close()
        at = self._trainer.position
        return f"saved in epoch {at.epoch + 1} after step {at.step}"


class Evaluations:
    """Evaluations of finished runs beside the training, ``EVALUATIONS`` at once.

    Each is a separate process on the same device, because torch's settings for training (TF32, a
    compiled encoder) apply to a whole process, and work on the host would delay training steps.
    """

    def __init__(self, study_file: str, results: Path, device: str, threads: int) -> None:
        self.command = [sys.executable, "-m", "tausweep.cli", "evaluate", study_file]
        self.command += ["--results", str(results), "--device", device, "--threads", str(threads)]
        self._layout = Layout(results)
        self._waiting: deque[Run] = deque()
        self._begun: list[tuple[Run, Path, subprocess.Popen[bytes]]] = []

    def add(self, run: Run) -> None:
        """Evaluate a run as soon as fewer than ``EVALUATIONS`` are running."""
        self._waiting.append(run)
        self.advance()

    def advance(self) -> None:
        """Start waiting evaluations if others have ended."""
        while self._waiting and self._running() < EVALUATIONS:
            self._begin(self._waiting.popleft())

    def _running(self) -> int:
        return sum(process.poll() is None for *_, process in self._begun)

    def _begin(self, run: Run) -> None:
        """Start the evaluation of a run; its log is where Snakemake's would be."""
        log = self._layout.log(run, "evaluate")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as said:
            command = [*self.command, "--run", run.id]
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        self._begun.append((run, log, process))

    def end(self, until: float, say: Message) -> int:
        """Wait for all evaluations until a given time; return how many made no record."""
        while self._waiting and time.monotonic() < until:
            self.advance()
            time.sleep(POLL_SECONDS)
        for run in self._waiting:
            say(f"{run.id}: there was no time to start its evaluation; the next start does")
        failed = len(self._waiting)
        for run, log, process in self._begun:
            try:
                code = process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                say(f"{run.id}: its evaluation did not finish in time; the next start repeats it")
                failed += 1
                continue
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            say(lines[-1] if lines else f"{run.id}: evaluation ended with code {code}")
            failed += code != 0
        return failed


def fill(
    study_file: str,
    results: Path,
    filling: Filling,
    *,
    say: Message,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train and evaluate runs until time is up; return whether the whole study has records.

    Runs with a record are done, pretrained runs are evaluated, and runs with a checkpoint resume
    from it. No run is started that could not finish in time at the speed measured so far.

    Raises:
        StudyError: Bad input, before any work starts.
    """
    asked, layout = studies.load(study_file), Layout(results)
    if filling.at_once < 1:
        raise StudyError(f"--at-once: {filling.at_once} is not allowed; it should be 1 or more")
    stored_runs.take_all(asked, layout, say)
    with devices.device(filling.device, share=False, say=say) as device:
        evaluations = Evaluations(study_file, results, str(device), filling.threads)
        lacking = [run for run in asked.by_worth() if not _has_record(run, layout)]
        by_data: dict[DatasetSettings, list[Run]] = {}
        for run in lacking:
            by_data.setdefault(run.settings.dataset, []).append(run)
        data = {dataset: prepared_data(runs, results) for dataset, runs in by_data.items()}
        waiting: deque[Run] = deque()
        for run in lacking:
            if outputs.is_pretrained(layout.run(run), run, data[run.settings.dataset]):
                evaluations.add(run)
            else:
                waiting.append(run)
        say(f"{asked.study}: {len(waiting)} runs to train, {filling.at_once} at once on {device}")
        _train(waiting, data, evaluations, layout, device, filling, say, stop)
        grace = 0.0 if stop() else filling.evaluate_seconds
        failed = evaluations.end(max(time.monotonic(), filling.until) + grace, say)
    missing = sum(not _has_record(run, layout) for run in asked.runs())
    say(f"{asked.study}: {len(asked.runs()) - missing} of {len(asked.runs())} runs have records")
    return missing == 0 and failed == 0


def _has_record(run: Run, layout: Layout) -> bool:
    """Whether a run has a record with today's settings, made by any version of the code."""
    try:
        columns = records.read(layout.run(run) / File.RECORD)["columns"]
    except (FileNotFoundError, StudyError):
        return False
    return bool(columns["settings_digest"] == run.settings.digest)


def _train(
    waiting: deque[Run],
    data: Mapping[DatasetSettings, Prepared],
    evaluations: Evaluations,
    layout: Layout,
    device: torch.device,
    filling: Filling,
    say: Message,
    stop: Callable[[], bool],
) -> None:
    active: list[Training] = []
    speed: float | None = None
    mark, images = time.monotonic(), 0

    def left() -> float:
        return filling.until - time.monotonic()

    while (waiting or active) and left() > 0 and not stop():
        while waiting and len(active) < filling.at_once:
            run = waiting[0]
            own = data[run.settings.dataset]
            need = _need(run, len(own.train_images), active, speed)
            if not filling.partial and need > left():
                say(f"{run.id}: not started: it takes {need:.0f} s and {left():.0f} s are left")
                waiting.clear()
                break
            waiting.popleft()
            try:
                training = Training(run, own, layout, device, filling, say)
            except RunLockedError as error:
                say(f"{run.id}: left out: {error}")
                continue
            if training.done:
                evaluations.add(run)
                continue
            active.append(training)
            mark, images = time.monotonic(), 0
        evaluations.advance()
        for training in list(active):
            if (trained := training.step()) is not None:
                active.remove(training)
                training.finish(trained)
                evaluations.add(training.run)
                mark, images = time.monotonic(), 0
            images += training.batch
        if time.monotonic() - mark > MEASURED_SECONDS:
            speed, mark, images = images / (time.monotonic() - mark), time.monotonic(), 0
    for training in active:
        say(f"{training.run.id}: {training.leave()}")


def _need(run: Run, count: int, active: list[Training], speed: float | None) -> float:
    """Seconds until a run on ``count`` images would finish if it started now; 0 if not known."""
    if speed is None:
        return 0.0
    images = run.settings.pretrain.epochs * count
    # Runs share the device equally: until the new run ends, each of the others takes as much.
    shared = sum(min(training.images_left, images) for training in active)
    return (images + shared) / speed
