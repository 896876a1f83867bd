"""Whether a verdict hangs on a single seed: every claim is judged again without each seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from tausweep.claims.verdicts import Verdict

Judge = Callable[[pd.DataFrame, "pd.DataFrame | None"], list[Verdict]]
"""Gives all verdicts on a table of records and the table along training, if there is one."""


def with_each_seed_left_out(
    judge: Judge, records: pd.DataFrame, along: pd.DataFrame | None
) -> list[Verdict]:
    """The verdicts on all records; ``without_seed`` of each says what they are without each seed.

    A seed that has no complete run decides nothing, so it is not left out. If there is only one
    other, ``without_seed`` is empty.

    Args:
        judge: The rules.
        records: Columns of ``records.csv``.
        along: The table along training, or none.
    """
    verdicts = judge(records, along)
    seeds = sorted({int(seed) for seed in records["seed"][records["status"] == "complete"]})
    if len(seeds) < 2:
        return verdicts
    without = {}
    for seed in seeds:
        fewer = None if along is None else along[along["seed"] != seed]
        judged = judge(records[records["seed"] != seed], fewer)
        without[seed] = {(v.claim, v.dataset): v.verdict for v in judged}
    return [
        replace(
            v,
            without_seed={
                # A dataset that has no run of another seed is not judged at all.
                str(seed): found.get((v.claim, v.dataset), "not measured")
                for seed, found in without.items()
            },
        )
        for v in verdicts
    ]
