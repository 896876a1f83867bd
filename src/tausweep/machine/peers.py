"""The processes that train one run together: one a GPU, on one machine, started by torchrun.

Every process takes its slice of each batch and adds what it found to what the others found. All
else (the step, the bank's update) each computes for itself from the same sums, so weights and bank
are the same bytes everywhere and are never sent. How many processes there are is no setting of a
run: they compute what one computes, but for the rounding of sums, and so the record names them.
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
    """The processes of a run cannot go on together; one sentence."""


class Processes:
    """Who takes part in a run, as one of them sees it; alone, everything is what it is.

    Attributes:
        rank: Which one this is, from 0. The first holds the run's lock, writes and reports.
        count: How many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1, store: Store | None = None) -> None:
        self.rank, self.count = rank, count
        self._store = store
        self._turns = 0

    def __str__(self) -> str:
        return f"process {self.rank + 1} of {self.count}"

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, batch: int, unit: int = 1) -> slice:
        """This process's part of a batch: contiguous, in the order of the ranks.

        Args:
            batch: Instances in the batch.
            unit: Instances that stay together: a group of ghost batch norm, counted from the
                batch's first. Parts differ by at most one unit; where there are fewer units than
                processes, the last ones get nothing.
        """
        each, more = divmod(math.ceil(batch / unit), self.count)
        start = self.rank * each + min(self.rank, more)
        stop = start + each + (self.rank < more)
        return slice(min(start * unit, batch), min(stop * unit, batch))

    def total(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Sums over the processes, elementwise; the same bytes on every one.

        Args:
            tensors: Of one type, on one device, of the same shapes on every process.

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
        """Whether each flag is raised on any process: on all of them the same answer.

        Flags travel between hosts' memories, so that no GPU is waited for.
        """
        if self.count == 1:
            return flags
        (raised,) = self.total([torch.tensor(flags, dtype=torch.int64)])
        return tuple(raised.bool().tolist())

    def rows(self, row: Tensor) -> Tensor:
        """One row (n) from every process, in the order of ranks: count x n, the same everywhere."""
        rows = row.new_zeros(self.count, len(row))
        rows[self.rank] = row
        return self.total([rows])[0]

    def check_same(self, what: str, digest: str) -> None:
        """Refuse to go on with processes that differ.

        Args:
            what: What is compared, for the sentence.
            digest: Its hexadecimal digest here.

        Raises:
            ProcessesError: On every process, where one has another digest than the first.
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
        """Enter a context in the first process; the others wait, and get what it got.

        Args:
            hold: Makes the context; what it yields must be JSON-ready.
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
    """How many processes torchrun started for this job; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started with this one, ready to compute together.

    Args:
        device: What the job was asked to run on; sums go by NCCL between GPUs, else by gloo.

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
        raise  # the others are gone: there is nobody to take leave of
    except BaseException:
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()
