"""A process that trains and measures runs one after the other, as standard input names them.

Each line is a JSON object: ``study`` (its file), ``run`` (its id), ``goes_on`` (a state of a
shorter run to go on from, or null) and ``keep`` (where to keep the state before the learning rate
falls, or null). Each answer is a line too: ``run``, and ``failure``, empty if there is a record.
A stop signal saves the training and ends the process; so does the end of the process that asked.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tausweep.commands import flags
from tausweep.commands.messages import CommandError, say
from tausweep.machine import devices, stop_signals
from tausweep.storage.layout import File, Layout
from tausweep.study import StudyError

CHECKPOINT_SECONDS = 20.0


def main() -> int:
    """Work until standard input ends; returns 0, or 128 + the signal that stopped it."""
    parser = flags.Parser(prog="tausweep choose, worker")
    flags.add_results(parser)
    flags.add_threads(parser)
    flags.add_device(parser)
    options = parser.parse_args()
    devices.set_threads(options.threads)
    # Before the first run is asked for, since it takes seconds.
    importlib.import_module("tausweep.training.pretrain")
    importlib.import_module("tausweep.measures.along")
    parent = os.getppid()
    for line in sys.stdin:
        asked = json.loads(line)
        stopped = stop_signals.catch(patient=False)
        failure = ""
        try:
            done = _work(
                asked,
                options,
                lambda: bool(stopped) or os.getppid() != parent,  # noqa: B023
            )
            if not done:
                return 128 + (stopped or [15])[0]
        except (StudyError, CommandError, OSError, RuntimeError) as error:
            failure = str(error) or type(error).__name__
        print(json.dumps({"run": asked["run"], "failure": failure}), flush=True)
    return 0


def _work(asked: dict[str, Any], options: argparse.Namespace, stop: Callable[[], bool]) -> bool:
    """Train and measure one run; false if it was stopped, and saved."""
    from tausweep import study as studies
    from tausweep.commands.evaluate import evaluate
    from tausweep.commands.plan import planned_run
    from tausweep.commands.prepare import prepared_data
    from tausweep.commands.pretrain import pretrain
    from tausweep.training import continuation, outputs
    from tausweep.training.pretrain import StoppedError

    study, results = asked["study"], Path(options.results)
    device = options.device or "auto"
    run = planned_run(studies.load(study), asked["run"], "pretrain", None)
    layout = Layout(results)
    folder, trained_in = layout.run(run), layout.trained(run)
    if (folder / File.RECORD).exists():
        return True
    data = prepared_data([run], results)
    kept = Path(asked["keep"]) if asked["keep"] else None
    if asked["goes_on"] and not outputs.is_pretrained(folder, run, data):
        continuation.adopt(Path(asked["goes_on"]), run, data, trained_in, say)
    until = None
    if kept is not None and not kept.exists():
        until = continuation.before_decay(run.settings.pretrain)

    def train(until: int | None) -> None:
        pretrain(
            study, run.id, results, device=device, say=say, stop=stop,
            checkpoint_seconds=CHECKPOINT_SECONDS, until=until,
        )  # fmt: skip

    try:
        try:
            train(until)
        except StoppedError:
            if stop() or until is None or kept is None:
                raise
            continuation.keep(outputs.checkpoints_of(run, data, trained_in), kept)
            train(None)
    except StoppedError as error:
        say(f"{run.id}: {error}")
        return False
    stop_signals.release()  # there is no state to save; unfinished measures are taken again
    evaluate(study, run.id, results, device=device, say=say)
    return True


if __name__ == "__main__":
    sys.exit(main())
