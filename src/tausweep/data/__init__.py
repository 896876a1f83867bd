"""Datasets: one module a source, one prepared format.

``look``, ``normalisation`` and the import of this package load neither numpy nor PIL nor
torch: Snakemake calls them each time it reads the workflow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.data.sources import (
    Look,
    SourceSplit,
    fingerprint,
    look,
    normalisation,
    read,
    root,
    seen,
    train_size,
)

if TYPE_CHECKING:
    from tausweep.data.preparation import Accept
    from tausweep.data.prepared import Prepared
    from tausweep.study import DatasetSettings

__all__ = [
    "Look",
    "SourceSplit",
    "fingerprint",
    "load",
    "look",
    "normalisation",
    "prepare",
    "read",
    "root",
    "seen",
    "train_size",
]


def prepare(
    settings: DatasetSettings,
    folder: str | Path,
    threads: int | None = None,
    accept: Accept = lambda counts: None,
) -> dict[str, Any]:
    """Make prepared data and return its manifest; see ``tausweep.data.preparation.prepare``."""
    from tausweep.data.preparation import prepare as make

    return make(settings, folder, threads, accept)


def load(folder: str | Path, verify: bool = False) -> Prepared:
    """Open prepared data; see ``tausweep.data.prepared.load``."""
    from tausweep.data.prepared import load as open_prepared

    return open_prepared(folder, verify)
