"""Judging: whatever the order, the noise and the file, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claim_records import (
    BORNE_OUT,
    CONTRADICTED,
    IDS,
    SUPPORTED,
    UNDECIDED,
    UNMEASURED,
    UNTESTED,
    Change,
    marked,
    outcome,
    study,
    verdicts,
)
from examples import examples
from frames import named_rows
from tausweep.claims.judging import judge, to_json
from tausweep.results import published, records
from tausweep.results.intervals import MARGINS


@settings(max_examples=examples(4))
@given(st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_changes_no_byte(random: object) -> None:
    frame = published.records()[lambda f: f["dataset"].isin(["cifar10", "svhn"])]
    frame = pd.concat([frame, frame.assign(seed=1, linear_accuracy=frame["linear_accuracy"] + 0.1)])
    rows, columns = list(range(len(frame))), list(frame.columns)
    random.shuffle(rows)  # type: ignore[attr-defined]
    random.shuffle(columns)  # type: ignore[attr-defined]
    assert to_json(judge(frame.iloc[rows][columns])) == to_json(judge(frame))


@settings(max_examples=examples(10))
@given(st.integers(0, 2**32 - 1))
def test_noise_below_half_the_margin_never_turns_support_into_contradiction(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = published.records()
    frame = frame[frame["dataset"].isin(["cifar100", "svhn"])].copy()
    for column in ("linear_accuracy", "uniformity", "tolerance"):
        frame[column] += 0.499 * MARGINS[column] * rng.uniform(-1, 1, len(frame))
    for (claim, name), verdict in verdicts(frame).items():
        if name is None:
            continue
        before = BORNE_OUT[claim][0][name]
        if before == SUPPORTED:
            assert verdict.verdict != CONTRADICTED, (claim, name, verdict.reason)
        if before == UNMEASURED:
            assert verdict.verdict == UNMEASURED


@settings(max_examples=examples(10))
@given(st.integers(0, 2**32 - 1))
def test_single_runs_that_differ_by_noise_alone_decide_no_comparison(seed: int) -> None:
    """Two losses that are the same, every number within half a margin of it."""
    rng = np.random.default_rng(seed)
    frame = study((0,))
    for column in ("linear_accuracy", "uniformity", "tolerance", "interclass_similarity"):
        margin = MARGINS[column]
        frame[column] = 1 + 0.499 * margin * rng.uniform(-1, 1, len(frame))
    found = verdicts(frame)
    for claim in ("C1", "C2", "C3", "C4", "C5", "C6", "C15", "C16"):
        # Not tested where the noise puts the untrained encoder beside the best cell.
        assert found[claim, "one"].verdict in {UNDECIDED, UNTESTED}, found[claim, "one"].reason


def test_records_read_back_from_their_file_give_the_same_verdicts(tmp_path: Path) -> None:
    frame = marked("diverged", "contrastive", 0.05, (1,))(study())
    path = tmp_path / "records.csv"
    rows = frame.assign(data_digest="", settings_digest="", code_version="", device="cpu")
    path.write_text(records.table(named_rows(rows)), encoding="utf-8")
    assert to_json(judge(records.read_table(path))) == to_json(judge(frame))


def test_booleans_of_a_file_with_gaps_are_read() -> None:
    frame = study()
    frame["entropy_rises"] = frame["entropy_rises"].astype(object)
    frame.loc[frame["loss"] == "contrastive", "entropy_rises"] = "True"
    assert outcome("C11", frame) == SUPPORTED


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.drop(columns=["seed", "loss"]), "loss, seed"),
        (lambda f: pd.concat([f, f.iloc[[4]]]), r"contrastive at 0.07 on one, seed 1, .* twice"),
        (lambda f: pd.concat([f, f.assign(study="other", seed=9)]), "only one study can be judged"),
        (lambda f: f.assign(seed=math.nan), "no seed"),
    ],
)
def test_records_that_cannot_be_judged_are_refused(change: Change, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        judge(change(study()))


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_margin_is_a_number_of_points(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        judge(study(), margin=margin)


def test_no_records_decide_nothing() -> None:
    found = judge(study().iloc[:0])
    assert [v.claim for v in found] == IDS
    assert {v.verdict for v in found} == {UNMEASURED}


def test_judging_leaves_the_records_alone() -> None:
    frame = study((0,))
    before = frame.copy()
    judge(frame)
    pd.testing.assert_frame_equal(frame, before)
