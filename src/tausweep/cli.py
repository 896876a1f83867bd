"""The command line: parses, calls, prints. One subcommand a stage, the ones Snakemake calls."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tausweep import __version__
from tausweep.commands import flags
from tausweep.commands.flags import USAGE_ERROR
from tausweep.machine import instructions
from tausweep.storage.layout import Layout
from tausweep.study import StudyError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""What asks a run to save its state and end."""

DESCRIPTION = """\
Reproduce and extend "Understanding the Behaviour of Contrastive Loss" (Wang & Liu, CVPR 2021).

A study file says what to run. `snakemake --configfile STUDY` runs all of it; the commands below
are its stages, one by one.

  plan      what a study asks for, what would run, what it costs
  prepare   images of a source -> one prepared format
  pretrain  one run: encoder and bank
  evaluate  one run: every measure, its record
  fill      as many runs as fit into a given time, several at once on one GPU
  collect   records of a study -> records.csv
  tables    the paper's Table 1 and the full sweep, published beside measured
  figures   the paper's figures and more
  claims    a verdict on each of the paper's claims
  report    all of a study on one page
  partial   the same of what a study has so far
  compare   two tables of records side by side
  status    what is done, running, failed, stale or missing
  clean     what the study file no longer names
  export    a study's results as one archive
  import    results from an archive or another machine's folder, verified
  verify    whether a study's results are what its runs wrote
  published the same verdicts on the published numbers
  schema    the JSON schema of study files, for editors
  show      Table 1 and the verdicts on the terminal
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 2 for bad input, 1 for a failure, 128 + signal."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _complete(options)
        # Before the command imports what computes; a process of its own may be started anew.
        instructions.use(_instructions(options), restart=arguments is None)
        code: int = options.run(options) or 0
        sys.stdout.flush()
        return code
    except StudyError as error:
        return _fail(str(error), USAGE_ERROR)
    except KeyboardInterrupt:
        return _fail(
            "interrupted; nothing finished is lost: start the same command again to go on",
            128 + signal.SIGINT,
        )
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(_system_sentence(error), 1)


def _instructions(options: argparse.Namespace) -> str:
    """``portable`` or ``native``: what the user asks, but native where all training is in bf16.

    Raises:
        StudyError: The study is not valid, or neither is asked.
    """
    mode = instructions.wanted()
    if options.run not in (_pretrain, _fill):
        return mode
    from tausweep import study

    # A run that the study does not have is refused later, by its name.
    precisions = {
        run.settings.pretrain.precision
        for run in study.load(options.study).runs()
        if options.run is _fill or run.id == options.run_id
    }
    return instructions.NATIVE if precisions == {"bf16"} else mode


def _fail(sentence: str, code: int) -> int:
    rank = int(os.environ.get("RANK", "0"))
    who = f", process {rank + 1}" if rank > 0 else ""
    print(f"tausweep{who}: error: {sentence}", file=sys.stderr)
    return code


def _system_sentence(error: OSError) -> str:
    reason = error.strerror or str(error)
    what = f"{error.filename}: {reason}" if error.filename else reason
    if error.errno == errno.ENOSPC:
        return f"{what}; nothing finished is lost: free some space and start again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{what}; the results folder must be writable"
    return what


def _complete(options: argparse.Namespace) -> None:
    """Put in what the environment says, and check what every command uses.

    Raises:
        StudyError: ``TAUSWEEP_DEVICE`` is no device, or the results folder is a file.
    """
    if "device" in options and options.device is None:
        try:
            options.device = flags.device(os.environ.get("TAUSWEEP_DEVICE") or "auto")
        except argparse.ArgumentTypeError as error:
            raise StudyError(f"TAUSWEEP_DEVICE: {error}") from None
    results = Path(options.results)
    if results.exists() and not results.is_dir():
        raise StudyError(f"--results {results}: is a file; it should be a folder")


def _parser() -> argparse.ArgumentParser:
    parser = flags.Parser(
        prog="tausweep",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tausweep {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")

    def command(
        name: str, run: Callable[[argparse.Namespace], int | None], summary: str, *, study: bool
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(run=run)
        if study:
            sub.add_argument("study", metavar="STUDY", help="a study file (YAML or JSON)")
        sub.add_argument(
            "--results", default="results", metavar="DIR", help="results folder (%(default)s)"
        )
        return sub

    def job(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--run", dest="run_id", required=True, metavar="ID",
            help="DATASET/LOSS/TAU/seedK, as `tausweep plan STUDY` lists them",
        )  # fmt: skip
        sub.add_argument(
            "--settings", metavar="DIGEST",
            help="refuse to start if the run's settings are not those with this digest",
        )  # fmt: skip
        sub.add_argument(
            "--threads", type=flags.whole(1), default=1, help="CPU threads (%(default)s)"
        )
        sub.add_argument(
            "--device", type=flags.device,
            help="auto, cpu, cuda or cuda:N (TAUSWEEP_DEVICE, or else auto)",
        )  # fmt: skip

    sub = command("resolve", _resolve, "Write a study in canonical form.", study=True)
    sub.add_argument("output", metavar="OUTPUT", help="where to write it (JSON)")

    sub = command(
        "plan", _plan,
        "Check a study; list its runs and what they cost, by measured speeds where there are any.",
        study=True,
    )  # fmt: skip
    sub.add_argument("--run", dest="run_id", metavar="ID", help="print one run's settings")
    sub.add_argument(
        "--power", action="store_true",
        help="print what the grid and the seeds can settle, and how many seeds would",
    )  # fmt: skip

    sub = command("prepare", _prepare, "Make the prepared data of a study.", study=True)
    sub.add_argument(
        "--only", metavar="NAME", help="of these, the one that goes to results/data/NAME"
    )
    sub.add_argument(
        "--threads", type=flags.whole(1), default=1, help="decoding threads (%(default)s)"
    )

    sub = command(
        "pretrain", _pretrain, "Pretrain one run, from its checkpoint if any.", study=True
    )
    job(sub)
    sub.add_argument(
        "--checkpoint-seconds", type=flags.seconds, default=60.0, metavar="S",
        help="least time between checkpoints (%(default)s)",
    )  # fmt: skip
    sub.add_argument(
        "--processes", type=flags.whole(0), default=1, metavar="N",
        help="train it with N processes of torchrun, a GPU each, which share the CPU threads too; "
        "0 or 1 is this process alone (%(default)s)",
    )  # fmt: skip

    sub = command("evaluate", _evaluate, "Measure one run and write its record.", study=True)
    job(sub)

    sub = command(
        "fill", _fill,
        "Train and evaluate as many runs as fit into a given time, in the study's order.",
        study=True,
    )  # fmt: skip
    sub.add_argument(
        "--seconds", type=flags.seconds, required=True, metavar="S",
        help="train for this long; unfinished runs are saved, and the next start continues them",
    )  # fmt: skip
    sub.add_argument(
        "--evaluate-seconds", type=flags.seconds, default=90.0, metavar="S",
        help="then wait this long for evaluations that are still running (%(default)s)",
    )  # fmt: skip
    sub.add_argument(
        "--at-once", type=flags.whole(1), default=1, metavar="K",
        help="train K runs at the same time on one GPU (%(default)s)",
    )  # fmt: skip
    sub.add_argument(
        "--device", type=flags.device,
        help="auto, cpu, cuda or cuda:N (TAUSWEEP_DEVICE, or else auto)",
    )  # fmt: skip
    sub.add_argument(
        "--threads",
        type=flags.whole(1),
        default=1,
        help="CPU threads of an evaluation (%(default)s)",
    )
    sub.add_argument(
        "--partial",
        action="store_true",
        help="also start runs that cannot finish in time (by default they are left for later)",
    )
    sub.add_argument(
        "--compile",
        action="store_true",
        help="compile the encoder with torch.compile: faster steps after a slow start",
    )
    sub.add_argument(
        "--checkpoint-seconds", type=flags.seconds, default=150.0, metavar="S",
        help="least time between checkpoints of a run (%(default)s)",
    )  # fmt: skip

    sub = command("collect", _collect, "Collect the records of a study.", study=True)
    sub.add_argument("output", metavar="OUTPUT", help="the table of records")

    for stage, summary in (
        ("tables", "Write Table 1 and the full table of a study."),
        ("figures", "Draw the figures of a study."),
        ("claims", "Judge the paper's claims by a study's records."),
        ("report", "Write the report of a study: all of it on one page."),
    ):
        command(stage, _made_of_records(stage), summary, study=True)

    command("partial", _partial, "Report what a study has so far; trains nothing.", study=True)
    command(
        "status", _status,
        "Say which runs are done, running, failed, stale, unevaluated or missing, and name records "
        "made by other code.",
        study=True,
    )  # fmt: skip
    sub = command("clean", _clean, "List what the study file no longer names.", study=True)
    sub.add_argument("--yes", action="store_true", help="delete what is listed")
    sub = command("export", _export, "Pack a study's results into one archive.", study=True)
    sub.add_argument("output", metavar="ARCHIVE", help="a .tar.gz or .zip")
    sub.add_argument("--weights", action="store_true", help="encoders, banks, embeddings too")

    sub = command("import", _import, "Bring a study's results home, verified.", study=False)
    sub.add_argument("source", metavar="SOURCE", help="an archive of export, or a results folder")
    sub.add_argument("study", nargs="?", metavar="STUDY", help="its study file, if SOURCE has none")
    command("verify", _verify, "Check a study's results by their digests.", study=True)

    sub = command("compare", _compare, "Set two tables of records side by side.", study=False)
    sub.add_argument("a", metavar="RECORDS_A", help="a records.csv, or the word `published`")
    sub.add_argument("b", metavar="RECORDS_B", help="another")
    sub.add_argument(
        "--measure", action="append", metavar="COLUMN",
        help="a column to compare, may be repeated "
        "(default: linear and kNN accuracy, uniformity, tolerance)",
    )  # fmt: skip
    sub.add_argument(
        "--datasets", nargs=2, metavar=("OF_A", "OF_B"),
        help="set these two side by side as if they were one dataset; A and B may be one file",
    )  # fmt: skip
    sub.add_argument("--csv", metavar="FILE", help="write the numbers as CSV too")
    command("published", _published, "Judge the claims by the published numbers.", study=False)
    command("schema", _schema, "Print the JSON schema of study files.", study=False)
    command("show", _show, "Print Table 1 and the verdicts, and say where the rest is.", study=True)
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _resolve(options: argparse.Namespace) -> None:
    from tausweep import study
    from tausweep.commands import targets
    from tausweep.storage.atomic import write_text

    asked, output = study.load(options.study), Path(options.output)
    targets.check_output(output, asked, Layout(Path(options.results)))
    write_text(output, asked.canonical_json() + "\n")


def _plan(options: argparse.Namespace) -> None:
    from tausweep import study
    from tausweep.commands import plan

    asked = study.load(options.study)
    if options.run_id:
        print(plan.settings_of(asked, options.run_id))
        return
    if options.power:
        from tausweep.claims import power

        print(power.describe(asked))
        return
    print(plan.describe(asked, Layout(Path(options.results))))
    if Path("Snakefile").is_file():
        print(plan.rules(options.study))


def _prepare(options: argparse.Namespace) -> None:
    from tausweep.commands import jobs

    jobs.prepare(options.study, options.only, Path(options.results), options.threads, _say)


def _pretrain(options: argparse.Namespace) -> int:
    from tausweep.machine import devices

    count = int(os.environ.get("WORLD_SIZE", "0"))
    if count == 0 and options.processes > 1:
        return _launch(options)
    devices.set_threads(max(options.threads // max(count, 1), min(options.threads, 1)))
    from tausweep.commands import jobs
    from tausweep.machine.peers import ProcessesError
    from tausweep.storage.run_lock import RunLockedError
    from tausweep.training.pretrain import StoppedError

    stopped = _stop_on_signal(patient=count > 1)
    try:
        jobs.pretrain(
            options.study, options.run_id, Path(options.results), planned=options.settings,
            device=options.device, say=_say, stop=lambda: bool(stopped),
            checkpoint_seconds=options.checkpoint_seconds,
        )  # fmt: skip
    except StoppedError as error:
        # Another process may have got the signal.
        code = 128 + (stopped or [signal.SIGTERM])[0]
        if os.environ.get("RANK", "0") != "0":
            return code
        return _fail(f"{error}; start the same command again to go on", code)
    except (RunLockedError, ProcessesError) as error:
        return _fail(str(error), 1)
    return 0


def _launch(options: argparse.Namespace) -> int:
    """Be torchrun, which starts this command as several processes; returns what they end with.

    Raises:
        StudyError: Bad input, said once and not by every process.
    """
    from tausweep import study
    from tausweep.commands.plan import planned_run
    from tausweep.machine import devices

    planned_run(study.load(options.study), options.run_id, "pretrain", options.settings)
    devices.set_threads(max(options.threads // options.processes, min(options.threads, 1)))
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    def pass_on(number: int, frame: FrameType | None) -> None:
        raise SignalException("to be passed on", signal.Signals(number))

    # Torchrun passes on what is raised so, but of these it takes care of two only.
    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    # The processes say for themselves why they end.
    logging.disable(logging.ERROR)
    # What follows `--` is not taken for torchrun's own options, of which `--run` might be one.
    torchrun = ["--standalone", f"--nproc-per-node={options.processes}", "-m", "--", "tausweep.cli"]
    try:
        run(parse_args([*torchrun, *options.arguments]))
    except SignalException as signalled:
        return 128 + signalled.sigval
    except ChildFailedError as error:
        return _failed(error)
    return 0


def _failed(error: ChildFailedError) -> int:
    """Exit code of a command whose processes failed; says what a killed one cannot say itself."""
    codes = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
    for rank, code in codes.items():
        if code < 0 and code != -signal.SIGTERM:  # which is how torchrun ends those that are left
            _fail(f"process {rank + 1} was ended by {signal.Signals(-code).name}", 1)
    # 1 is also what those end with that only found another one gone.
    return max(1, *codes.values())


def _stop_on_signal(*, patient: bool) -> list[int]:
    """Signals that ask the job to save and end, as they arrive.

    Args:
        patient: Whether a second one is waited for too, and does not end the job at once: under
            torchrun, which passes on the signal that a scheduler sent to every process already.
    """
    arrived: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        if not patient:
            signal.signal(number, signal.SIG_DFL)

    for number in STOP_SIGNALS:
        signal.signal(number, handle)
    return arrived


def _evaluate(options: argparse.Namespace) -> None:
    from tausweep.machine import devices

    devices.set_threads(options.threads)
    from tausweep.commands import jobs

    jobs.evaluate(
        options.study,
        options.run_id,
        Path(options.results),
        planned=options.settings,
        device=options.device,
        say=_say,
    )


def _fill(options: argparse.Namespace) -> int:
    import time

    until = time.monotonic() + options.seconds
    from tausweep.machine import devices

    devices.set_threads(options.threads)
    from tausweep.commands.fill import Filling, fill

    stopped = _stop_on_signal(patient=False)
    began = time.monotonic()
    whole = fill(
        options.study,
        Path(options.results),
        Filling(
            until, options.evaluate_seconds, options.at_once, options.device, options.threads,
            options.partial, options.compile, options.checkpoint_seconds,
        ),
        say=lambda line: _say(f"[{time.monotonic() - began:6.1f}] {line}"),
        stop=lambda: bool(stopped),
    )  # fmt: skip
    if stopped:
        return 128 + stopped[0]
    return 0 if whole else 1


def _collect(options: argparse.Namespace) -> None:
    from tausweep.commands import jobs

    jobs.collect(options.study, Path(options.results), Path(options.output))


def _made_of_records(stage: str) -> Callable[[argparse.Namespace], None]:
    """The command of a stage that is made from collected records."""

    def run(options: argparse.Namespace) -> None:
        from tausweep.commands.jobs import Collected

        said = getattr(Collected.of(options.study, Path(options.results)), stage)()
        if said is not None:
            _say(said)

    return run


def _partial(options: argparse.Namespace) -> None:
    from tausweep.commands import jobs

    print(jobs.partial(options.study, Path(options.results)))


def _status(options: argparse.Namespace) -> None:
    from tausweep import study
    from tausweep.commands import status

    print(status.describe(study.load(options.study), Layout(Path(options.results))))


def _clean(options: argparse.Namespace) -> None:
    from tausweep import study
    from tausweep.commands import clean

    layout = Layout(Path(options.results))
    found = clean.leftovers(study.load(options.study), layout)
    print(clean.listed(found))
    if found and options.yes:
        clean.delete(found, layout)
    elif found:
        print("nothing was deleted; --yes deletes what is listed")


def _export(options: argparse.Namespace) -> None:
    from tausweep import study
    from tausweep.commands import export

    asked, layout = study.load(options.study), Layout(Path(options.results))
    print(export.export(asked, layout, Path(options.output), weights=options.weights))


def _import(options: argparse.Namespace) -> None:
    from tausweep.commands.import_results import restore

    print(restore(Path(options.source), options.study, Layout(Path(options.results))))


def _verify(options: argparse.Namespace) -> int:
    from tausweep import study
    from tausweep.commands import verify

    said, holds = verify.verify(study.load(options.study), Layout(Path(options.results)))
    print(said)
    return 0 if holds else 1


def _compare(options: argparse.Namespace) -> None:
    from tausweep.commands import compare

    datasets = (options.datasets[0], options.datasets[1]) if options.datasets else None
    print(compare.compare_files(options.a, options.b, options.measure, options.csv, datasets))


def _published(options: argparse.Namespace) -> None:
    from tausweep.claims.judging import published_verdicts

    print("# What the published numbers bear out\n")
    print(
        "Made by `tausweep published`: the rules that judge a study, fed with the paper's Table 1"
    )
    print("and the author's finer sweep (`benchmarks/published/`). They are single runs.\n")
    print(published_verdicts(), end="")


def _schema(options: argparse.Namespace) -> None:
    from tausweep.study.schema import schema_text

    print(schema_text(), end="")


def _show(options: argparse.Namespace) -> None:
    from tausweep import study
    from tausweep.commands import show

    asked = study.load(options.study)
    print(show.describe(asked, options.study, Layout(Path(options.results))))


if __name__ == "__main__":
    sys.exit(main())
