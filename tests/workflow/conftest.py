"""Finished tiny studies that the tests of the workflow share, and dry runs at little cost."""

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkout import Checkout, DryRuns, dry_runs, lone_run


@pytest.fixture(scope="session")
def once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[Path], object]], Path]:
    """Make a folder once for all workers of the test run."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, whole = shared / name, shared / f"{name}.whole"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                make(folder)
                whole.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def finished(once: Callable[[str, Callable[[Path], object]], Path]) -> Checkout:
    """The tiny study, undisturbed and finished. Copy it, don't edit it."""
    return Checkout(once("finished", lambda folder: Checkout.new(folder).complete()))


@pytest.fixture(scope="session")
def lone(once: Callable[[str, Callable[[Path], object]], Path]) -> Checkout:
    """The lone run, its data prepared. Copy it, don't edit it."""

    def make(folder: Path) -> None:
        lone_run(folder).complete("--cores", "1", "--until", "prepare")

    return Checkout(once("lone", make))


@pytest.fixture(scope="session")
def lone_results(
    once: Callable[[str, Callable[[Path], object]], Path], lone: Checkout
) -> dict[str, bytes]:
    """What the lone run ends with, undisturbed."""
    return Checkout(once("lone-whole", lambda folder: lone.copy(folder).complete())).results()


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished study."""
    return finished.copy(tmp_path / "checkout")


@pytest.fixture(scope="session")
def dry() -> Iterator[DryRuns]:
    """Dry runs of Snakemake."""
    with dry_runs() as runs:
        yield runs
