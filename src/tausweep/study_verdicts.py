"""Verdicts of a study from what lies in its folder: records, checkpoints, images got right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tausweep import claims
from tausweep.datasets.manifest import manifest
from tausweep.layout import Layout
from tausweep.study import Study
from tausweep.verdicts import Verdict

CORRECT = "correct.safetensors"


def judge(
    study: Study, layout: Layout, records: pd.DataFrame, along: pd.DataFrame | None
) -> list[Verdict]:
    """Judge every claim by all that a study has kept.

    Args:
        study: What was asked for.
        layout: Where results lie; the runs' ``correct.safetensors`` are read if they are there.
        records: The collected table.
        along: The table along training, if the study has one.

    Raises:
        ValueError: See ``claims.judge``.
    """
    return claims.judge(
        records,
        along=along,
        correct=_correct(study, layout),
        test_images=_test_images(study, layout),
    )


def _test_images(study: Study, layout: Layout) -> dict[str, int]:
    """Size of every dataset's test split, by the manifests of the prepared data that are there."""
    found = {}
    for run in study.runs():
        if run.dataset not in found and (made := manifest(run.settings.dataset, layout)):
            found[run.dataset] = int(made["splits"]["test"]["images"])
    return found


def _correct(
    study: Study, layout: Layout
) -> dict[tuple[str, str, float | None, int], NDArray[np.bool_]]:
    """Which test images every run's probe gets right, of the runs that kept it."""
    from safetensors.numpy import load_file

    found = {}
    for run in study.runs():
        path = layout.run(run) / CORRECT
        if path.is_file():
            tensors: dict[str, Any] = load_file(path)
            # A probe that diverged kept none.
            if "linear" in tensors:
                found[run.dataset, run.loss, run.temperature, run.seed] = tensors["linear"]
    return found
