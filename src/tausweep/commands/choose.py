"""`tausweep choose`: which temperature for my images, in a given time.

It writes study files and has their runs trained and measured by workers of its own, because
Snakemake cannot stop at a time, and does not finish one seed of all temperatures before it begins
the next. The workers do what `tausweep pretrain` and `tausweep evaluate` do, and leave the same
files, so `tausweep run` finds every run done.
"""

from __future__ import annotations

import argparse
import math
import re
import shlex
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tausweep.commands import flags
from tausweep.commands.messages import say
from tausweep.storage.atomic import write_json, write_text
from tausweep.storage.layout import File
from tausweep.study import SMALLEST_IMAGE, TRUNKS, StudyError

if TYPE_CHECKING:
    from tausweep.commands.choosing.jobs import Crew
    from tausweep.commands.choosing.session import Session

MINUTES = 30.0
NO_ANSWER = 3
"""Exit code."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `tausweep choose` takes."""
    parser.add_argument(
        "images", metavar="IMAGES", type=Path,
        help="train/<class> and test/<class>, or <class> folders, or images alone, or a CSV with "
        "the columns path, label, split",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=_minutes, metavar="M",
        help=f"how long it may take (default: {MINUTES:g}; with --continue: what is left)",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("choice"),
        help="folder for everything that is written (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--continue", dest="goes_on", action="store_true",
        help="go on with the folder: after a stop, or longer after an end",
    )  # fmt: skip
    parser.add_argument(
        "--image-size", type=flags.whole(SMALLEST_IMAGE["cifar"]), metavar="PIXELS",
        help="side of the images (default: 16 to 64, the largest that there is time for)",
    )  # fmt: skip
    parser.add_argument(
        "--encoder", type=_encoder, metavar="TRUNK[:WIDTH]",
        help="such as resnet18:64 (default: the largest that there is time for)",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="do not ask before it starts")
    flags.add_json(parser)
    flags.add_device(parser)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0.5 <= minutes <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; it should be 0.5 or more minutes")
    return minutes


def _encoder(text: str) -> tuple[str, int]:
    trunk, _, width = text.partition(":")
    trunks = [name for name in TRUNKS if name != "pixels"]
    if trunk not in trunks or not re.fullmatch(r"|[1-9]\d{0,4}", width) or int(width or 64) < 8:
        raise argparse.ArgumentTypeError(
            f"{text} is not allowed; it should be {', '.join(trunks)}, with a width of 8 or more "
            "behind a colon if it is not 64"
        )
    return trunk, int(width or 64)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns 0 with an answer, 3 without, or 128 + the signal that stopped it.

    Raises:
        StudyError: Bad input.
        CommandError: The images could not be prepared.
    """
    from tausweep.commands.choosing import beginning, jobs, pace, stages
    from tausweep.commands.choosing import session as sessions

    began = time.monotonic()
    if options.goes_on:
        session = sessions.load(options.out)
        if str(options.images) != session.images:
            raise StudyError(
                f"--continue: {options.out} is a choice for {session.images}, not {options.images}"
            )
        if options.image_size or options.encoder:
            flag = "--image-size" if options.image_size else "--encoder"
            raise StudyError(f"{flag}: what is gone on with has one; choose again in another --out")
        seconds = _seconds_left(session, options.minutes)
        said = [f"goes on in {options.out}, for {seconds / 60:.1f} minutes"]
    else:
        if (options.out / sessions.FILE).exists():
            raise StudyError(
                f"--out {options.out}: holds another choice; --continue goes on with it, or name "
                "another folder"
            )
        minutes = options.minutes or MINUTES
        session, seconds = beginning.begun(options, minutes, began), 60 * minutes
        said = beginning.plan_words(session, seconds)
    for line in said:
        say(line)
    asked = time.monotonic()
    if not _agreed(options):
        return NO_ANSWER
    began += time.monotonic() - asked
    session.save()
    at_once, threads = pace.workers(options.device)
    crew = jobs.Crew(options.out, at_once, threads, options.device)
    before = {number: signal.signal(number, _noting(crew)) for number in STOP_SIGNALS}
    end = began + seconds - beginning.closing(seconds)
    already = session.used
    try:
        failures = stages.work(session, crew, end, lambda: already + time.monotonic() - began)
    finally:
        crew.end()
        for number, handler in before.items():
            signal.signal(number, handler)
        session.used = already + time.monotonic() - began
        session.save()
    if crew.stopped:
        say(f"stopped; to go on: {_again(options)}")
        return 128 + crew.stopped[0]
    return _conclude(session, failures, options)


def _seconds_left(session: Session, minutes: float | None) -> float:
    if minutes is not None:
        session.minutes = session.used / 60 + minutes
    left = 60 * session.minutes - session.used
    if left < 30:
        raise StudyError(
            f"--continue: of the {session.minutes:g} minutes none are left; --minutes says how "
            "many more"
        )
    return left


def _noting(crew: Crew) -> Any:
    def note(number: int, frame: FrameType | None) -> None:
        crew.stopped.append(number)

    return note


def _again(options: argparse.Namespace) -> str:
    words = ["tausweep", "choose", str(options.images), "--out", str(options.out), "--continue"]
    return shlex.join(words)


def _agreed(options: argparse.Namespace) -> bool:
    if options.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print("Start? [Y/n] ", end="", file=sys.stderr, flush=True)
    try:
        return input().strip().lower() in ("", "y", "yes")
    except EOFError:
        return False


def _conclude(session: Session, failures: dict[str, str], options: argparse.Namespace) -> int:
    """Decide, write what was found, and print it; returns the exit code."""
    from tausweep.commands.choosing import conclusion
    from tausweep.commands.choosing.study_text import text
    from tausweep.commands.json_document import print_document
    from tausweep.report.choice import page

    answer = conclusion.answer(session, failures)
    if answer.decided is not None:
        said = [answer.headline(), *answer.remarks(), ""]
        # The report of a study wants baselines; they are measured again, which is soon done.
        decided = replace(answer.decided, baselines=session.labelled)
        write_text(session.folder / answer.study, text(session.recipe, decided, said))
    write_json(session.folder / "answer.json", answer.to_json())
    write_text(session.folder / File.REPORT, page.page(answer.to_json(), answer.table()))
    if options.json:
        print_document("choose", answer.to_json())
    else:
        print("\n".join(answer.lines()))
    where = shlex.quote(str(session.folder))
    say(f"report: {session.folder / File.REPORT}")
    if answer.decided is not None:
        say(f"study:  {session.folder / answer.study} (cd {where} && tausweep run {answer.study})")
    if answer.code and session.labelled:
        say(f"to go on: {_again(options)} --minutes {options.minutes or MINUTES:g}")
    return answer.code
