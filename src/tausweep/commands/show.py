"""`tausweep show`: Table 1 and the verdicts on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from tausweep import study as studies
from tausweep.commands import flags
from tausweep.storage.layout import Layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from tausweep.report import headline

    asked = studies.load(options.study)
    print(headline.describe(asked, options.study, Layout(Path(options.results))))
