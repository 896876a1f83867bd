"""`tausweep tables`: Table 1 and the full table of a study."""

from __future__ import annotations

import argparse

from tausweep.commands import flags
from tausweep.commands.collected import Collected
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import Folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    write_tables(Collected.asked(options))


def write_tables(collected: Collected) -> None:
    """Write Table 1 and the full table in every format."""
    from tausweep.report import tables

    flip = {run.dataset: run.settings.views.flip for run in collected.study.runs()}
    found = collected.results
    for make in (tables.table1, tables.full):
        table = make(
            found.records,
            found.published,
            scaled_down=found.scaled_down,
            flip=flip,
            t=found.t,
        )
        for kind in tables.FORMATS:
            path = collected.folder / Folder.TABLES / f"{table.name}.{kind}"
            write_text(path, table.text(kind))
