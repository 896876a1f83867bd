"""`tausweep report`: everything about a study on one page."""

from __future__ import annotations

import argparse

from tausweep.commands import flags
from tausweep.commands.collected import Collected
from tausweep.commands.messages import say
from tausweep.storage.layout import File


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    say(write_report(Collected.asked(options)))


def write_report(collected: Collected) -> str:
    """Write the report from tables, figures and verdicts; return its headline."""
    from tausweep.report import page

    out = collected.folder / File.REPORT
    return page.build(
        collected.study,
        collected.study_file,
        collected.layout,
        collected.results.records,
        out,
        collected.partial,
    )
