"""Whether results are what their runs wrote, and whether they are the results that we have.

Nothing is run or unpickled: what is read is JSON, YAML, CSV and parquet. Every check is one line.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tausweep.commands import flags
from tausweep.commands.json_document import print_document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "what", metavar="WHAT",
        help="an export (folder or archive), a table of records, or a study in --results",
    )  # fmt: skip
    flags.add_results(parser)
    parser.add_argument(
        "--against", metavar="RECORDS",
        help="compare the numbers with this table, export or folder (default: our own records)",
    )  # fmt: skip
    parser.add_argument(
        "--margin", action="append", default=[], type=_margin, metavar="COLUMN=NUMBER",
        help="another margin of equivalence; may be repeated (docs/artefact.md)",
    )  # fmt: skip
    parser.add_argument(
        "--break-it", action="store_true",
        help="damage copies of the export in several ways, and show that each is noticed",
    )  # fmt: skip
    flags.add_json(parser)


def _margin(text: str) -> tuple[str, float]:
    from tausweep.results.equivalence import EQUIVALENCE_MARGINS

    column, _, number = text.partition("=")
    try:
        margin = float(number)
    except ValueError:
        margin = 0.0
    if column not in EQUIVALENCE_MARGINS or not 0 < margin < float("inf"):
        raise argparse.ArgumentTypeError(
            f"{text} is not allowed; it should be COLUMN=NUMBER, with a number above 0 and one of "
            f"{', '.join(EQUIVALENCE_MARGINS)}"
        )
    return column, margin


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from tausweep.commands import break_it, verification
    from tausweep.results.equivalence import EQUIVALENCE_MARGINS

    margins = {**EQUIVALENCE_MARGINS, **dict(options.margin)}
    if options.break_it:
        return break_it.show(options.what, margins)
    found = verification.verify(options.what, Path(options.results), options.against, margins)
    if options.json:
        print_document("verify", found.values())
    else:
        print("\n".join(found.lines()))
    return 0 if found.holds else 1
