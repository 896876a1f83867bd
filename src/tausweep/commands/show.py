"""`tausweep show`: Table 1 and the verdicts on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from tausweep import study as studies
from tausweep.commands import flags
from tausweep.commands.json_document import print_document
from tausweep.storage.layout import Layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)
    flags.add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from tausweep.report import headline

    asked, layout = studies.load(options.study), Layout(Path(options.results))
    if options.json:
        print_document("show", headline.values(asked, options.study, layout))
    else:
        print(headline.describe(asked, options.study, layout))
