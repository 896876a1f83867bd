"""A checkout of its own for tests of the workflow: rules, profiles and package copied to a folder.

What a test edits there (a study, a module, a picture, a result) is edited nowhere else, and the
commands are the ones that a user types.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

import tiny_run
from tausweep.results.records import TIMED

REPOSITORY = Path(__file__).parents[1]
CARRIED = ("workflow", "config", "src", "benchmarks")

TINY = tiny_run.STUDY | {
    "datasets": {
        "pictures": {"source": {"kind": "folder", "path": "pictures"}, "image_size": 8},
    },
    "losses": {"contrastive": {"temperature": 0.1}, "simple": {}},
    "pretrain": {"epochs": 20, "batch_size": 32},
    "linear": {"epochs": 3, "lr": 1.0},
    "knn": {"k": 5},
    "separation": {"anchors": 32},
}
"""Two runs on forty generated pictures: a second of training each."""

RUNS = ("pictures/contrastive/0.1/seed0", "pictures/simple/none/seed0")

LONE = "pictures/simple/none/seed0"
"""The run of ``lone_run``."""

STAGES = ("study", "prepare", "pretrain", "evaluate", "collect")


def draw_pictures(folder: Path) -> None:
    """Noise of two colours, twenty training and six test pictures each: learnable, tiny."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 6)):
        for label, name in enumerate(("dark", "light")):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(90 * label, 90 * label + 120, (8, 8, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number:02}.png")


@dataclass(frozen=True)
class Checkout:
    """A folder with rules, profiles, package and a study file.

    Attributes:
        folder: Where.
    """

    folder: Path

    @classmethod
    def new(cls, folder: Path, study: dict[str, Any] | None = None) -> Checkout:
        """Copy the project's files there, draw the pictures, write the study."""
        folder.mkdir(parents=True)
        for name in CARRIED:
            source = REPOSITORY / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy2(source, folder / name)
        draw_pictures(folder / "pictures")
        checkout = cls(folder)
        checkout.write_study(study or TINY)
        return checkout

    def copy(self, folder: Path) -> Checkout:
        """All of it, results and Snakemake's memory included, with their times."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Checkout(folder)

    @property
    def environment(self) -> dict[str, str]:
        """For commands: this checkout's package, and nothing of a scheduler or of settings."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TAUSWEEP_", "SLURM", "SNAKEMAKE_", "CUDA_"))
        }
        return kept | {
            "PYTHONPATH": str(self.folder / "src"),
            "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
        }

    def write_study(self, study: dict[str, Any], name: str = "study.yaml") -> Path:
        """Write a study file."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(study, sort_keys=False, allow_unicode=True), "utf-8")
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that a file has exactly once."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name}: {old!r} is there {text.count(old)} times"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def command(self, *arguments: str, study: str = "study.yaml") -> list[str]:
        """The documented command."""
        return ["snakemake", "--configfile", study, *arguments]

    def records(self, study: str = "tiny") -> str:
        """The target up to which these tests run a study: what is behind it takes no weeks."""
        return f"results/{study}/records.csv"

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | options.pop("environment", {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,
        )

    def run(self, *command: str, timeout: float = 600, **options: Any) -> tuple[int, str]:
        """Run a command to its end; exit code and all that it said."""
        process = self.start(list(command), **options)
        try:
            said, _ = process.communicate(timeout=timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
        return process.returncode, said

    def complete(self, *arguments: str, study: str = "study.yaml", **options: Any) -> str:
        """Run the documented command; it must succeed."""
        targets = ("--cores", "2", "results/tiny/study.json", self.records())
        command = self.command(*(arguments or targets), study=study)
        code, said = self.run(*command, **options)
        assert code == 0, said
        return said

    def forget_runs(self, study: str = "tiny") -> None:
        """Remove a study's results, and what the store has of all studies; data stay."""
        for name in (study, "store"):
            shutil.rmtree(self.folder / "results" / name)

    def results(self, study: str = "tiny") -> dict[str, bytes]:
        """Everything that must not differ between two executions of a study, by path."""
        root = self.folder / "results" / study
        found: dict[str, bytes] = {}
        for path in sorted(root.glob("runs/*/*/*/*/*")):
            name = str(path.relative_to(root))
            if path.name == "history.csv":
                found[name] = _without(path.read_text("utf-8"), ("seconds", "images_per_second"))
            elif path.name not in ("record.json", "pretrain.json"):
                found[name] = path.read_bytes()
        for path in root.glob("records.csv"):
            found["records.csv"] = _without(path.read_text("utf-8"), TIMED)
        return found


def lone_run(folder: Path) -> Checkout:
    """One run that saves after every step."""
    study = copy.deepcopy(TINY)
    study["losses"] = {"simple": None}
    study["pretrain"]["epochs"] = 40
    study["evaluate_at"] = [0.25, 0.5]
    checkout = Checkout.new(folder, study)
    save_always(checkout)
    return checkout


def save_always(checkout: Checkout) -> None:
    """Save after every step, not every minute, so that what ends a run finds all its states."""
    checkout.edit(
        "workflow/rules/pretrain.smk",
        '"exec tausweep pretrain ',
        '"exec tausweep pretrain --checkpoint-seconds 0 ',
    )


def _without(table: str, columns: tuple[str, ...]) -> bytes:
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows
    kept = [{k: v for k, v in row.items() if k not in columns} for row in rows]
    return json.dumps(kept).encode()


def jobs_of(said: str) -> set[str]:
    """Jobs that a dry run lists: ``rule``, and behind it the run or the prepared data."""
    found = set()
    for block in re.split(r"\n(?=(?:local)?rule )", "\n" + said):
        if (start := re.match(r"(?:local)?rule (\w+):", block)) is None:
            continue
        stated = re.search(r"^ +wildcards: (.*)$", block, re.MULTILINE)
        pairs = (p.split("=") for p in stated[1].split(", ")) if stated else ()
        wildcards = dict(pairs)
        run = [wildcards.get(name, "") for name in ("dataset", "loss", "tau")]
        what = "/".join([*run, f"seed{wildcards['seed']}"]) if all(run) else ""
        found.add(f"{start[1]} {what or wildcards.get('prepared', '')}".strip())
    return found


class DryRuns:
    """Dry runs of Snakemake from one process that imports it once and forks for each."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forking.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self,
        checkout: Checkout,
        *arguments: str,
        study: str = "study.yaml",
        more: tuple[str, ...] = (),
        code: int = 0,
    ) -> str:
        """What ``snakemake -n`` says; ``more`` study files are merged on top."""
        output = checkout.folder / ".dry-run"
        request = {
            "arguments": checkout.command(*more, "--dry-run", *arguments, study=study)[1:],
            "folder": str(checkout.folder),
            "environment": checkout.environment,
            "output": str(output),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        ended = int(self._server.stdout.readline())
        said = output.read_text(encoding="utf-8")
        assert ended == code, said
        return said

    def jobs(
        self,
        checkout: Checkout,
        *arguments: str,
        study: str = "study.yaml",
        more: tuple[str, ...] = (),
    ) -> set[str]:
        """Jobs of the stages up to the collected table that would run."""
        said = self(checkout, *arguments, study=study, more=more)
        return {job for job in jobs_of(said) if job.split()[0] in STAGES}

    def close(self) -> None:
        """End the process."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)


@contextlib.contextmanager
def dry_runs() -> Iterator[DryRuns]:
    """Dry runs while the block runs."""
    runs = DryRuns()
    try:
        yield runs
    finally:
        runs.close()
