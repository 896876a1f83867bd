"""Processes that work on one task together as torchrun's do, started at less cost.

They are forked from a server that imported torch once, and sum by gloo. What one of them says goes
to a file, which is shown where it dies, hangs or fails. A task is found by its module's name, in
which that module must not import from ``conftest``: there are several of that name.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tausweep.machine.peers import joined

Task = Callable[..., Any]

HANGS_AFTER = 240.0
"""Seconds; no measure of speed: a machine may have other things to do."""


def _take_part(
    task: Task, rank: int, count: int, port: int, arguments: Any, said: Path, answer: Connection
) -> None:
    file = said.open("w")
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True, file=file)
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    try:
        with joined("cpu") as processes:
            answer.send((True, task(processes, *arguments)))
    except Exception as error:
        traceback.print_exc(file=file)
        answer.send((False, f"{type(error).__name__}: {error}"))


def together(
    folder: Path, count: int, task: Task, *arguments: Any, works: bool = True
) -> list[Any]:
    """What ``task(processes, *arguments)`` returns in each process; or says as it fails.

    Args:
        folder: For what they say.
        count: How many processes.
        task: A function of a module of tests.
        arguments: What it takes.
        works: Whether it should work in all of them, or fail in all of them.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.distributed", "tausweep.training.pretrain"])
    # The store is here, as torchrun's is in torchrun: nobody has to guess a port that is free.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    said = [folder / f"process-{rank + 1}.txt" for rank in range(count)]
    children, answers = [], []
    for rank in range(count):
        mine, its = context.Pipe(duplex=False)
        given = (task, rank, count, store.port, arguments, said[rank], its)
        children.append(context.Process(target=_take_part, args=given))
        children[-1].start()
        its.close()
        answers.append(mine)
    found: dict[int, tuple[bool, Any]] = {}
    end = time.monotonic() + HANGS_AFTER + 30
    try:
        waiting = list(answers)
        while waiting and (ready := wait(waiting, max(0.0, end - time.monotonic()))):
            for answer in [mine for mine in waiting if mine in ready]:
                waiting.remove(answer)
                try:
                    found[answers.index(answer)] = answer.recv()
                except EOFError:  # it died, and the others may wait for it in vain
                    end = min(end, time.monotonic() + 10)
    finally:
        for child in children:
            child.join(timeout=10 if len(found) == count else 0)
            child.kill()
    if [found[rank][0] for rank in sorted(found)] != [works] * count:
        pytest.fail("\n".join(_account(rank, found.get(rank), said[rank]) for rank in range(count)))
    return [found[rank][1] for rank in range(count)]


def _account(rank: int, found: tuple[bool, Any] | None, said: Path) -> str:
    how = "died or hung" if found is None else "worked" if found[0] else f"failed: {found[1]}"
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    return f"process {rank + 1} {how}\n{text}"
