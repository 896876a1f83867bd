"""`tausweep resolve`: a study in canonical form."""

from __future__ import annotations

import argparse
from pathlib import Path

from tausweep import study as studies
from tausweep.commands import flags, targets
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import Layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    parser.add_argument("output", metavar="OUTPUT", help="where to write it (JSON)")
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    asked, output = studies.load(options.study), Path(options.output)
    targets.check_output(output, asked, Layout(Path(options.results)))
    write_text(output, asked.canonical_json() + "\n")
