"""Every claim of the paper: the published numbers, records for it, against it, and neither."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from claim_records import (
    AGAINST,
    ALL,
    BORNE_OUT,
    CONTRADICTED,
    GRID,
    IDS,
    SUPPORTED,
    UNDECIDED,
    UNMEASURED,
    UNTESTED,
    Change,
    Shape,
    alone,
    constant,
    marked,
    shaped,
    study,
    verdicts,
    without,
)
from tausweep.claims import judging
from tausweep.claims.comparisons import Finding
from tausweep.claims.evidence import Evidence
from tausweep.claims.judging import CLAIMS, Verdict, judge, to_markdown
from tausweep.results import published


def noisy(loss: str, column: str, shape: Shape, size: float) -> Change:
    """As ``shaped``, with seeds that disagree by +size, 0 and -size in a fixed order."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = shaped(loss, column, shape)(frame)
        here = frame["loss"] == loss
        places = frame.loc[here, "temperature"].fillna(0).rank(method="dense")
        frame.loc[here, column] += size * ((frame.loc[here, "seed"] + places) % 3 - 1)
        return frame

    return change


@pytest.mark.parametrize("claim", IDS)
def test_published_numbers_get_the_verdicts_they_bear_out(
    claim: str, of_published: dict[tuple[str, str | None], Verdict]
) -> None:
    each, overall = BORNE_OUT[claim]
    assert {name: of_published[claim, name].verdict for name in ALL} == each
    assert of_published[claim, None].verdict == overall


@pytest.mark.parametrize("claim", ["C9", "C10", "C11", "C12a", "C12b", "C13", "C15", "C17"])
def test_what_nobody_published_is_not_measured_and_says_so(
    claim: str, of_published: dict[tuple[str, str | None], Verdict]
) -> None:
    for name in [*ALL, None]:
        assert of_published[claim, name].verdict == UNMEASURED
    words = ("was not measured", "measured at 0", "common temperature", "no nearest negative")
    assert any(word in of_published[claim, "svhn"].reason for word in words)


def test_a_difference_of_exactly_the_margin_is_no_noise(
    of_published: dict[tuple[str, str | None], Verdict],
) -> None:
    assert 95.02 - 94.17 < 0.85  # what float arithmetic makes of 0.85
    assert of_published["C6", "svhn"].numbers["beats_at_0.7"]["outcome"] == SUPPORTED


def test_published_numbers_appear_in_the_verdicts(
    of_published: dict[tuple[str, str | None], Verdict],
) -> None:
    differences = [of_published["C7", name].numbers["mean"] for name in ALL]
    assert differences == pytest.approx([8.44, 17.13, 27.01, 24.64])
    assert of_published["C3", "cifar10"].numbers["location"]["best_temperature"] == 0.2
    assert of_published["C14", "cifar10"].numbers["mean"] == pytest.approx(83.78 - 76.10)
    assert "the claim needs one of at most 0.05" in of_published["C14", "svhn"].reason


def test_split_of_c16_is_named(of_published: dict[tuple[str, str | None], Verdict]) -> None:
    overall = of_published["C16", None]
    assert overall.numbers["supported"] == ["cifar100", "imagenet100"]
    assert overall.numbers["undecided"] == ["cifar10", "svhn"]
    assert overall.reason == "supported: cifar100, imagenet100; undecided: cifar10, svhn"


def test_table_1_alone_gives_the_same_but_for_the_sweeps_c14() -> None:
    frame = published.records()
    alone = verdicts(frame[frame["uniformity"].notna()])
    both = verdicts(frame)
    differ = {
        claim for claim, name in both if both[claim, name].verdict != alone[claim, name].verdict
    }
    # C8 of ImageNet100 and so on stay; a grid without 0.2 still supports C3.
    assert differ == {"C14"}


NEITHER: dict[str, list[Change]] = {
    "C1": [
        noisy("contrastive", "uniformity", lambda t: 3.5, 0.3),
        shaped("contrastive", "uniformity", lambda t: 3.5 - t + (t == 0.7)),  # a clear step back
        without("contrastive", *GRID[2:]),
    ],
    "C2": [
        noisy("contrastive", "tolerance", lambda t: 0.2, 0.1),
        shaped("contrastive", "tolerance", lambda t: 0.1 + 0.3 * t - 0.3 * (t == 0.3)),
        without("contrastive", *GRID[2:]),
    ],
    "C3": [
        noisy("contrastive", "linear_accuracy", lambda t: 80, 2),
        # A plateau, highest at 0.3 by noise.
        shaped("contrastive", "linear_accuracy", lambda t: 80 + 0.3 * (t == 0.3)),
        # A little better at 0.5 than at 0.3, and not clearly.
        noisy("contrastive", "linear_accuracy", lambda t: 80 - 30 * abs(t - 0.42), 1),
        without("contrastive", 1.0, 0.7),
        without("contrastive", 0.1, 0.2, 0.3),
    ],
    "C4": [
        noisy("hard_contrastive", "uniformity", lambda t: 3.5, 0.4),
        # More uniform, and less varied, but not by far.
        shaped("hard_contrastive", "uniformity", lambda t: 4 - 0.7 * t),
        without("hard_contrastive"),
    ],
    "C5": [
        shaped("hard_contrastive", "tolerance", lambda t: 0.19),  # more below 0.5, less above
        without("hard_contrastive"),
    ],
    "C6": [
        noisy("hard_contrastive", "linear_accuracy", lambda t: 83, 2),
        without("hard_contrastive", 0.5, 0.7, 1.0),
        without("hard_contrastive", 0.05, 0.07, 0.1),
    ],
    "C7": [
        constant("simple", "linear_accuracy", 81),  # worse, not far
        noisy("simple", "linear_accuracy", lambda _: 79, 4),
        without("simple"),
    ],
    "C8": [noisy("hard_simple", "linear_accuracy", lambda _: 82, 2), without("hard_simple")],
    "C9": [
        noisy("contrastive", "positive_similarity", lambda t: 1 - 0.4 * math.exp(-2 * t), 0.3),
        constant("contrastive", "negative_similarity_7", math.nan),
    ],
    "C10": [
        # The ends rise, the curve does not.
        shaped("contrastive", "positive_similarity", lambda t: 0.9 - 0.3 * t + 0.4 * (t == 1)),
        constant("contrastive", "positive_similarity", math.nan),
    ],
    "C11": [
        constant("contrastive", "gradient_balance", math.nan),
        constant("contrastive", "entropy_rises", math.nan),
    ],
    "C12a": [constant("contrastive", "limit_high_error", math.nan)],
    "C12b": [
        without("nearest_negative"),
        without("untrained"),
        without("raw_pixels"),
        noisy(
            "nearest_negative", "linear_accuracy", lambda _: 30, 3
        ),  # a tenth above, give or take
    ],
    "C13": [constant("contrastive", "exchange_difference", math.nan)],
    "C14": [
        without("contrastive", 0.05),
        shaped("contrastive", "linear_accuracy", lambda t: 80 - 3 * abs(math.log(t / 0.2))),
    ],
    "C15": [
        shaped("hard_contrastive", "nearest_interclass_similarity", lambda t: 0.35),
        constant("hard_contrastive", "nearest_interclass_similarity", math.nan),
    ],
    "C16": [
        noisy("hard_contrastive", "tolerance", lambda t: 0.03, 0.004),
        shaped("hard_contrastive", "uniformity", lambda t: 4 - 0.7 * t),
        # A third of contrastive's spread, and a third is not stable.
        shaped("hard_contrastive", "uniformity", lambda t: 4 - 0.32 * t),
        without("contrastive"),
    ],
    "C17": [constant("contrastive", "interval_narrows", math.nan)],
}


@pytest.mark.parametrize("claim", IDS)
@pytest.mark.parametrize("seeds", [(0, 1, 2), (4,)])
def test_records_that_bear_a_claim_out_support_it(claim: str, seeds: tuple[int, ...]) -> None:
    found = alone(claim, study(seeds))
    assert found["one"].verdict == SUPPORTED, found["one"].reason
    assert found[None].verdict == SUPPORTED


def cases(table: dict[str, list[Change]]) -> list[object]:
    return [
        pytest.param(claim, change, id=f"{claim}-{number}")
        for claim in IDS
        for number, change in enumerate(table[claim])
    ]


@pytest.mark.parametrize(("claim", "change"), cases(AGAINST))
def test_records_clearly_against_a_claim_contradict_it(claim: str, change: Change) -> None:
    found = alone(claim, change(study()))
    assert found["one"].verdict == CONTRADICTED, found["one"].reason
    assert found[None].verdict == CONTRADICTED


@pytest.mark.parametrize(("claim", "change"), cases(NEITHER))
def test_noise_and_gaps_leave_a_claim_undecided(claim: str, change: Change) -> None:
    found = alone(claim, change(study()))
    assert found["one"].verdict in {UNDECIDED, UNTESTED, UNMEASURED}, found["one"].reason
    assert found["one"].reason


def test_other_claims_do_not_notice_a_diverged_run() -> None:
    before = verdicts(study())
    after = verdicts(marked("diverged", "simple", None, (0, 1, 2))(study()))
    assert {claim for claim, _ in before if before[claim, "one"] != after[claim, "one"]} == {"C7"}


def test_one_seed_within_the_margin_is_undecided_and_a_wider_margin_undoes_support() -> None:
    frame = study((0,))
    assert verdicts(frame)["C6", "one"].verdict == SUPPORTED
    assert verdicts(frame, margin=4.0)["C6", "one"].verdict == UNDECIDED
    assert verdicts(study(), margin=4.0)["C6", "one"].numbers["beats_at_1"]["n"] == 3


def test_common_seed_effects_cancel() -> None:
    frame = study()
    frame["linear_accuracy"] += 30 * (frame["seed"] - 1)
    assert {c: v.verdict for (c, d), v in verdicts(frame).items() if d} == dict.fromkeys(
        IDS, SUPPORTED
    )


def test_a_claim_is_added_by_one_function() -> None:
    def has_knn(e: Evidence) -> Finding:
        known = e.curve("hard_contrastive", "knn_accuracy", minimum=1)
        return Finding("undecided", known.problem)

    text, rule = "hard contrastive has a kNN accuracy", "Supported: it has."
    try:
        judging.claim("X1", text, reads="kNN accuracy", rule=rule, judge=has_knn)
        found = judge(study())
        assert found[-1].claim == "X1"
        assert "**X1** hard contrastive has a kNN accuracy" in to_markdown(found)
        with pytest.raises(ValueError, match="X1"):
            judging.claim("X1", "", reads="", rule="", judge=has_knn)
    finally:
        del CLAIMS["X1"]
    assert list(CLAIMS) == IDS
