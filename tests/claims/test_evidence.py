"""What records say of a cell: diverged, missing and collapsed runs, temperatures that stand in."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from claim_records import SUPPORTED, UNDECIDED, UNTESTED, alone, marked, outcome, study, verdicts
from tausweep.claims.readings import nearest_temperature

READS: dict[str, tuple[str, float | None]] = {
    "C1": ("contrastive", 0.5),
    "C2": ("contrastive", 1.0),
    "C3": ("contrastive", 0.07),
    "C4": ("hard_contrastive", 0.3),
    "C5": ("contrastive", 0.7),
    "C6": ("hard_contrastive", 0.7),
    "C7": ("simple", None),
    "C8": ("hard_simple", None),
    "C9": ("contrastive", 0.07),
    "C10": ("contrastive", 1.0),
    "C12b": ("nearest_negative", None),
    "C14": ("contrastive", 0.05),
    "C15": ("hard_contrastive", 1.0),
    "C16": ("hard_contrastive", 0.3),
}


@pytest.mark.parametrize("claim", READS)
@pytest.mark.parametrize("seeds", [(1,), (0, 1, 2)])
def test_a_diverged_run_leaves_undecided_what_reads_it(claim: str, seeds: tuple[int, ...]) -> None:
    frame = pd.concat([marked("diverged", *READS[claim], seeds)(study()), study(datasets=("two",))])
    found = alone(claim, frame)
    assert found["one"].verdict == UNDECIDED
    assert f"diverged (seed {', '.join(map(str, seeds))})" in found["one"].reason
    assert found["two"].verdict == SUPPORTED
    # It is not passed over: the other dataset's support does not stand for both.
    assert found[None].verdict == UNDECIDED


@pytest.mark.parametrize("claim", READS)
@pytest.mark.parametrize("status", ["failed", "missing", "stale"])
def test_a_cell_without_a_complete_run_leaves_undecided_what_reads_it(
    claim: str, status: str
) -> None:
    found = alone(claim, marked(status, *READS[claim], (0, 1, 2))(study()))["one"]
    assert found.verdict == UNDECIDED
    assert f"no complete run ({status})" in found.reason


@pytest.mark.parametrize("claim", READS)
def test_a_missing_seed_lowers_n_and_is_counted(claim: str) -> None:
    frame = marked("missing", *READS[claim], (2,))(study((0, 1, 2, 3, 4)))
    found = alone(claim, frame)["one"]
    assert found.verdict == SUPPORTED, found.reason
    assert '"n": 4' in json.dumps(found.numbers)


def test_nearest_temperatures_stand_in_and_are_named() -> None:
    swapped = {0.07: 0.1, 0.3: 0.25, 0.7: 0.6, 1.0: 0.9}
    frame = study()
    frame = frame[frame["temperature"].isna() | frame["temperature"].isin(list(swapped))]
    frame = frame.assign(temperature=frame["temperature"].replace(swapped))
    found = verdicts(frame)
    assert found["C3", "one"].verdict == SUPPORTED
    assert "contrastive at 0.1 (nearest to 0.07)" in found["C3", "one"].reason
    assert "hard contrastive at 0.6 (nearest to 0.7)" in found["C6", "one"].reason
    assert "contrastive at 0.25 (nearest to 0.3)" in found["C7", "one"].reason


@pytest.mark.parametrize(
    ("grid", "asked", "found"),
    [
        ([0.07, 0.3], 0.07, 0.07),
        ([0.2, 0.45], 0.3, 0.2),
        ([0.4, 1.0], 0.3, 0.4),
        ([0.5, 1.0], 0.3, None),
        ([], 0.3, None),
    ],
)
def test_stand_ins_lie_within_a_factor_of_one_and_a_half(
    grid: list[float], asked: float, found: float | None
) -> None:
    assert nearest_temperature(grid, asked) == found


def test_a_comparison_of_two_cells_takes_every_seed_that_both_have() -> None:
    # A run that failed at 0.5 leaves the seed in comparisons that do not read 0.5.
    frame = marked("failed", "contrastive", 0.5, (3,))(study((0, 1, 2, 3)))
    found = {claim: alone(claim, frame)["one"] for claim in ("C3", "C10", "C12b", "C14")}
    assert found["C3"].numbers["above_low"]["n"] == 4
    assert found["C10"].numbers["change"]["n"] == 3
    assert found["C12b"].numbers["far_below"]["n"] == 4
    assert found["C14"].numbers["n"] == 4
    assert {verdict.verdict for verdict in found.values()} == {SUPPORTED}


def test_images_that_both_get_right_take_noise_away() -> None:
    frame = study()
    few = frame.assign(test_images=360)
    assert outcome("C8", frame) == SUPPORTED
    wide = verdicts(few)["C8", "one"].numbers["split_half_width"]
    assert wide == pytest.approx(196 * math.sqrt((0.84 * 0.16 * 2) / 360), rel=0.03)
    rng = np.random.default_rng(0)
    right = rng.random(360) < 0.84
    kept = {}
    for loss, tau, seed in zip(frame["loss"], frame["temperature"], frame["seed"], strict=True):
        some = rng.integers(0, 360, 8)
        answers = right.copy()
        answers[some] = ~answers[some]
        kept["one", loss, None if math.isnan(tau) else tau, seed] = answers
    found = verdicts(few, correct=kept)["C8", "one"].numbers["split_half_width"]
    a = np.mean([kept["one", "hard_simple", None, s] for s in range(3)], axis=0)
    b = np.mean([kept["one", "contrastive", 0.3, s] for s in range(3)], axis=0)
    assert found == pytest.approx(196 * math.sqrt((a - b).var(ddof=1) / 360), rel=1e-3)
    assert found < 0.4 * wide


def test_a_collapsed_run_is_no_evidence_for_or_against_a_claim() -> None:
    frame = study().assign(collapsed=0.0)
    before = verdicts(frame)
    lowest = (frame["loss"] == "contrastive") & (frame["temperature"] == 0.07)
    frame.loc[lowest & (frame["seed"] == 0), ["collapsed", "uniformity"]] = 1.0, 0.0
    after = verdicts(frame)
    assert before["C1", "one"].verdict == SUPPORTED
    assert after["C1", "one"].verdict == UNTESTED
    assert "contrastive at 0.07 collapsed (seed 0)" in after["C1", "one"].reason
