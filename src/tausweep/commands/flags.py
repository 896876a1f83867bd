"""Arguments that commands share, and parsers of their values."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

USAGE_ERROR = 2
"""Exit code of bad input; nothing was started."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors read like all other errors of tausweep."""

    def error(self, message: str) -> NoReturn:
        """End the process with one sentence that names the argument as it was typed."""
        said = message.removeprefix("argument ")
        print(f"tausweep: error: {said}; see `{self.prog} --help`", file=sys.stderr)
        sys.exit(USAGE_ERROR)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse the arguments. Some commands pass on what follows ``--``."""
        given = list(sys.argv[1:] if args is None else args)
        behind: list[str] = []
        if self.get_default("passed_on") is not None and "--" in given:
            at = given.index("--")
            given, behind = given[:at], given[at + 1 :]
        found, rest = super().parse_known_args(given, namespace)
        if self.get_default("passed_on") is not None:
            found.passed_on = behind
        return found, rest


def add_passed_on(parser: argparse.ArgumentParser, what: str) -> None:
    """Pass on what follows ``--`` to another program, as ``options.passed_on``.

    Call this after all other arguments are added. ``argparse`` itself would lose what follows
    ``--`` if a flag comes between it and the first argument.

    Args:
        parser: A ``Parser``.
        what: What is passed on, in words.
    """
    usage = parser.format_usage().removeprefix("usage: ").strip()
    parser.usage = f"{usage.replace('%', '%%')} [-- ...]"
    parser.set_defaults(passed_on=[])
    parser.epilog = f"What follows -- is passed on: {what}."


def _not_allowed(text: str, wanted: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text} is not allowed; it should be {wanted}")


def whole(least: int) -> Callable[[str], int]:
    """A parser of whole numbers of at least ``least``."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise _not_allowed(text, f"a whole number of {least} or more") from None
        if number < least:
            raise _not_allowed(text, f"{least} or more")
        return number

    return read


def seconds(text: str) -> float:
    """Read a number of seconds, which may be infinite."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise _not_allowed(text, "a number of seconds, 0 or more")
    return number


def device(text: str) -> str:
    """Read the name of a device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise _not_allowed(text, "auto, cpu, cuda or cuda:N")
    return text


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the study file, ``options.study``."""
    parser.add_argument(
        "study", metavar="STUDY", help="a study file, or the name of one that comes along"
    )


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the results folder, ``options.results``."""
    parser.add_argument(
        "--results", default="results", metavar="DIR", help="results folder (%(default)s)"
    )


def add_cores(parser: argparse.ArgumentParser) -> None:
    """Add the number of CPU cores that Snakemake uses, ``options.cores``: a number or ``all``."""
    parser.add_argument("--cores", type=_cores, metavar="N", help="CPU cores to use (default: all)")


def _cores(text: str) -> str:
    return text if text == "all" else str(whole(1)(text))


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the device, ``options.device``; the default is ``TAUSWEEP_DEVICE``."""
    parser.add_argument(
        "--device",
        type=device,
        help="auto, cpu, cuda or cuda:N (default: TAUSWEEP_DEVICE, or auto)",
    )


def add_threads(parser: argparse.ArgumentParser, what: str = "CPU threads") -> None:
    """Add a number of threads, ``options.threads``."""
    parser.add_argument("--threads", type=whole(1), default=1, help=f"{what} (%(default)s)")


def add_job(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a job on one run: study, results, run, settings, threads, device."""
    add_study(parser)
    add_results(parser)
    parser.add_argument(
        "--run", dest="run_id", required=True, metavar="ID",
        help="DATASET/LOSS/TAU/seedK, as listed by `tausweep plan STUDY`",
    )  # fmt: skip
    parser.add_argument(
        "--settings", metavar="DIGEST",
        help="refuse to start if the run's settings do not have this digest",
    )  # fmt: skip
    add_threads(parser)
    add_device(parser)


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add ``options.json``: the command prints one JSON document instead of text."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
