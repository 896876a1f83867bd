"""Timing in one process: things to compare take turns, and a ratio is the median over rounds.

On a shared machine the time of the same code varies by a third from minute to minute. Cells that
take turns share the same conditions, so their ratio is stable even if their seconds are not.
"""

from __future__ import annotations

import argparse
import csv
import gc
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "snakemake", "lightly", "kornia")
FOLDER = Path("results/speed")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        number: Number of the aim that the line belongs to.
        what: What was measured.
        against: What it is compared with.
        found: The measured value, in ``unit``.
        base: The value that it is compared with.
        ratio: found / base, or base / found if the aim is that more is better.
        aim: ``<= x`` or ``>= x`` for the ratio; empty where there is none.
        note: What else to know.
        unit: ``s`` or ``MB``.
    """

    number: str
    what: str
    against: str
    found: float
    base: float
    ratio: float
    aim: str = ""
    note: str = ""
    unit: str = "s"

    @property
    def reached(self) -> bool | None:
        """Whether the ratio reaches its aim; none without one."""
        if not self.aim:
            return None
        sign, limit = self.aim.split()
        return self.ratio <= float(limit) if sign == "<=" else self.ratio >= float(limit)


Cells = dict[str, Callable[[], object]]
Times = dict[str, list[float]]


def interleave(cells: Cells, rounds: int, warmup: int = 1) -> Times:
    """Seconds of every cell in every round; the cells take turns within a round."""
    times: Times = {name: [] for name in cells}
    gc.collect()
    for number in range(warmup + rounds):
        for name, cell in cells.items():
            began = time.perf_counter()
            cell()
            if number >= warmup:
                times[name].append(time.perf_counter() - began)
    return times


def ratio(times: Times, cell: str, base: str) -> float:
    """Median over the rounds of cell / base."""
    return median(a / b for a, b in zip(times[cell], times[base], strict=True))


def peak_mb(program: str, *arguments: object) -> float:
    """Peak resident memory, in MB, of a program of this folder in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name(program)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def own_peak_mb() -> float:
    """Peak resident memory of this process in MB (Linux; the peak of its own memory only)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def restart_peak() -> float:
    """Let the peak start again from what is resident now, and return that in MB (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return own_peak_mb()


def hardware() -> str:
    """The machine and the versions, in one line."""
    import torch

    from tausweep.machine import devices

    here = devices.describe(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} -")
    return (
        f"{here['cpu']}, {here['cpu_capability']}, {here['cores']} cores, {here['threads']} "
        f"threads, {here.get('gpu', 'no GPU')}; Python {platform.python_version()}, "
        f"{', '.join(versions)}"
    )


def arguments(description: str | None) -> argparse.Namespace:
    """The options that all programs share; sets torch's threads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's threads")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    return options


def show(name: str, rows: Sequence[Row]) -> None:
    """Print the rows, and write them to ``results/speed/<name>.csv``."""
    print(f"\n{name}: {hardware()}")
    for row in rows:
        print(line(row))
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        fields = [*Row.__dataclass_fields__, "reached", "hardware"]
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({**asdict(row), "reached": row.reached, "hardware": hardware()})
    sys.stdout.flush()


def line(row: Row) -> str:
    """A row as a line of text."""
    mark = {True: "ok", False: "SHORT", None: ""}[row.reached]
    numbers = " ".join(f"{quantity(number, row.unit):>9}" for number in (row.found, row.base))
    text = f"{row.number:>4} {numbers} {row.ratio:8.3f} {row.aim:>8} {mark:5} {row.what}"
    text += f"  vs  {row.against}"
    return f"{text}  ({row.note})" if row.note else text


def quantity(number: float, unit: str) -> str:
    """Seconds or megabytes in three digits."""
    if unit == "s" and number < 1:
        number, unit = number * 1e3, "ms"
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
