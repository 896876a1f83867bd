"""Every command of docs/artefact.md, in the order of the page, and its table of margins."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tausweep.cli import main
from tausweep.commands import verification
from tausweep.commands.export import export
from tausweep.results import published, read
from tausweep.results.equivalence import EQUIVALENCE_MARGINS
from tausweep.storage.layout import Layout
from tausweep.study import BASELINES, load

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/artefact.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```console\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = list(dict.fromkeys(line.strip() for block in BLOCKS for line in block.splitlines()))

ELSEWHERE = {
    "tausweep run demo": "`make demo`, which CI runs",
    "make break-it": "tests/workflow/test_make.py",
    "make test-crate": "CI, which runs it",
}
"""What runs the commands that these tests do not."""


def test_the_page_s_commands_work_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("benchmarks").symlink_to(ROOT / "benchmarks")
    done = 0
    for command in COMMANDS:
        if command == "tausweep run demo":  # its results are those that are kept
            for place in ("demo", "data"):
                shutil.copytree(ROOT / "benchmarks/measured" / place, Path("results") / place)
        if command in ELSEWHERE:
            continue
        program, *arguments = shlex.split(command)
        if program == "python":
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            done += 1
            continue
        assert program == "tausweep"
        strict = "linear_accuracy=1" in arguments
        assert main(arguments) == 0, (command, capsys.readouterr())
        said = capsys.readouterr().out
        assert ("within ±1;" in said) == strict, command
        done += 1
    assert done == len(COMMANDS) - len(ELSEWHERE)


def test_the_margins_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert {name: float(margin) for name, margin, _ in rows} == EQUIVALENCE_MARGINS
    table = published.records()
    table = table[table["loss"] == "contrastive"].set_index(["dataset", "temperature"])
    for name, margin, half in rows:
        numbers = table["linear_accuracy" if name == "knn_accuracy" else name]
        effects = (numbers.xs(0.3, level=1) - numbers.xs(0.07, level=1)).abs()
        assert float(half) == pytest.approx(effects.min() / 2, rel=0.01)
        assert float(margin) < float(half)


@pytest.mark.parametrize("name", ["demo", "cifar10-small", "cifar10-longer"])
def test_what_three_seeds_can_show_is_what_the_page_says(name: str) -> None:
    """Reruns whose numbers differ from the kept ones as two seeds do: how many are equivalent."""
    table = read(ROOT / f"benchmarks/measured/{name}/records.csv")
    table = table[~table["loss"].isin(BASELINES)]
    draws = np.random.default_rng(0)
    for column, margin in EQUIVALENCE_MARGINS.items():
        sd = table.groupby(["dataset", "loss", "temperature"], dropna=False)[column].std()
        gaps = draws.normal(size=(2000, 3, len(sd))) * sd.to_numpy() * 2**0.5
        means = gaps.mean(axis=2)
        half = stats.t.ppf(0.95, 2) * means.std(axis=1, ddof=1) / 3**0.5
        share = float((np.abs(means.mean(axis=1)) + half < margin).mean())
        mostly_undecided = name == "demo" and column.endswith("accuracy")
        assert share < 0.3 if mostly_undecided else share > 0.95, (column, share)


def test_every_check_of_the_page_is_one_that_is_made(tmp_path: Path) -> None:
    export(
        load(ROOT / "benchmarks/demo.yaml"), Layout(ROOT / "benchmarks/measured"), tmp_path / "e"
    )
    found = verification.verify(str(tmp_path / "e"), tmp_path, None, EQUIVALENCE_MARGINS)
    table = PAGE.partition("| check | holds if |")[2].partition("\n\n")[0]
    named = [
        name for row in table.splitlines()[2:] for name in row.split("|")[1].strip().split(", ")
    ]
    assert named == [check.name for check in found.checks if check.name != "not here"]
