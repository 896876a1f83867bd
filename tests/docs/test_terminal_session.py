"""The picture of a run in the README is what a run prints; its numbers are those that are kept."""

from __future__ import annotations

import csv
import html
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tausweep import study as studies
from tausweep.report import headline
from tausweep.storage.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/terminal-session.svg"
KEPT = ROOT / "benchmarks/measured"
RUN = re.compile(r"  (?P<run>\S+/seed\d+) +linear +(?P<linear>[\d.]+) ?% +kNN +(?P<knn>[\d.]+) ?%")
CHARACTER = 12.2
"""The width of a character in rich's SVG."""

RUNS = """
import sys, time
from tausweep.commands.progress_display import ProgressDisplay
from tausweep.commands.study_progress import Running, Snapshot
finished = 0
def now():
    running = (Running("pretrain", f"digits/simple/none/seed{finished}", None),)
    return Snapshot(finished / 20, 60.0, 20, finished, running)
display = ProgressDisplay(sys.stdout, now)
display.say("study twenty: 20 runs", "bold")
display.start()
for finished in range(1, 21):
    display.say(f"  digits/simple/none/seed{finished - 1}  linear 50.0%  kNN 40.0%   2 s")
    if finished == 10:
        time.sleep(1.5)
display.stop()
display.say("done in 1 min")
sys.exit(3)
"""


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """The program that draws the picture."""
    if "CI" not in os.environ and importlib.util.find_spec("pyte") is None:
        pytest.skip("needs the packages of the extra docs: pip install 'tausweep[docs]'")
    place = ROOT / "docs/tools/terminal_session.py"
    spec = importlib.util.spec_from_file_location("terminal_session", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines_of(picture: str) -> list[str]:
    """What stands in an SVG of rich, line by line."""
    rows: dict[float, str] = {}
    texts = re.findall(
        r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', picture
    )
    for x, y, text in texts:
        line = rows.get(float(y), "").ljust(round(float(x) / CHARACTER))
        rows[float(y)] = line + html.unescape(text).replace("\xa0", " ")
    return [rows[y].rstrip() for y in sorted(rows)]


def test_two_moments_of_a_run_are_drawn(program: ModuleType, tmp_path: Path) -> None:
    code, events = program.record([sys.executable, "-c", RUNS], tmp_path)
    assert code == 3
    program.write(tmp_path / "twenty.cast", events)
    again = program.read(tmp_path / "twenty.cast")
    assert program.printed(again) == program.printed(events)
    lines = lines_of(program.draw("tausweep run twenty", again))
    assert lines[:2] == ["$ tausweep run twenty", "study twenty: 20 runs"]
    shown = [line.split()[0].rpartition("seed")[2] for line in lines if "linear" in line]
    assert shown == [str(n) for n in (0, 1, 2, 3, 6, 7, 8, 9, 16, 17, 18, 19)]
    assert [line.strip() for line in lines if "more" in line] == [
        "[... 2 runs more ...]", "[... later: 6 runs more ...]",
    ]  # fmt: skip
    bar = next(line for line in lines if "━" in line)
    assert bar.endswith("50%, 10 of 20 runs, 60 s left")
    assert lines[lines.index(bar) + 1] == "  digits/simple/none/seed10  pretrain"
    assert lines[-1] == "done in 1 min"


def test_the_picture_has_no_font_of_a_server(program: ModuleType) -> None:
    assert "@font-face" not in program.FORMAT
    assert "Fira" not in program.FORMAT
    loaded = re.findall(r"https?://[^\"' )]+", PICTURE.read_text("utf-8").partition("<style>")[2])
    assert loaded == []


def test_the_numbers_of_the_picture_are_those_of_the_kept_demo() -> None:
    """If a run of the demo prints something else now: `make terminal-session`."""
    lines = lines_of(PICTURE.read_text("utf-8"))
    with (KEPT / "demo/records.csv").open(encoding="utf-8") as file:
        records = {
            f"{row['dataset']}/{row['loss']}/{row['temperature'] or 'none'}/seed{row['seed']}": row
            for row in csv.DictReader(file)
        }
    shown = [found for line in lines if (found := RUN.match(line))]
    assert len(shown) >= 8
    for run in shown:
        for name in ("linear", "knn"):
            digits = len(run[name].partition(".")[2])
            assert run[name] == f"{float(records[run['run']][f'{name}_accuracy']):.{digits}f}"
    study = ROOT / "benchmarks/demo.yaml"
    page = headline.describe(studies.load(study), str(study), Layout(KEPT)).splitlines()
    table = page[
        : page.index("Cells: mean ± half-width of the plain 95% t-interval (number of seeds).")
    ]
    # A recording that was cut off has no table yet.
    ended = any(line.startswith("done in") for line in lines)
    assert not ended or [line for line in table if line not in lines and line] == []
