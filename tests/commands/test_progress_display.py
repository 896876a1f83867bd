"""A study's progress on a terminal of a given width, and where there is none."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from tausweep.commands.job_log import Training
from tausweep.commands.progress_display import LISTED, ProgressDisplay, bar, summary
from tausweep.commands.study_progress import Running, Snapshot

RUN = "imagenet100/hard_contrastive/0.07/seed0"
TRAINING = Training(14, 200, 0, 1.0, 1204.0)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def moment(*running: Running, left: float | None = 200.0) -> Snapshot:
    return Snapshot(0.45, left, 22, 10, running)


def drawn(now: Snapshot, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(bar(now))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_bar_and_running_jobs_fit_the_width(width: int) -> None:
    now = moment(Running("pretrain", RUN, TRAINING), Running("evaluate", RUN, None))
    head, first, second = drawn(now, width)
    assert head.endswith("45%, 10 of 22 runs, 3 min left")
    assert len(head) == width
    assert first.rstrip() == f"  {RUN}  epoch 14/200  1,204 images/s"
    assert second.rstrip() == f"  {RUN}  evaluate"


def test_of_many_running_jobs_the_number_is_told() -> None:
    lines = drawn(moment(*[Running("pretrain", f"run{i}", None) for i in range(LISTED + 3)]), 80)
    assert len(lines) == 1 + LISTED + 1
    assert lines[-1].strip() == "and 3 more"


def test_no_time_is_told_before_it_is_known() -> None:
    assert summary(moment(Running("report", "", None), left=None)) == " 45%, 10 of 22 runs"
    assert summary(Snapshot(0.0, None, 0, 0, ())) == "planning"


@pytest.mark.parametrize(
    ("stream", "terminal", "moves"),
    [
        (io.StringIO(), "xterm-256color", False),
        (Terminal(), "xterm-256color", True),
        (Terminal(), "dumb", False),
    ],
)
def test_the_bar_moves_on_a_terminal_alone(
    stream: io.StringIO, terminal: str, moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ProgressDisplay(stream, lambda: moment()).moves is moves


@pytest.mark.parametrize("colour", [True, False])
def test_no_color_is_honoured(colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    display = ProgressDisplay(stream, lambda: moment(Running("report", "", None)))
    display.start()
    display.say("failed: pretrain", "red")
    display.stop()
    assert "failed: pretrain" in stream.getvalue()
    assert bool(re.search(r"\x1b\[[\d;]*3\d", stream.getvalue())) is colour


def test_a_long_line_is_not_broken() -> None:
    stream = io.StringIO()
    display = ProgressDisplay(stream, lambda: moment())
    display.say("    log:  " + "results/" * 40)
    assert stream.getvalue() == "    log:  " + "results/" * 40 + "\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_sentences_of_a_page_are_broken_between_words_on_a_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal() if terminal else io.StringIO()
    table, sentence = "column  " * 12, "word " * 20
    ProgressDisplay(stream, lambda: moment()).say_page(f"{table}\n{sentence}")
    first, *others = stream.getvalue().splitlines()
    assert first.rstrip() == table.rstrip()
    assert [len(line.split()) for line in others] == ([16, 4] if terminal else [20])


@pytest.mark.parametrize(
    ("no_color", "printed"), [("1", "failed\n"), ("", "\x1b[31mfailed\x1b[0m\n")]
)
def test_no_color_turns_colour_off(
    no_color: str, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal()
    ProgressDisplay(stream, moment).say("failed", "red")
    assert stream.getvalue() == printed
