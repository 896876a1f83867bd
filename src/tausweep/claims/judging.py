"""Judge the paper's claims C1 to C17 (docs/claims.md) by a study's records.

``tausweep.claims.paper`` lists the claims and ``tausweep.claims.rules`` holds their rules. The
published numbers (``tausweep.results.published``) are judged by the same code. The rules are
registered in docs/claims.md; ``rules_digest`` shows any change.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tausweep.claims import preconditions, rules
from tausweep.claims.columns import ACCURACY
from tausweep.claims.comparisons import RANK
from tausweep.claims.evidence import PAPER_RANGE, Evidence
from tausweep.claims.paper import CLAIMS, claim
from tausweep.claims.phrases import cell_name, comma_separated
from tausweep.claims.readings import STAND_IN
from tausweep.claims.verdicts import (
    CLEARLY,
    OVERALL,
    Claim,
    Verdict,
    judge_each,
    to_csv,
    to_json,
    to_markdown,
)
from tausweep.results import labels, published
from tausweep.results.cells import temperature_of
from tausweep.results.intervals import ACCURACY_MARGIN, MARGINS, PRIOR_CELLS, PRIOR_DF

__all__ = [
    "CLAIMS",
    "Claim",
    "Verdict",
    "check_records",
    "claim",
    "judge",
    "published_verdicts",
    "rules_digest",
    "to_csv",
    "to_json",
    "to_markdown",
]

REQUIRED = ("dataset", "loss", "temperature", "seed", "status")
"""The columns without which nothing can be judged."""


def judge(
    records: pd.DataFrame,
    *,
    along: pd.DataFrame | None = None,
    correct: Mapping[tuple[str, str, float | None, int], NDArray[np.bool_]] | None = None,
    run_noise: bool = False,
    margin: float = ACCURACY_MARGIN,
    test_images: Mapping[str, int] | None = None,
) -> list[Verdict]:
    """Verdicts of all claims in order: for each one per dataset (by name), then the overall one.

    Args:
        records: One study's records (columns of ``records.csv``; missing columns count as empty).
        along: The same study's measures at checkpoints (``along.csv``). Without it, it is unknown
            whether longer training would change a verdict, and each verdict says so.
        correct: Which test images a run's probe classifies correctly, by dataset, loss,
            temperature (none for a loss without one) and seed. Without it, the sampling noise of
            the test split is that of independent samples of ``test_images``, if this is known.
        run_noise: Whether the margins are known to be the noise of one run, so that single runs
            can be compared, as for the published numbers.
        margin: Noise margin of a one-seed difference of accuracy, in points, 0 or more.
        test_images: Number of test images by dataset; by default from the records.

    Raises:
        ValueError: The margin is not allowed, or the records cannot be judged: a required column is
            missing, a seed is empty, there are several studies, or a run is listed twice.

    Examples:
        >>> from tausweep.claims import judge
        >>> from tausweep.results import read
        >>> verdicts = judge(read("benchmarks/measured/demo/records.csv"))
        >>> next(verdict.verdict for verdict in verdicts if verdict.claim == "C7")
        'supported'
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin: {margin} is not allowed; points of accuracy, 0 or more, are")
    check_records(records)
    by_dataset: dict[str, dict[tuple[str, float | None, int], NDArray[np.bool_]]] = {}
    for (dataset, loss, temperature, seed), kept in (correct or {}).items():
        by_dataset.setdefault(dataset, {})[loss, temperature, seed] = kept
    datasets = {}
    for name, rows in records.groupby("dataset", sort=True):
        checkpoints = None if along is None else along[along["dataset"] == name]
        datasets[str(name)] = Evidence(
            rows,
            MARGINS | {ACCURACY: margin},
            one_run=run_noise,
            test_images=(test_images or {}).get(str(name)),
            correct=by_dataset.get(str(name)),
            along=checkpoints,
        )
    return judge_each(CLAIMS.values(), datasets)


def check_records(records: pd.DataFrame) -> None:
    """Check that a table can be judged.

    Raises:
        ValueError: A required column is missing, a seed is empty, there are several studies, or a
            run is listed twice.
    """
    lacking = [column for column in REQUIRED if column not in records]
    if lacking:
        raise ValueError(f"records: missing columns: {comma_separated(lacking)}")
    if "study" in records and records["study"].nunique() > 1:
        studies = comma_separated(sorted(records["study"].dropna().astype(str).unique()))
        raise ValueError(f"records: studies {studies}; only one study can be judged at a time")
    for column in ("dataset", "loss", "seed", "status"):
        if records[column].isna().any():
            raise ValueError(f"records: a run has no {column}; only a temperature may be empty")
    run = ["dataset", "loss", "temperature", "seed"]
    twice = records[records.duplicated(run)]
    if len(twice):
        dataset, loss, temperature, seed = twice.iloc[0][run]
        name = cell_name(loss, temperature_of(temperature))
        raise ValueError(f"records: {name} on {dataset}, seed {seed}, is listed twice")


def published_verdicts() -> str:
    """The verdicts on the published Table 1 and the author's sweep, as Markdown."""
    return to_markdown(judge(published.records(), run_noise=True))


def verdicts_on_others() -> str:
    """Verdicts on sweeps that others published, as Markdown.

    Only claims that read accuracies alone are judged. The loss of these sweeps is NT-Xent, Eq. 1
    with the negatives of a batch. It is judged like ``contrastive``.
    """
    table = published.of_others()
    verdicts = judge(table.assign(loss="contrastive"), run_noise=True)
    judged = [v for v in verdicts if v.dataset and v.verdict != "not measured"]
    lines = []
    for name, rows in table.groupby("dataset", sort=True):
        swept = ", ".join(
            f"{accuracy:g} at {tau:g}"
            for tau, accuracy in zip(rows["temperature"], rows["linear_accuracy"], strict=True)
        )
        source, caveat = rows["source"].iloc[0], rows["caveat"].iloc[0]
        lines += [f"### {labels.dataset(str(name))}", "", f"{swept} ({source}; {caveat})", ""]
        lines += [
            f"- {v.claim}: {v.text}: **{v.verdict}**. {v.reason}"
            for v in judged
            if v.dataset == name and (v.claim in READ_ACCURACY)
        ]
        lines.append("")
    return "\n".join(lines)


READ_ACCURACY = ("C3", "C14")
"""Claims that read accuracies of the contrastive loss alone."""


def rules_digest() -> str:
    """SHA-256 of the text of every rule and of the settings, as registered in docs/claims.md."""
    registered = {
        "claims": [[c.id, c.kind, c.text, c.said] for c in CLAIMS.values()],
        "overall": OVERALL,
        "clearly": CLEARLY,
        "margins": MARGINS,
        "settings": {
            "far": rules.FAR,
            "competitive": rules.COMPETITIVE,
            "smallest": rules.SMALLEST,
            "stable": rules.STABLE,
            "rank": RANK,
            "range": PAPER_RANGE,
            "stand_in": STAND_IN,
            "common_mean": preconditions.COMMON_MEAN,
            "few_negatives": preconditions.FEW_NEGATIVES,
            "prior": [PRIOR_DF, PRIOR_CELLS],
        },
    }
    return hashlib.sha256(json.dumps(registered, sort_keys=True).encode()).hexdigest()
