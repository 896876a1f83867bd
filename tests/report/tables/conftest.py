"""Records that the tests of tables share: complete, and with gaps of every kind."""

from __future__ import annotations

import pandas as pd
import pytest

import frames
from table_cells import GRID


@pytest.fixture(scope="session")
def collected() -> pd.DataFrame:
    """Complete records of two datasets, three seeds."""
    return frames.records(temperatures=GRID)


@pytest.fixture(scope="session")
def broken() -> pd.DataFrame:
    """The same with a diverged cell, a diverged seed, a missing cell and a single seed."""
    frame = frames.records(("cifar10", "my_own & data"), temperatures=GRID)
    frame = frames.mark(frame, "diverged", dataset="cifar10", loss="contrastive", temperature=0.07)
    frame = frames.mark(
        frame, "diverged", dataset="cifar10", loss="contrastive", temperature=1.0, seed=1
    )
    frame = frames.mark(frame, "missing", dataset="cifar10", loss="simple")
    for seed in (0, 2):
        frame = frames.mark(
            frame, "failed", dataset="cifar10", loss="hard_contrastive", temperature=0.3, seed=seed
        )
    return frame
