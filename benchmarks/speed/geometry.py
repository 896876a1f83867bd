"""Uniformity and tolerance over all pairs, against a bare matrix product and torch.pdist.

``tausweep.measures.geometry.uniformity`` and ``tolerance`` are what evaluation calls through
``measure``, without its further measures. The bare product walks over the same tiles of the same
pairs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from statistics import median

import measure
import torch
from measure import Row
from torch import Tensor

from tausweep.measures import geometry

COUNT, DIM, CLASSES, T = 50_000, 128, 10, 2.0
WARMUP = 600


def embeddings() -> tuple[Tensor, Tensor]:
    """Unit rows around ten means, and the means' numbers."""
    torch.manual_seed(0)
    labels = torch.arange(COUNT) % CLASSES
    x = torch.randn(COUNT, DIM) + torch.randn(CLASSES, DIM)[labels]
    return torch.nn.functional.normalize(x, dim=1), labels


def ours(x: Tensor, labels: Tensor) -> tuple[float, float]:
    """Uniformity and tolerance."""
    return geometry.uniformity(x, T), geometry.tolerance(x, labels)


def bare(x: Tensor) -> None:
    """All similarities, tile by tile, into one buffer."""
    size = geometry.TILE["cpu"]
    block = x.new_empty(size * size)
    for start in range(0, len(x), size):
        a = x[start : start + size]
        for other in range(start, len(x), size):
            b = x[other : other + size]
            torch.mm(a, b.T, out=block[: len(a) * len(b)].view(len(a), len(b)))


def by_pdist(x: Tensor) -> float:
    """Wang and Isola's line, negated."""
    return -float(torch.pdist(x).pow(2).mul(-T).exp().mean().log())


def alone(name: str) -> None:
    """Print seconds, memory and values of ours, or of ours and then pdist, in a fresh process.

    Memory is the peak above what the warmed-up process with its embeddings already holds.
    """
    x, labels = embeddings()
    ours(x[:WARMUP], labels[:WARMUP])
    by_pdist(x[:WARMUP])
    ways = {"ours": lambda: ours(x, labels)[0], "pdist": lambda: by_pdist(x)}
    found = {}
    for way in ways if name == "pdist" else [name]:
        before = measure.restart_peak()
        began = time.perf_counter()
        value = ways[way]()
        seconds = time.perf_counter() - began
        found[way] = {"s": seconds, "mb": measure.own_peak_mb() - before, "value": value}
    print(json.dumps(found))


def in_process(name: str, threads: int) -> dict[str, dict[str, float]]:
    """What ``alone`` prints."""
    command = [sys.executable, __file__, "memory", name, str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def rows(threads: int) -> Iterator[Row]:
    """Aim 7."""
    what = f"uniformity + tolerance, {COUNT:,} x {DIM}, all pairs"
    own = in_process("ours", threads)["ours"]
    both = in_process("pdist", threads)
    mine, theirs = both["ours"], both["pdist"]
    if not abs(mine["value"] - theirs["value"]) < 1e-6:
        raise ValueError(f"uniformity: {mine['value']} by ours, {theirs['value']} by pdist")
    x, labels = embeddings()
    times = measure.interleave({"ours": lambda: ours(x, labels), "bare": lambda: bare(x)}, rounds=3)
    yield Row(
        "7", what, "bare matrix product, same tiles", median(times["ours"]), median(times["bare"]),
        measure.ratio(times, "ours", "bare"), "<= 1.4", f"tiles of {geometry.TILE['cpu']}",
    )  # fmt: skip
    yield Row(
        "7", what, "torch.pdist, uniformity alone", mine["s"], theirs["s"],
        theirs["s"] / mine["s"], ">= 14",
        f"once; uniformity {mine['value']:.6f}, {abs(mine['value'] - theirs['value']):.1g} apart",
    )  # fmt: skip
    yield Row(
        "7", "peak memory of the same above its embeddings", "torch.pdist's", own["mb"],
        theirs["mb"], own["mb"], "<= 300", "ratio: ours in MB", "MB",
    )  # fmt: skip


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if sys.argv[1:2] == ["memory"]:
        torch.set_num_threads(int(sys.argv[3]))
        alone(sys.argv[2])
    else:
        options = measure.arguments(__doc__)
        measure.show("geometry", list(rows(options.threads)))
