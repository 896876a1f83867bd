"""The command line: find the requested command, run it, and return its exit code.

A command is a module of ``tausweep.commands`` with ``add_arguments(parser)`` and ``run(options)``.
Only the module of the requested command is imported.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tausweep import __version__
from tausweep.commands import flags
from tausweep.commands.flags import USAGE_ERROR
from tausweep.commands.messages import CommandError, say_error
from tausweep.machine import instructions
from tausweep.storage import shipped
from tausweep.study import StudyError, did_you_mean


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        name: As the user types it.
        summary: What it does, in one line.
        module: Its module in ``tausweep.commands``, if that is not its name.
        trains: Whether it trains; the study's precision then chooses the CPU instructions.
    """

    name: str
    summary: str
    module: str = ""
    trains: bool = False

    def load(self) -> ModuleType:
        """Import its module."""
        return import_module(f"tausweep.commands.{self.module or self.name}")


GROUPS: dict[str, tuple[Command, ...]] = {
    "Run and follow a study": (
        Command("init", "Write a commented study file to begin with."),
        Command("fetch", "Download CIFAR or SVHN and lay it out as folders of PNG files."),
        Command("run", "Run all of a study by Snakemake, with a bar and the time left."),
        Command("plan", "Check a study; list its runs and what they cost."),
        Command("status", "Say what is done, running, failed, stale or missing."),
        Command("show", "Print Table 1 and the verdicts, and say where the rest is."),
        Command("partial", "Report what a study has so far; trains nothing."),
        Command("classes", "Say how much of the penalty falls on an anchor's own class."),
        Command("redo", "Measure some runs again and compare them with the kept records."),
        Command("clean", "List what the study file no longer names; delete it with --yes."),
    ),
    "Stages of a study, as Snakemake calls them": (
        Command("resolve", "Write a study in canonical form."),
        Command("prepare", "Make the prepared data of a study."),
        Command("pretrain", "Pretrain one run, from its checkpoint if any.", trains=True),
        Command("evaluate", "Measure one run and write its record."),
        Command(
            "fill", "Train and evaluate as many runs as fit into a given time.",
            trains=True,
        ),
        Command("collect", "Collect the records of a study into one table."),
        Command("tables", "Write Table 1 and the full table of a study."),
        Command("figures", "Draw the figures of a study."),
        Command("claims", "Judge the paper's claims by a study's records."),
        Command("report", "Write the report of a study: everything on one page."),
    ),
    "Your own images": (
        Command("choose", "Choose a temperature for your images in a given time."),
    ),
    "Judge an encoder": (
        Command("measure", "Measure embeddings or an encoder, and say what to beware of."),
    ),
    "Compare and share results": (
        Command("compare", "Compare two tables of records."),
        Command("published", "Judge the claims by the published numbers."),
        Command("export", "Write a study's results and what made them, for others."),
        Command("import", "Import results of another machine, verified.", module="import_results"),
        Command("verify", "Check an export, a table of records or a study's results."),
        Command("migrate", "Put an earlier version's runs into the store of runs."),
    ),
    "Editors": (Command("schema", "Print the JSON schema of study files."),),
}  # fmt: skip
"""All commands, in the groups of the help page."""

COMMANDS = {command.name: command for group in GROUPS.values() for command in group}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 2 for bad input, 1 for a failure, 128 + signal."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command = command_of(typed)
        if command is None:
            print(answer(typed), end="", flush=True)
            return 0
        module = command.load()
        options = parser_of(command, module).parse_args(typed[1:])
        options.arguments = typed
        _complete(options)
        # Before the command imports numerical libraries; this may restart the process.
        instructions.use(instructions_of(command, options), restart=arguments is None)
        code: int = module.run(options) or 0
        sys.stdout.flush()
        return code
    except StudyError as error:
        return _fail(str(error), USAGE_ERROR)
    except CommandError as error:
        return _fail(str(error), error.code)
    except KeyboardInterrupt:
        return interrupted()
    except BrokenPipeError:
        # The reader of the pipe has closed it (`| head`), which is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(_system_sentence(error), 1)


def interrupted() -> int:
    """Say that the user has interrupted a command; returns its exit code."""
    return _fail(
        "interrupted; nothing finished is lost: start the same command again to continue",
        128 + signal.SIGINT,
    )


def command_of(typed: Sequence[str]) -> Command | None:
    """The requested command; none if there is none, but a flag of tausweep itself or nothing.

    Raises:
        SystemExit: There is no such command; the message names the nearest one.
    """
    if not typed or typed[0].startswith("-"):
        return None
    name = typed[0]
    if name not in COMMANDS:
        own_parser().error(f"{name} is not a command{did_you_mean(name, COMMANDS)}")
    return COMMANDS[name]


def own_parser(**options: Any) -> flags.Parser:
    """A parser of the flags of tausweep itself."""
    parser = flags.Parser(prog="tausweep", allow_abbrev=False, **options)
    parser.add_argument(
        "--version", action="version", version=f"tausweep {__version__}", help="print the version"
    )
    parser.add_argument(
        "--print-completion", choices=("bash", "zsh", "fish"), metavar="SHELL",
        help="print a completion script for bash, zsh or fish",
    )  # fmt: skip
    return parser


def answer(typed: Sequence[str]) -> str:
    """What is printed where no command is given: the help page, or a completion script.

    Raises:
        SystemExit: For ``--version``, and for a flag that does not exist.
    """
    if not typed or typed[0] in ("-h", "--help"):
        return help_page()
    parser = own_parser(add_help=False)
    options, unknown = parser.parse_known_args(typed)
    if unknown:
        parser.error(f"unrecognized arguments: {unknown[0]}")
    shell: str | None = options.print_completion
    if shell is None:
        return help_page()
    from tausweep.commands import completion

    return completion.script(shell, whole_parser())


def whole_parser() -> argparse.ArgumentParser:
    """The parser of all commands at once; a run of tausweep makes that of its command alone."""
    parser = own_parser()
    below = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS.values():
        described = below.add_parser(
            command.name, help=command.summary, description=command.summary
        )
        command.load().add_arguments(described)
    return parser


def help_page() -> str:
    """What ``tausweep`` without arguments prints: the commands in groups, one per line."""
    width = max(map(len, COMMANDS))
    lines = [
        "usage: tausweep COMMAND ...",
        "",
        'Reproduce and extend "Understanding the Behaviour of Contrastive Loss" (Wang &',
        "Liu, CVPR 2021). A study file says what to run; `tausweep run STUDY` runs it.",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {command.name:{width}}  {command.summary}" for command in group]
    lines += [
        "",
        "`tausweep COMMAND --help` explains a command. `tausweep --version` prints the",
        "version, `tausweep --print-completion SHELL` what completes commands in bash,",
        'zsh or fish: put `eval "$(tausweep --print-completion bash)"` into ~/.bashrc.',
    ]
    return "\n".join(lines) + "\n"


def parser_of(command: Command, module: ModuleType) -> argparse.ArgumentParser:
    """The parser of a command's arguments."""
    parser = flags.Parser(prog=f"tausweep {command.name}", description=command.summary)
    module.add_arguments(parser)
    return parser


def instructions_of(command: Command, options: argparse.Namespace) -> str:
    """``portable`` or ``native``, as the user asks, but native if all training is in bf16.

    Raises:
        StudyError: The study is not valid, or the user asks for something else.
    """
    mode = instructions.wanted()
    if not command.trains:
        return mode
    from tausweep import study

    # Without --run, the whole study is trained. An unknown run is refused later.
    run_id = getattr(options, "run_id", None)
    precisions = {
        run.settings.pretrain.precision
        for run in study.load(options.study).runs()
        if run_id is None or run.id == run_id
    }
    return instructions.NATIVE if precisions == {"bf16"} else mode


def _fail(sentence: str, code: int) -> int:
    say_error(sentence)
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
    """Fill in values from the environment, and check what every command uses.

    Raises:
        StudyError: ``TAUSWEEP_DEVICE`` is no device, the results folder is a file, or the study is
            neither a file nor one that comes with tausweep.
    """
    if getattr(options, "study", None) is not None:
        options.study = shipped.study_file(options.study)
    if "device" in options and options.device is None:
        try:
            options.device = flags.device(os.environ.get("TAUSWEEP_DEVICE") or "auto")
        except argparse.ArgumentTypeError as error:
            raise StudyError(f"TAUSWEEP_DEVICE: {error}") from None
    if "results" in options:
        results = Path(options.results)
        if results.exists() and not results.is_dir():
            raise StudyError(f"--results {results}: is a file; it should be a folder")


if __name__ == "__main__":
    sys.exit(main())
