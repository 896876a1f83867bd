"""Which device a job gets, and how many CPU threads it uses.

A job takes the device it was given (``CUDA_VISIBLE_DEVICES``, a scheduler). On a box with several
GPUs and no scheduler it leases a free slot: a file lock, which the kernel frees when the process
dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tausweep.study import StudyError

SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "KUBERNETES_SERVICE_HOST")
POLL_SECONDS = 0.5


def set_threads(threads: int) -> None:
    """Give torch and every BLAS exactly this many threads; call it before torch is imported.

    Two processes of two spinning threads on two cores are some 20 times slower than one, so a job
    never takes more than its rule gave it. OpenMP threads of a job that may share its cores must
    not spin while they wait.

    Raises:
        StudyError: Fewer than one thread.
    """
    if threads < 1:
        raise StudyError(f"threads: {threads} is not allowed; it should be 1 or more")
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if threads > 1:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _slot_folder() -> Path:
    name = os.environ.get("TAUSWEEP_SLOTS") or f"tausweep-slots-{os.getuid()}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _try_lease(path: Path) -> IO[str] | None:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


@contextlib.contextmanager
def lease(
    gpus: int, runs_per_gpu: int, share: bool, say: Callable[[str], None] | None = None
) -> Iterator[int]:
    """Hold a slot on one of ``gpus`` devices while the block runs; yields the device's number.

    Args:
        gpus: Number of devices, at least 1.
        runs_per_gpu: Slots a device.
        share: Whether this job takes one slot; otherwise it takes a whole device.
        say: Told once when no slot is free.
    """
    folder = _slot_folder()
    told = False
    while True:
        for device in range(gpus):
            wanted = range(runs_per_gpu) if not share else None
            held: list[IO[str]] = []
            for slot in range(runs_per_gpu):
                file = _try_lease(folder / f"gpu{device}-slot{slot}")
                if file is not None:
                    held.append(file)
                if file is None and wanted is not None:
                    break
                if file is not None and share:
                    break
            enough = len(held) == (1 if share else runs_per_gpu)
            if enough:
                try:
                    yield device
                finally:
                    for file in held:
                        file.close()
                return
            for file in held:
                file.close()
        if say is not None and not told:
            say(f"waiting for a free slot on one of {gpus} GPU(s)")
            told = True
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def device(
    wanted: str, share: bool = True, say: Callable[[str], None] | None = None
) -> Iterator[Any]:
    """The torch device of a job while the block runs.

    Args:
        wanted: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:<n>``.
        share: Whether the job is small enough to share a GPU.
        say: Told when the job has to wait.

    Raises:
        StudyError: A GPU is asked for and there is none, or it does not exist.
    """
    import torch

    count = torch.cuda.device_count()
    if wanted == "cpu" or (wanted == "auto" and count == 0):
        yield torch.device("cpu")
        return
    if wanted not in ("auto", "cuda") and not (
        wanted.startswith("cuda:") and wanted[5:].isdecimal()
    ):
        raise StudyError(f"device: {wanted!r} is not allowed; it should be auto, cpu or cuda[:n]")
    if count == 0:
        raise StudyError(f"device: {wanted} is asked for, but no GPU is visible; allowed is cpu")
    if wanted.startswith("cuda:"):
        if int(wanted[5:]) >= count:
            raise StudyError(f"device: {wanted} does not exist; there are {count} GPU(s)")
        yield torch.device(wanted)
    elif count == 1 and any(name in os.environ for name in SCHEDULERS):
        yield torch.device("cuda:0")
    else:
        runs_per_gpu = int(os.environ.get("TAUSWEEP_RUNS_PER_GPU", "1"))
        with lease(count, runs_per_gpu, share, say) as number:
            yield torch.device(f"cuda:{number}")


def describe(device: Any) -> dict[str, Any]:
    """What a record says of the hardware: device, CPU, threads, host's architecture."""
    import torch

    found: dict[str, Any] = {
        "device": device.type,
        "threads": torch.get_num_threads(),
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
