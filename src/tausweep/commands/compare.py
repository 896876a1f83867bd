"""`tausweep compare`: compare two tables of records."""

from __future__ import annotations

import argparse
from pathlib import Path

from tausweep.commands import flags
from tausweep.commands.json_document import print_document
from tausweep.storage.atomic import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("a", metavar="RECORDS_A", help="a records.csv, or the word `published`")
    parser.add_argument("b", metavar="RECORDS_B", help="another")
    parser.add_argument(
        "--measure", action="append", metavar="COLUMN",
        help="a column to compare; may be repeated "
        "(default: linear and kNN accuracy, uniformity, tolerance)",
    )  # fmt: skip
    parser.add_argument(
        "--datasets", nargs=2, metavar=("OF_A", "OF_B"),
        help="compare these two datasets as if they were one; A and B may be the same file",
    )  # fmt: skip
    parser.add_argument("--csv", metavar="FILE", help="also write the numbers as CSV")
    flags.add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from tausweep.report import comparison_page
    from tausweep.report.comparison import compare
    from tausweep.report.sides import read_sides

    datasets = (options.datasets[0], options.datasets[1]) if options.datasets else None
    found = compare(*read_sides(options.a, options.b, datasets), options.measure)
    if options.csv:
        write_text(Path(options.csv), found.csv())
    if options.json:
        print_document("compare", found.values())
    else:
        print(comparison_page.markdown(found), end="")
