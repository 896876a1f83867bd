"""`make terminal-session`: docs/terminal-session.svg, the README's picture of a run of the demo.

The demo runs in an empty folder, on a terminal of its own, and all that it prints is recorded with
the time. The picture shows two moments, as a terminal shows them: when half of the runs are
finished, and the end. Where lines of finished runs are left out, a line says how many.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import itertools
import json
import os
import pty
import re
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pyte
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

PICTURE = Path(__file__).resolve().parents[1] / "terminal-session.svg"

COLUMNS, ROWS = 118, 200
"""Of the terminal: as wide as the demo's table, and so high that nothing leaves it."""

FINISHED = re.compile(r"^  \S+/seed\d+ +linear ")
"""The line of a finished run."""

SHOWN = 4
"""Finished runs that are shown of the first half, and as many of the last ones."""

BAR = re.compile(r"\d+%, (\d+) of (\d+) runs")
"""What the line of the bar says."""

FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "font-family: Fira Code, monospace",
    "font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
)
"""Rich's, with the reader's own font in the place of one from a server."""

Event = tuple[float, str]
"""Seconds since the start, and what was printed then."""


def main() -> int:
    """Record a run and draw it; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="demo", help="name or file of the study")
    parser.add_argument("--output", type=Path, default=PICTURE, help="the SVG")
    parser.add_argument("--recording", type=Path, help="keep what was recorded (asciicast v2)")
    parser.add_argument("--again", type=Path, help="draw a kept recording; run nothing")
    options = parser.parse_args()
    typed = ["tausweep", "run", options.study]
    if options.again is not None:
        events = read(options.again)
    else:
        with tempfile.TemporaryDirectory() as folder:
            code, events = record(typed, Path(folder))
        if code:
            print(printed(events), file=sys.stderr)
            return code
    if options.recording is not None:
        write(options.recording, events)
    options.output.write_text(draw(" ".join(typed), events), encoding="utf-8")
    return 0


def record(command: Sequence[str], folder: Path) -> tuple[int, list[Event]]:
    """Run a command on a terminal of its own.

    Args:
        command: Name and arguments.
        folder: Where it runs.

    Returns:
        Its exit code, and what it printed.
    """
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
        # The command of this Python, even if it is not activated.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        os.execvpe(command[0], command, environment | {"TERM": "xterm-256color", "PATH": path})
    events: list[Event] = []
    start, rest = time.monotonic(), b""
    while True:
        try:
            read_now = os.read(terminal, 65536)
        except OSError:  # Linux says so that the other end is closed
            break
        if not read_now:
            break
        text, rest = _decoded(rest + read_now)
        events.append((time.monotonic() - start, text))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), events


def _decoded(data: bytes) -> tuple[str, bytes]:
    """UTF-8 as text, and the beginning of a character whose end was not read yet."""
    for cut in range(4):
        try:
            return data[: len(data) - cut].decode(), data[len(data) - cut :]
        except UnicodeDecodeError:
            continue
    return data.decode(errors="replace"), b""


def write(path: Path, events: Sequence[Event]) -> None:
    """Keep a recording as asciicast v2."""
    lines: list[object] = [{"version": 2, "width": COLUMNS, "height": ROWS}]
    lines += [[round(seconds, 3), "o", text] for seconds, text in events]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def read(path: Path) -> list[Event]:
    """A kept recording."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return [(seconds, text) for seconds, _, text in map(json.loads, lines)]


def printed(events: Sequence[Event]) -> str:
    """All that was printed, as it came."""
    return "".join(text for _, text in events)


def draw(command: str, events: Sequence[Event]) -> str:
    """The two moments as one SVG.

    Raises:
        SystemExit: The recording has no moment at which half of the runs were finished.
    """
    half, end = moments(events)
    console = Console(
        record=True, file=io.StringIO(), width=COLUMNS, highlight=False, force_terminal=True
    )
    for line in (Text(f"$ {command}", "bold"), *half, *end):
        console.print(line, soft_wrap=True)
    return console.export_svg(title=command, theme=SVG_EXPORT_THEME, code_format=FORMAT)


def moments(events: Sequence[Event]) -> tuple[list[Text], list[Text]]:
    """The screen when half of the runs were finished, and what was printed after all of them.

    Some lines of finished runs are left out, and a line says how many. Of a recording that was cut
    off there is the first moment alone.
    """
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    half: list[Text] = []
    for _, text in events:
        # pyte knows no dim text; this is the grey that terminals make of it.
        stream.feed(text.replace("\x1b[2m", "\x1b[90m"))
        said = BAR.search(text)
        if said and int(said[1]) == int(said[2]) // 2:
            now = _lines(screen)
            there = sum(FINISHED.match(line.plain) is not None for line in now)
            # The bar is a moment behind the lines; a screen with fewer lines is just being drawn.
            if there == int(said[1]) and len(now) >= len(half):
                half = now
    if not half:
        raise SystemExit("at no moment were half of the runs finished")
    finished = [number for number, line in enumerate(half) if FINISHED.match(line.plain)]
    cut = finished[SHOWN:-SHOWN]
    shown = [line for number, line in enumerate(half) if number not in cut[1:]]
    if cut:
        shown[cut[0]] = _left_out(f"{len(cut)} runs more")
    last = _lines(screen)
    if BAR.search("\n".join(line.plain for line in last)):
        return shown, []
    behind = [line for line in last if FINISHED.match(line.plain)][len(finished) :]
    rest = last[last.index(behind[-1]) + 1 :]
    later = _left_out(f"later: {len(behind[:-SHOWN])} runs more")
    return shown, [Text(), later, *behind[-SHOWN:], *rest]


def _left_out(what: str) -> Text:
    return Text(f"  [... {what} ...]", "bright_black")


def _lines(screen: pyte.Screen) -> list[Text]:
    lines = []
    for row in range(ROWS):
        line = Text()
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        for style, alike in itertools.groupby(cells, _style):
            line.append("".join(cell.data for cell in alike), style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _style(cell: pyte.screens.Char) -> Style:
    colour: str | None = cell.fg
    if cell.fg == "default":
        colour = None
    elif re.fullmatch("[0-9a-f]{6}", cell.fg):
        colour = f"#{cell.fg}"
    else:  # pyte's names of the sixteen colours, as rich has them
        colour = cell.fg.replace("brown", "yellow").replace("bright", "bright_")
    return Style(color=colour, bold=cell.bold)


if __name__ == "__main__":
    sys.exit(main())
