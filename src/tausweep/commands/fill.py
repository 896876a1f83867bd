"""`tausweep fill`: train as many runs as fit into a given time, several at once on one GPU."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tausweep.commands import flags
from tausweep.commands.messages import say
from tausweep.machine import devices, stop_signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)
    parser.add_argument(
        "--seconds", type=flags.seconds, required=True, metavar="S",
        help="train for this long; unfinished runs are saved, and the next start continues them",
    )  # fmt: skip
    parser.add_argument(
        "--evaluate-seconds", type=flags.seconds, default=90.0, metavar="S",
        help="then wait this long for evaluations that are still running (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--at-once", type=flags.whole(1), default=1, metavar="K",
        help="train K runs at the same time on one GPU (%(default)s)",
    )  # fmt: skip
    flags.add_device(parser)
    flags.add_threads(parser, "CPU threads of an evaluation")
    parser.add_argument(
        "--partial", action="store_true",
        help="also start runs that cannot finish in time (by default they are left for later)",
    )  # fmt: skip
    parser.add_argument(
        "--compile", action="store_true",
        help="compile the encoder with torch.compile: faster steps after a slow start",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint-seconds", type=flags.seconds, default=150.0, metavar="S",
        help="least time between checkpoints of a run (%(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    until = time.monotonic() + options.seconds
    devices.set_threads(options.threads)
    from tausweep.commands.filling import Filling, fill

    stopped = stop_signals.catch(patient=False)
    began = time.monotonic()
    whole = fill(
        options.study,
        Path(options.results),
        Filling(
            until, options.evaluate_seconds, options.at_once, options.device, options.threads,
            options.partial, options.compile, options.checkpoint_seconds,
        ),
        say=lambda line: say(f"[{time.monotonic() - began:6.1f}] {line}"),
        stop=lambda: bool(stopped),
    )  # fmt: skip
    if stopped:
        return 128 + stopped[0]
    return 0 if whole else 1
