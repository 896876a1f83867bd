"""A finished tiny study that the tests of the workflow share, and dry runs at little cost."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import Checkout, DryRuns, dry_runs


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Checkout:
    """The tiny study, undisturbed and finished; made once for all workers. Copy it, don't edit."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder, whole = shared / "finished", shared / "finished.whole"
        if not whole.exists():
            Checkout.new(folder).complete()
            whole.touch()
    return Checkout(folder)


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished study."""
    return finished.copy(tmp_path / "checkout")


@pytest.fixture(scope="session")
def dry() -> Iterator[DryRuns]:
    """Dry runs of Snakemake."""
    with dry_runs() as runs:
        yield runs
