"""`tausweep fetch`: a published dataset from its original archive, as folders of PNG files."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

KINDS = ("cifar10", "cifar100", "svhn")
"""Datasets with a published archive that can be downloaded."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("kind", choices=KINDS, metavar="DATASET", help=", ".join(KINDS))
    parser.add_argument(
        "folder", metavar="FOLDER",
        help="a new folder, for train/<class>/*.png and test/<class>/*.png",
    )  # fmt: skip
    parser.add_argument(
        "--archive", metavar="DIR",
        help="where the archive is, or is downloaded to (default: data/DATASET)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        StudyError: The folder exists, or the archive can neither be read nor downloaded.
    """
    from tausweep.data import image_folders, sources
    from tausweep.study import Source

    source = Source(kind=options.kind, path=options.archive, download=True)
    folder = Path(options.folder)
    written = image_folders.write(partial(sources.read, source), folder)
    print(
        f"{written['train']:,} training and {written['test']:,} test images of {options.kind} "
        f"in {folder}"
    )
