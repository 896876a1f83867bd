"""Datasets: one module per source, and one prepared format.

Importing this package loads neither NumPy nor PIL nor torch, and neither do ``fingerprint`` and
``normalisation``, because Snakemake calls them each time it reads the workflow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.data.sources import (
    SourceSplit,
    class_counts,
    fingerprint,
    normalisation,
    read,
    root,
    train_size,
)

if TYPE_CHECKING:
    from tausweep.data.prepared import Prepared
    from tausweep.study import DatasetSettings

__all__ = [
    "SourceSplit",
    "class_counts",
    "fingerprint",
    "load",
    "normalisation",
    "prepare",
    "read",
    "root",
    "train_size",
]


def prepare(
    settings: DatasetSettings, folder: str | Path, threads: int | None = None
) -> dict[str, Any]:
    """Make prepared data and return its manifest; see ``tausweep.data.preparation.prepare``."""
    from tausweep.data.preparation import prepare as make

    return make(settings, folder, threads)


def load(folder: str | Path, verify: bool = False) -> Prepared:
    """Open prepared data; see ``tausweep.data.prepared.load``."""
    from tausweep.data.prepared import load as open_prepared

    return open_prepared(folder, verify)
