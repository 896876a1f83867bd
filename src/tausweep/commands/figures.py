"""`tausweep figures`: the figures of a study."""

from __future__ import annotations

import argparse

from tausweep.commands import flags
from tausweep.commands.collected import Collected
from tausweep.storage.layout import Folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)
    flags.add_threads(parser, "figures drawn at once")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    write_figures(Collected.asked(options), options.threads)


def write_figures(collected: Collected, processes: int = 1) -> None:
    """Draw every figure of the study in every format, and remove those that it no longer has.

    Args:
        collected: Its records.
        processes: How many figures to draw at once.
    """
    from tausweep.report import figures

    asked = figures.asked(collected.study)
    paths = {
        name: [collected.folder / Folder.FIGURES / f"{name}.{kind}" for kind in figures.FORMATS]
        for name in figures.NAMES
    }
    for name in paths.keys() - {*asked}:
        for path in paths[name]:
            path.unlink(missing_ok=True)
    style = collected.study.figures.model_dump()
    figures.draw_all({name: paths[name] for name in asked}, collected.results, style, processes)
