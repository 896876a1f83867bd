"""The runs of a stage on this machine's cores, in order, until a time.

This is not Snakemake's work: it would end a stage when its last run has ended, in an order of its
own, where here every seed must be complete for all temperatures before the next one begins, and
nothing may be started that cannot end in time. What is run is the harness's own training and
evaluation, and what it leaves is what `tausweep run` finds and takes over.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

WORKER = "tausweep.commands.choosing.worker"
SAVE_SECONDS = 20.0
"""How long a worker that was asked to stop may take to save its training."""


@dataclass(frozen=True)
class Job:
    """A run to be trained and measured.

    Attributes:
        run: Its id.
        seconds: How long it is expected to take.
        goes_on: The state of a shorter run to go on from, if any.
        keep: Where to keep the state before its learning rate falls, if it is to be kept.
    """

    run: str
    seconds: float
    goes_on: Path | None = None
    keep: Path | None = None


@dataclass
class Crew:
    """Workers, each a process that trains one run at a time.

    Attributes:
        folder: Where the study and its results are.
        count: How many workers there are.
        threads: CPU threads of each.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``.
    """

    folder: Path
    count: int
    threads: int
    device: str
    stopped: list[int] = field(default_factory=list)
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)
    _delays: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start the workers, which begin by importing what they compute with."""
        self._processes = [self._started() for _ in range(self.count)]

    def end(self) -> None:
        """End the workers; a training is saved, an unfinished measure is taken again later."""
        for process in self._processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
        patience = time.monotonic() + SAVE_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.1, patience - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()

    def run(
        self,
        study: str,
        jobs: Sequence[Job],
        until: float,
        done: Callable[[str, str, float], None],
    ) -> None:
        """Run jobs in order until they are done, a stop is asked for, or time is over.

        A job that is not expected to end in time is not started. If time is over or a stop is asked
        for, the workers are ended; what they trained is saved, and goes on with the next crew.

        Args:
            study: The file of their study, in ``folder``.
            jobs: Those that have no record.
            until: By ``time.monotonic``.
            done: Told of each run that ended: its id, why it failed or nothing, and its seconds.
        """
        waiting, lock = deque(jobs), threading.Lock()
        threads = [
            threading.Thread(
                target=self._feed, args=(process, study, waiting, lock, until, done), daemon=True
            )
            for process in self._processes
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if self.stopped or time.monotonic() > until:
                with lock:
                    waiting.clear()
                self.end()
                break
            time.sleep(0.1)
        for thread in threads:
            thread.join()

    def _started(self) -> subprocess.Popen[str]:
        log = self.folder / "choose.log"
        command = [sys.executable, "-m", WORKER, "--threads", str(self.threads)]
        with log.open("a", encoding="utf-8") as said:
            return subprocess.Popen(
                [*command, "--device", self.device],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
                text=True, cwd=self.folder, process_group=0,
            )  # fmt: skip

    def _feed(
        self,
        process: subprocess.Popen[str],
        study: str,
        waiting: deque[Job],
        lock: threading.Lock,
        until: float,
        done: Callable[[str, str, float], None],
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        while True:
            with lock:
                if not waiting or time.monotonic() + self._expected(waiting[0]) > until:
                    break
                job = waiting.popleft()
            began = time.monotonic()
            asked = {
                "study": study,
                "run": job.run,
                "goes_on": str(job.goes_on) if job.goes_on else None,
                "keep": str(job.keep) if job.keep else None,
            }
            answer = _asked(process.stdin, process.stdout, json.dumps(asked))
            if not answer:
                if not self.stopped and time.monotonic() < until:
                    with lock:
                        done(job.run, "its process ended; choose.log may say why", 0.0)
                break
            with lock:
                took = time.monotonic() - began
                if job.seconds > 0:
                    self._delays.append(took / job.seconds)
                done(job.run, json.loads(answer)["failure"], took)

    def _expected(self, job: Job) -> float:
        """How long a job takes if it is as late as those before it were."""
        late = sum(self._delays) / len(self._delays) if self._delays else 1.0
        return job.seconds * max(1.0, late)


def _asked(stdin: IO[str], stdout: IO[str], line: str) -> str:
    try:
        stdin.write(line + "\n")
        stdin.flush()
        return stdout.readline()
    except (OSError, ValueError):
        return ""
