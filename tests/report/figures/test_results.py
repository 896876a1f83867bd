"""A study's results find their run folders."""

from __future__ import annotations

from tausweep.report.figures import StudyResults


def test_a_run_is_found_by_its_canonical_temperature(complete: StudyResults) -> None:
    folder = complete.run_folder("cifar10", "contrastive", 1, 0)
    assert folder.parts[-4:] == ("cifar10", "contrastive", "1.0", "seed0")
    assert folder.is_dir()
    assert complete.run_folder("cifar10", "simple", None, 1).parts[-2:] == ("none", "seed1")
