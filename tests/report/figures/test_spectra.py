"""Spectra of singular values."""

from __future__ import annotations

import numpy as np

from tausweep.report.figures import StudyResults


def test_a_spectrum_is_relative_to_its_largest_value(complete: StudyResults) -> None:
    from tausweep.report.figures import spectra

    values = spectra.spectrum(complete, "cifar10", "contrastive", 0.3)
    assert values is not None
    assert values[0] == 1.0
    assert (np.diff(values) <= 0).all()
    assert spectra.spectrum(complete, "svhn", "contrastive", 0.3) is None
