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


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    write_figures(Collected.asked(options))


def write_figures(collected: Collected) -> None:
    """Draw every figure of the study in every format; one that is no more of it goes."""
    from tausweep.report import figures

    asked = figures.asked(collected.study)
    for name in figures.NAMES:
        paths = [collected.folder / Folder.FIGURES / f"{name}.{kind}" for kind in figures.FORMATS]
        if name in asked:
            figures.draw(name, collected.results, paths, collected.study.figures.model_dump())
            continue
        for path in paths:
            path.unlink(missing_ok=True)
