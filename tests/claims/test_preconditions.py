"""What must hold before a claim is tested."""

from __future__ import annotations

import pandas as pd

from claim_records import IDS, SUPPORTED, UNTESTED, alone, jitter, outcome, shaped, study, verdicts
from tausweep.claims.judging import CLAIMS, judge

FINDINGS = [claim for claim in IDS if CLAIMS[claim].kind == "finding"]


def test_where_nothing_was_learnt_no_finding_is_tested() -> None:
    """As after one epoch: every cell stands where raw pixels do."""
    frame = study()
    frame["linear_accuracy"] = [24 + jitter(i, "flat", 0.3) for i in range(len(frame))]
    found = verdicts(frame)
    for claim in FINDINGS:
        assert found[claim, "one"].verdict == UNTESTED, claim
        assert "has not clearly learnt anything" in found[claim, "one"].reason
    for claim in set(IDS) - set(FINDINGS):
        assert found[claim, "one"].verdict == SUPPORTED


def test_without_baselines_what_was_learnt_is_not_known_and_said() -> None:
    frame = study()
    bare = frame[~frame["loss"].isin(["untrained", "raw_pixels"])]
    found = alone("C1", bare)["one"]
    assert found.verdict == SUPPORTED
    assert "unchecked preconditions: learnt by contrastive (" in found.reason


def test_a_common_mean_leaves_geometry_untested_and_is_derived_for_old_records() -> None:
    frame = study()
    assert outcome("C2", frame.assign(common_mean=0.05)) == SUPPORTED
    assert outcome("C2", frame.assign(common_mean=0.2)) == UNTESTED
    # Ten balanced classes: a tenth of all pairs is within a class.
    old = frame.assign(tolerance=0.4, interclass_similarity=0.2, tolerance_literal=0.04)
    state = alone("C1", old)["one"].preconditions["centred"]
    assert state["held"] is False
    assert "squared mean of 0.220" in state["reason"]
    # At 0.05, which the trends leave out, it may be what it is.
    low = frame.assign(common_mean=0.2 * (frame["temperature"] == 0.05))
    assert outcome("C2", low) == SUPPORTED


def test_a_verdict_that_still_changes_is_not_tested() -> None:
    frame = study()
    columns = ["dataset", "loss", "temperature", "seed", "uniformity", "tolerance"]
    end = frame[columns].assign(share=1.0)
    early = end.assign(share=0.5, uniformity=6.9 - end["uniformity"])
    frames = {"changing": [early, end], "settled": [end.assign(share=0.5), end], "one": [end]}
    found = {
        name: {(v.claim, v.dataset): v for v in judge(frame, along=pd.concat(parts))}
        for name, parts in frames.items()
    }
    assert found["changing"]["C1", "one"].verdict == UNTESTED
    assert "contradicted at the second-to-last checkpoint" in found["changing"]["C1", "one"].reason
    assert found["changing"]["C2", "one"].verdict == SUPPORTED
    assert found["settled"]["C1", "one"].preconditions["settled"]["held"] is True
    assert found["one"]["C1", "one"].preconditions["settled"]["held"] is None
    assert found["settled"]["C3", "one"].preconditions["settled"]["held"] is None


def test_c9_needs_a_positive_gap_and_c14_few_negatives() -> None:
    frame = study()
    nearer = frame.assign(positive_similarity=frame["positive_similarity"] - 1)
    assert outcome("C9", nearer) == UNTESTED
    many = shaped("contrastive", "effective_negatives", lambda t: 220 + t)(frame)
    assert outcome("C14", many) == UNTESTED
    assert "220 effective negatives at 0.05" in alone("C14", many)["one"].reason
