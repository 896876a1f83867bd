"""The processes that train one run together: one per GPU, on one machine, started by torchrun.

Every process takes its slice of each batch, and the results are summed over processes. Each process
computes the rest (the step, the bank's update) itself from the same sums, so weights and bank are
the same bytes everywhere and are never sent. The number of processes is not a setting of a run,
    because only the rounding of sums depends on it. The record names it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from tausweep.study import StudyError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

POLL_SECONDS = 0.5


class ProcessesError(RuntimeError):
    """The processes of a run cannot continue together."""


class Processes:
    """The processes of a run, seen from one; with one process every operation is the identity.

    Attributes:
        rank: This process, from 0. The first holds the run's lock, writes files and reports.
        count: The number of processes.
    """

    def __init__(self, rank: int = 0, count: int = 1, store: Store | None = None) -> None:
        self.rank, self.count = rank, count
        self._store = store
        self._turns = 0

    def __str__(self) -> str:
        return f"process {self.rank + 1} of {self.count}"

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def share(self, batch: int, unit: int = 1) -> slice:
        """This process's part of a batch: contiguous, in the order of the ranks.

        Args:
            batch: Instances in the batch.
            unit: Instances that stay together (a group of ghost batch norm), counted from the
                start of the batch. Parts differ by at most one unit; if there are fewer units than
                processes, the last processes get nothing.
        """
        each, more = divmod(math.ceil(batch / unit), self.count)
        start = self.rank * each + min(self.rank, more)
        stop = start + each + (self.rank < more)
        return slice(min(start * unit, batch), min(stop * unit, batch))

    def total(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Elementwise sums over the processes; the same bytes on every one.

        Args:
            tensors: Tensors of one type on one device, with the same shapes on every process.

        Raises:
            ProcessesError: Another process ended.
        """
        if self.count == 1:
            return list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        try:
            dist.all_reduce(flat)
        except RuntimeError as error:
            raise ProcessesError(
                f"{self}: another one ended; what it said tells why, and the run's checkpoint is "
                f"as it was ({str(error).splitlines()[0]})"
            ) from None
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)]

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each flag is true on any process; the answer is the same on all.

        Flags are exchanged in host memory, so this does not wait for a GPU.
        """
        if self.count == 1:
            return flags
        (raised,) = self.total([torch.tensor(flags, dtype=torch.int64)])
        return tuple(raised.bool().tolist())

    def rows(self, row: Tensor) -> Tensor:
        """One row (n) from each process in the order of ranks: count x n, the same everywhere."""
        rows = row.new_zeros(self.count, len(row))
        rows[self.rank] = row
        return self.total([rows])[0]

    def check_same(self, what: str, digest: str) -> None:
        """Check that something is the same on all processes.

        Args:
            what: What is compared, for the message.
            digest: Its hexadecimal digest on this process.

        Raises:
            ProcessesError: Raised on every process if one differs from the first.
        """
        number = torch.tensor([int(digest[:15], 16)])
        rows = self.rows(number).flatten().tolist()
        if len({*rows}) > 1:
            others = ", ".join(str(i + 1) for i, row in enumerate(rows) if row != rows[0])
            raise ProcessesError(
                f"{what} of process {others} of {self.count} are not those of process 1"
            )

    @contextlib.contextmanager
    def by_first(
        self, hold: Callable[[], AbstractContextManager[Any]], stop: Callable[[], bool]
    ) -> Iterator[Any]:
        """Enter a context in the first process; the others wait and receive the same value.

        Args:
            hold: Makes the context; the value that it yields must fit in JSON.
            stop: Asked while waiting.

        Raises:
            ProcessesError: ``stop`` was true.
        """
        self._turns += 1
        key = f"tausweep/{self._turns}"
        if self.first:
            with hold() as got:
                if self._store is not None:
                    self._store.set(key, json.dumps(got))
                yield got
            return
        assert self._store is not None
        while not self._store.check([key]):
            if stop():
                raise ProcessesError(f"{self}: stopped while it waited for process 1")
            time.sleep(POLL_SECONDS)
        yield json.loads(self._store.get(key))


ALONE = Processes()


def launched() -> int:
    """How many processes torchrun started for this job; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started together, connected.

    Args:
        device: The requested device; GPUs use NCCL for sums, CPUs use gloo.

    Raises:
        StudyError: They are on several machines.
    """
    count = launched()
    if count == 1:
        yield ALONE
        return
    if int(os.environ.get("LOCAL_WORLD_SIZE", count)) != count:
        raise StudyError(
            f"--processes: {count} were started on several machines; a run takes those of one"
        )
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, rank, _ = next(rendezvous("env://", timeout=timedelta(minutes=5)))
    on_gpus = device != "cpu" and torch.cuda.is_available()
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
        store=PrefixStore("group", store),
        rank=rank,
        world_size=count,
    )
    try:
        yield Processes(rank, count, store)
    except ProcessesError:
        raise  # the others have ended, so destroying the group would hang
    except BaseException:
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()
