"""Verdicts of a study from its folder: records, checkpoints, correctly classified images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tausweep.claims import judging
from tausweep.claims.columns import ACCURACY
from tausweep.claims.evidence import Evidence
from tausweep.claims.leave_one_out import with_each_seed_left_out
from tausweep.claims.other_losses import judged_as_contrastive
from tausweep.claims.verdicts import Verdict
from tausweep.data.manifest import manifest
from tausweep.results.cells import Key, run_key
from tausweep.results.intervals import ACCURACY_MARGIN, MARGINS
from tausweep.storage.layout import File, Layout
from tausweep.study import Run, Study

FEWEST_TEMPERATURES = 3
"""With fewer there is no trend."""


def judge(
    study: Study, layout: Layout, records: pd.DataFrame, along: pd.DataFrame | None
) -> list[Verdict]:
    """Judge every claim by all results of a study, and again without each of its seeds.

    Args:
        study: The study.
        layout: Where results are; the runs' ``correct.safetensors`` are read if they exist.
        records: The collected table; see ``asked_rows`` for what counts.
        along: The table along training, if the study has one.

    Raises:
        ValueError: See ``claims.judge``.
    """
    correct, test_images = _correct(study, layout), _test_images(study, layout)

    def rules(rows: pd.DataFrame, checkpoints: pd.DataFrame | None) -> list[Verdict]:
        return judging.judge(rows, along=checkpoints, correct=correct, test_images=test_images)

    return with_each_seed_left_out(rules, asked_rows(study, records), along)


def of_each_loss(
    study: Study, layout: Layout, records: pd.DataFrame, along: pd.DataFrame | None
) -> dict[str, list[Verdict]]:
    """What the claims about temperature say of every loss of a study that has three or more.

    Args:
        study: The study.
        layout: Where results are.
        records: The collected table.
        along: The table along training, if the study has one.

    Returns:
        The verdicts of ``other_losses.judged_as_contrastive`` by loss, in the study's order.
    """
    rows = asked_rows(study, records)
    correct, test_images = _correct(study, layout), _test_images(study, layout)
    found = {}
    for loss in dict.fromkeys(run.loss for run in study.runs()):
        if rows["temperature"][rows["loss"] == loss].nunique() >= FEWEST_TEMPERATURES:
            found[loss] = judged_as_contrastive(
                loss, rows, along=along, correct=correct, test_images=test_images
            )
    return found


def evidence(
    study: Study, layout: Layout, records: pd.DataFrame, dataset: str | None = None
) -> Evidence:
    """One dataset's records, with the noise that verdicts use.

    Args:
        study: The study.
        layout: Where results are.
        records: The collected table.
        dataset: Its name in the study; by default the only one.
    """
    if dataset is None:
        (dataset,) = study.datasets
    rows = asked_rows(study, records)
    return Evidence(
        rows[rows["dataset"] == dataset],
        MARGINS | {ACCURACY: ACCURACY_MARGIN},
        test_images=_test_images(study, layout).get(dataset),
        correct={
            key[1:]: kept for key, kept in _correct(study, layout).items() if key[0] == dataset
        },
    )


def asked_rows(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that belong to the study, with their status in it.

    A row made with other settings than the study's is ``stale`` and decides nothing, whatever its
    status in the table.

    Args:
        study: The study.
        table: Columns of ``records.csv``.
    """
    runs = {(Key(r.dataset, r.loss, r.temperature), r.seed): r for r in study.runs()}
    rows = [(run_key(row), row) for row in table.to_dict("records")]
    asked = table[[key in runs for key, _ in rows]]
    return asked.assign(status=[status(runs[key], row) for key, row in rows if key in runs])


def status(run: Run, row: Mapping[Any, Any]) -> str:
    """The status of a run's row in the study."""
    found, digest = str(row["status"]), row.get("settings_digest")
    made = found in ("complete", "diverged")
    if made and not (digest is None or pd.isna(digest)) and digest != run.settings.digest:
        return "stale"
    return found


def _test_images(study: Study, layout: Layout) -> dict[str, int]:
    """The size of each dataset's test split, from the manifests that exist."""
    found = {}
    for run in study.runs():
        if run.dataset not in found and (made := manifest(run.settings.dataset, layout)):
            found[run.dataset] = int(made["splits"]["test"]["images"])
    return found


def _correct(
    study: Study, layout: Layout
) -> dict[tuple[str, str, float | None, int], NDArray[np.bool_]]:
    """Which test images each run's probe classifies correctly, for runs that saved this."""
    from safetensors.numpy import load_file

    found = {}
    for run in study.runs():
        path = layout.run(run) / File.CORRECT
        if path.is_file():
            tensors: dict[str, Any] = load_file(path)
            # A diverged probe has none.
            if "linear" in tensors:
                found[run.dataset, run.loss, run.temperature, run.seed] = tensors["linear"]
    return found
