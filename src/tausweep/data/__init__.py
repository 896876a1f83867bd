"""Datasets: one module per source, and one prepared format.

``look``, ``normalisation`` and the import of this package load neither numpy nor PIL nor
torch: Snakemake calls them each time it reads the workflow.

For a notebook: ``prepare`` makes prepared data of a source, ``load`` opens them, and a source of
your own may return ``SourceSplit``.
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

__all__ = ["SourceSplit", "load", "prepare"]


def prepare(
    settings: DatasetSettings,
    folder: str | Path,
    threads: int | None = None,
    accept: Accept = lambda counts: None,
) -> dict[str, Any]:
    """Make prepared data and return its manifest; see ``tausweep.data.preparation.prepare``.

    Examples:
        >>> import tempfile
        >>> from tausweep.data import prepare
        >>> from tausweep.study import load
        >>> settings = load("benchmarks/demo.yaml").runs()[0].settings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     prepare(settings.dataset, folder)["splits"]["test"]["images"]
        360
    """
    from tausweep.data.preparation import prepare as make

    return make(settings, folder, threads, accept)


def load(folder: str | Path, verify: bool = False) -> Prepared:
    """Open prepared data; see ``tausweep.data.prepared.load``.

    Examples:
        >>> import tempfile
        >>> from tausweep import data, study
        >>> settings = study.load("benchmarks/demo.yaml").runs()[0].settings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = data.prepare(settings.dataset, folder)
        ...     data.load(folder).train_images.shape
        (1437, 12, 12, 3)
    """
    from tausweep.data.prepared import load as open_prepared

    return open_prepared(folder, verify)
