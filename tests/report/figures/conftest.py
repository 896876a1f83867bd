"""Results of two studies that the tests of figures share: one complete, one broken."""

from __future__ import annotations

import pytest

import frames
from tausweep.report.figures import StudyResults
from tausweep.results import published


@pytest.fixture(scope="session")
def complete(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Two datasets, three temperatures, two seeds, every file."""
    frame = frames.records(temperatures=(0.07, 0.3, 1.0), seeds=(0, 1))
    folder = tmp_path_factory.mktemp("complete")
    frames.run_folders(folder, frame, images=60, bank=80, epochs=10)
    return StudyResults(folder, frame, published.records(), along=frames.along(frame))


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Diverged, missing and failed cells, a dataset without any complete run, single seeds."""
    frame = frames.records(("cifar100", "my_own"), temperatures=(0.07, 0.3, 1.0), seeds=(0, 1))
    frame = frames.mark(frame, "diverged", loss="contrastive", temperature=0.07)
    frame = frames.mark(frame, "diverged", loss="hard_contrastive", temperature=1.0, seed=1)
    frame = frames.mark(frame, "missing", dataset="cifar100", loss="contrastive", temperature=0.3)
    frame = frames.mark(frame, "failed", loss="simple", seed=0)
    frame = frames.mark(frame, "failed", dataset="my_own")
    folder = tmp_path_factory.mktemp("broken")
    frames.run_folders(folder, frame, images=60, bank=80, epochs=10)
    along = frames.along(frame)
    return StudyResults(folder, frame, published.records(), "64 images", along=along)
