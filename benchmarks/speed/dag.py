"""The fixed cost: the demo against the sum of its work, and planning the paper's study.

The demo is run whole, in a folder of its own. Its work is what its records say: seconds of training
steps, and of evaluation without the imports before it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median

import measure
from measure import Row

from tausweep import study as studies

ROOT = Path(__file__).resolve().parents[2]
PAPER = "benchmarks/paper.yaml"
PYTHON = [sys.executable]
SNAKEMAKE = [*PYTHON, "-m", "snakemake"]


def run(command: Sequence[str]) -> None:
    """Run a command to its end from the repository's root; its output is shown if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def work(results: Path) -> tuple[float, float]:
    """Seconds of training and of evaluation of a study's runs."""
    training = evaluation = 0.0
    for path in results.glob("runs/*/*/*/*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        training += record["pretrain"]["seconds"]
        began, ended = (
            datetime.fromisoformat(record["evaluate"][name]) for name in ("started", "ended")
        )
        evaluation += (ended - began).total_seconds()
    return training, evaluation


def demo(cores: int) -> Row:
    """Aim 10."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *SNAKEMAKE, "--snakefile", str(ROOT / "workflow/Snakefile"), "--directory", folder,
            "--workflow-profile", str(ROOT / "workflow/profiles/default"),
            "--configfile", str(ROOT / "benchmarks/demo.yaml"), "--cores", str(cores), "--quiet",
        ]  # fmt: skip
        began = time.perf_counter()
        run(command)
        wall = time.perf_counter() - began
        training, evaluation = work(Path(folder) / "results/demo")
    total = training + evaluation
    return Row(
        "10", f"the demo, wall time x {cores} cores", "its training and evaluation", wall * cores,
        total, wall * cores / total, "<= 1.3",
        f"wall {wall:.0f} s, training {training:.0f} s, evaluation {evaluation:.0f} s",
    )  # fmt: skip


def planning() -> Row:
    """Aim 11."""
    paper = [*SNAKEMAKE, "--dry-run", "--quiet", "--configfile", PAPER]
    runs = len(studies.load(ROOT / PAPER).runs())
    cells: measure.Cells = {
        "plan": partial(run, paper),
        "version": partial(run, [*SNAKEMAKE, "--version"]),
    }
    times = measure.interleave(cells, rounds=3)
    return Row(
        "11", f"snakemake -n, {PAPER}: {runs} runs", "snakemake --version",
        median(times["plan"]), median(times["version"]), measure.ratio(times, "plan", "version"),
        "<= 4",
    )  # fmt: skip


def starting() -> Iterator[Row]:
    """What a job pays before its work."""
    jobs = {
        "pretraining": "from tausweep.training import outputs, pretrain",
        "evaluation": "import tausweep.commands.evaluate\nfrom tausweep.measures import evaluate",
    }
    imports = {**jobs, "torch": "import torch"}
    cells: measure.Cells = {
        name: partial(run, [*PYTHON, "-c", code]) for name, code in imports.items()
    }
    times = measure.interleave(cells, rounds=3)
    for name in jobs:
        yield Row(
            "", f"imports of a job of {name}", "import torch", median(times[name]),
            median(times["torch"]), measure.ratio(times, name, "torch"),
        )  # fmt: skip


if __name__ == "__main__":
    measure.arguments(__doc__)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    measure.show("dag", [*starting(), planning(), demo(os.cpu_count() or 1)])
