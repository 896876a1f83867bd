"""Which device a job gets, and how many CPU threads it uses.

A job uses the device that it was given (by ``CUDA_VISIBLE_DEVICES`` or a scheduler). On a machine
with several GPUs and no scheduler it leases a free slot: a file lock, which the kernel releases
when the process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.machine import instructions
from tausweep.study import StudyError

if TYPE_CHECKING:
    from tausweep.machine.peers import Processes

SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "KUBERNETES_SERVICE_HOST")
POLL_SECONDS = 0.5


def set_threads(threads: int) -> None:
    """Set the number of threads of torch and every BLAS; call it before torch is imported.

    Two processes with two spinning threads each on two cores are some 20 times slower than one, so
    a job never uses more than its rule gave it. OpenMP threads of a job that may share its cores
    must not spin while they wait.

    Raises:
        StudyError: Fewer than one thread.
    """
    if threads < 1:
        raise StudyError(f"--threads: {threads} is not allowed; it should be 1 or more")
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
    # Without it, cuBLAS refuses to run deterministically. It is read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if threads > 1:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def visible(count: int, environment: Mapping[str, str]) -> list[str]:
    """Names of the GPUs that CUDA shows this process, in CUDA's order.

    Two processes with different GPUs both call theirs number 0. A slot belongs to a GPU, so it
    needs the machine's own name for it.

    Args:
        count: How many GPUs CUDA shows.
        environment: Its ``CUDA_VISIBLE_DEVICES`` lists numbers or unique ids; CUDA shows those
            before the first that does not exist.
    """
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in given.split(",")][:count]


def slot_folder() -> Path:
    """Folder of the locks of this machine's GPUs: ``TAUSWEEP_SLOTS``, or else one per user."""
    named = os.environ.get("TAUSWEEP_SLOTS")
    folder = Path(named or Path(tempfile.gettempdir()) / f"tausweep-slots-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def runs_per_gpu() -> int:
    """How many small runs share a GPU: ``TAUSWEEP_RUNS_PER_GPU``, by default 1.

    Raises:
        StudyError: It is not a whole number of 1 or more.
    """
    given = os.environ.get("TAUSWEEP_RUNS_PER_GPU", "1")
    if not given.isdecimal() or int(given) < 1:
        raise StudyError(f"TAUSWEEP_RUNS_PER_GPU: {given!r} is not allowed; it should be 1 or more")
    return int(given)


def _locked(held: contextlib.ExitStack, path: Path, kind: int) -> bool:
    """Take a file's lock without waiting and add it to the stack; false if it is not free."""
    file = held.enter_context(path.open("a"))
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken(folder: Path, gpu: str, share: int | None) -> contextlib.ExitStack | None:
    """The locks of one GPU, or of one of its shares; none if it is not free."""
    with contextlib.ExitStack() as held:
        # Jobs that share a GPU hold its lock as a shared one, a job that needs all of it holds it
        # exclusively. So jobs that divide a GPU differently do not collide either.
        kind = fcntl.LOCK_EX if share is None else fcntl.LOCK_SH
        if not _locked(held, folder / f"gpu-{gpu}", kind):
            return None
        for slot in range(share or 0):
            with contextlib.ExitStack() as one:
                if _locked(one, folder / f"gpu-{gpu}-{slot}", fcntl.LOCK_EX):
                    held.push(one.pop_all())
                    return held.pop_all()
        return held.pop_all() if share is None else None


@contextlib.contextmanager
def lease(
    gpus: Sequence[str],
    share: int | None,
    say: Callable[[str], None] | None = None,
    folder: Path | None = None,
) -> Iterator[int]:
    """Lease one of the GPUs, or a share of it; see ``leases``. Yields its index in ``gpus``."""
    with leases(gpus, share, 1, say, folder) as (number,):
        yield number


@contextlib.contextmanager
def leases(
    gpus: Sequence[str],
    share: int | None,
    count: int,
    say: Callable[[str], None] | None = None,
    folder: Path | None = None,
) -> Iterator[list[int]]:
    """Lease some of the GPUs, or a share of one, while the block runs; yields indices in ``gpus``.

    The locks are kernel locks on files, so they are released when a job dies, however it dies. Jobs
    are served in turn. So small jobs cannot starve one that waits for a whole GPU, and two that
    need several GPUs do not deadlock. The GPU with the most free shares is taken first.

    Args:
        gpus: Names of GPUs, see ``visible``.
        share: How many jobs like this one share a GPU; none leases whole GPUs.
        count: How many to lease; 1 with a share.
        say: Called once if the job has to wait.
        folder: Folder of the locks; by default ``slot_folder()``.
    """
    folder = folder or slot_folder()
    waits = 0

    def wait() -> None:
        nonlocal waits
        waits += 1
        # The first wait may be for a job that is just taking its slot, which takes an instant.
        if waits == 2 and say is not None:
            say(f"waiting for a free slot on GPU {', '.join(gpus)}")
        time.sleep(POLL_SECONDS)

    with contextlib.ExitStack() as stack:
        numbers: list[int] = []
        with contextlib.ExitStack() as turn:
            while not _locked(turn, folder / "turn", fcntl.LOCK_EX):
                turn.close()
                wait()
            while len(numbers) < count:
                if (found := _first_free(folder, gpus, share)) is None:
                    wait()
                    continue
                number, held = found
                stack.push(held)
                numbers.append(number)
        yield numbers


def _first_free(
    folder: Path, gpus: Sequence[str], share: int | None
) -> tuple[int, contextlib.ExitStack] | None:
    def used(number: int) -> int:
        free = 0
        for slot in range(share or 0):
            with contextlib.ExitStack() as held:
                free += _locked(held, folder / f"gpu-{gpus[number]}-{slot}", fcntl.LOCK_EX)
        return -free

    for number in sorted(range(len(gpus)), key=used):
        if (held := _taken(folder, gpus[number], share)) is not None:
            return number, held
    return None


@contextlib.contextmanager
def devices_of(
    wanted: str,
    processes: Processes,
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> Iterator[Any]:
    """The torch device of a process that shares a run: a whole GPU for each, or the CPU.

    Args:
        wanted: ``auto``, ``cpu`` or ``cuda``; a single process may name whatever ``device`` allows.
        processes: The processes of the run; the first leases for all.
        say: Called if the job has to wait.
        stop: Asked while a process waits for the first.

    Raises:
        StudyError: There are fewer GPUs than processes, or one GPU is requested by its number.
        ProcessesError: ``stop`` was true.
    """
    import torch

    visible_count = torch.cuda.device_count()
    if processes.count == 1 or wanted == "cpu" or (wanted == "auto" and visible_count == 0):
        with device(wanted, say=say) as found:
            yield found
        return
    if wanted not in ("auto", "cuda"):
        raise StudyError(
            f"--device: {wanted!r} is not allowed for {processes.count} processes; it should be "
            "auto, cpu or cuda"
        )
    if visible_count < processes.count:
        raise StudyError(
            f"--processes: {processes.count} need a GPU each, but {visible_count} are visible"
        )

    def lease_all() -> contextlib.AbstractContextManager[list[int]]:
        if visible_count == processes.count and any(name in os.environ for name in SCHEDULERS):
            return contextlib.nullcontext(list(range(visible_count)))
        return leases(visible(visible_count, os.environ), None, processes.count, say)

    with processes.by_first(lease_all, stop) as numbers:
        found = torch.device(f"cuda:{numbers[processes.rank]}")
        torch.cuda.set_device(found)
        yield found


def free_bytes(device: Any) -> int | None:
    """Free memory of a GPU in bytes, including the unused part that torch has reserved.

    None for a CPU.
    """
    import torch

    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + kept)


@contextlib.contextmanager
def own_stream(device: Any) -> Iterator[None]:
    """Use a separate stream while the block runs, if the device is a GPU.

    Steps are recorded as graphs, which the default stream does not allow.
    """
    import torch

    if device.type != "cuda":
        yield
        return
    with torch.cuda.stream(torch.cuda.Stream(device)):
        yield


@contextlib.contextmanager
def device(
    wanted: str, share: bool = True, say: Callable[[str], None] | None = None
) -> Iterator[Any]:
    """The torch device of a job while the block runs; on a GPU with a separate stream.

    Args:
        wanted: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:<n>``.
        share: Whether the job is small enough to share a GPU.
        say: Called if the job has to wait.

    Raises:
        StudyError: The requested GPU does not exist.
    """
    with _given(wanted, share, say) as found, own_stream(found):
        yield found


@contextlib.contextmanager
def _given(wanted: str, share: bool, say: Callable[[str], None] | None) -> Iterator[Any]:
    import torch

    count = torch.cuda.device_count()
    if wanted == "cpu" or (wanted == "auto" and count == 0):
        yield torch.device("cpu")
        return
    if wanted not in ("auto", "cuda") and not (
        wanted.startswith("cuda:") and wanted[5:].isdecimal()
    ):
        raise StudyError(f"--device: {wanted!r} is not allowed; it should be auto, cpu or cuda[:n]")
    if count == 0:
        raise StudyError(
            f"--device: {wanted} was requested, but no GPU is visible; it should be cpu"
        )
    if wanted.startswith("cuda:"):
        if int(wanted[5:]) >= count:
            raise StudyError(f"--device: {wanted} does not exist; there are {count} GPU(s)")
        yield torch.device(wanted)
    elif count == 1 and any(name in os.environ for name in SCHEDULERS):
        yield torch.device("cuda:0")
    else:
        gpus = visible(count, os.environ)
        with lease(gpus, runs_per_gpu() if share else None, say) as number:
            yield torch.device(f"cuda:{number}")


def describe(device: Any) -> dict[str, Any]:
    """The hardware, for a record: device, CPU, its instructions in use, threads, system."""
    import torch

    from tausweep.machine import kernel_choice

    found: dict[str, Any] = {
        "device": device.type,
        "threads": torch.get_num_threads(),
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "instructions": instructions.in_use(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
        found["loss_kernels"] = kernel_choice.body(device)
    return found


def cpu_model() -> str:
    """Model of this machine's CPU, as its system names it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
