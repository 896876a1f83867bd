"""The verdict engine: published numbers, records for and against every claim, noise and gaps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from tausweep.claims import judging
from tausweep.claims import verdicts as verdict_shapes
from tausweep.claims.comparisons import Finding, clearly, difference, mostly, together
from tausweep.claims.evidence import Evidence, Reading, nearest
from tausweep.claims.judging import CLAIMS, Verdict, judge, to_json, to_markdown
from tausweep.claims.verdicts import judge_each
from tausweep.results import published, records
from tausweep.results.intervals import MARGINS, Noise, PairedSummary, paired

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
UNTESTED, UNMEASURED = "not tested", "not measured"
GRID = (0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
IDS = [*(f"C{n}" for n in range(1, 12)), "C12a", "C12b", *(f"C{n}" for n in range(13, 18))]
Shape = Callable[[float], float]
Change = Callable[[pd.DataFrame], pd.DataFrame]


# Synthetic records that bear out every claim -----------------------------------------------------

ACCURACY = {
    "contrastive": (74, 78, 80, 83, 84, 83, 82, 80),
    "hard_contrastive": (75, 79, 81, 83.5, 84.5, 85, 85, 85),
}
ALONE = {"simple": 70.0, "hard_simple": 84.0, "nearest_negative": 25.0}
ALONE |= {"untrained": 24.0, "raw_pixels": 23.0}
GEOMETRY: dict[tuple[str, str], Shape] = {
    ("contrastive", "uniformity"): lambda t: 3.95 - t,
    ("hard_contrastive", "uniformity"): lambda t: 3.96 - 0.03 * t,
    ("contrastive", "tolerance"): lambda t: 0.05 + 0.35 * t,
    ("hard_contrastive", "tolerance"): lambda t: 0.02 + 0.12 * t,
    ("contrastive", "interclass_similarity"): lambda t: 0.02 + 0.3 * t,
    ("hard_contrastive", "interclass_similarity"): lambda t: 0.01 + 0.05 * t,
    ("contrastive", "nearest_interclass_similarity"): lambda t: 0.2 + 0.4 * t,
    ("hard_contrastive", "nearest_interclass_similarity"): lambda t: 0.1 + 0.1 * t,
    ("contrastive", "effective_negatives"): lambda t: 40 * t,
    ("contrastive", "positive_similarity"): lambda t: 1 - 0.4 * math.exp(-2 * t),
}
PENALTY = {
    "gradient_balance": 1e-9,
    "exchange_difference": 1e-13,
    "entropy_rises": 1.0,
    "interval_narrows": 1.0,
    "limit_low_error": 1e-4,
    "limit_high_error": 1e-4,
}


def jitter(seed: int, place: object, scale: float) -> float:
    return float(scale * np.random.default_rng([seed, *map(ord, str(place))]).uniform(-1, 1))


def row(dataset: str, loss: str, tau: float | None, seed: int) -> dict[str, object]:
    accuracy = ALONE[loss] if tau is None else ACCURACY[loss][GRID.index(tau)]
    found: dict[str, object] = {
        "study": "synthetic",
        "dataset": dataset,
        "loss": loss,
        "temperature": math.nan if tau is None else tau,
        "seed": seed,
        "status": "complete",
        "linear_accuracy": accuracy + jitter(seed, "common", 2.0) + jitter(seed, (loss, tau), 0.2),
        **PENALTY,
    }
    for (name, column), shape in GEOMETRY.items():
        if name == loss and tau is not None:
            found[column] = shape(tau) + jitter(seed, (loss, tau, column), 0.001)
    if "positive_similarity" in found and tau is not None:
        for k in range(1, 11):
            gap = 0.3 * math.exp(-2 * tau) + 0.01 * k
            found[f"negative_similarity_{k}"] = float(str(found["positive_similarity"])) - gap
    return found


def study(seeds: tuple[int, ...] = (0, 1, 2), datasets: tuple[str, ...] = ("one",)) -> pd.DataFrame:
    cells = [(loss, tau) for loss in ACCURACY for tau in GRID] + [(loss, None) for loss in ALONE]
    return pd.DataFrame(
        [row(d, loss, tau, s) for d in datasets for loss, tau in cells for s in seeds]
    )


def shaped(loss: str, column: str, shape: Shape) -> Change:
    """The records with a column of a loss following another shape over tau."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.copy()
        here = frame["loss"] == loss
        frame.loc[here, column] = [
            shape(t) + jitter(s, (loss, t, column), 0.001)
            for t, s in zip(frame.loc[here, "temperature"], frame.loc[here, "seed"], strict=True)
        ]
        return frame

    return change


def constant(loss: str, column: str, value: float) -> Change:
    return shaped(loss, column, lambda _: value)


def noisy(loss: str, column: str, shape: Shape, size: float) -> Change:
    """As ``shaped``, with seeds that disagree by +size, 0 and -size in a fixed order."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = shaped(loss, column, shape)(frame)
        here = frame["loss"] == loss
        places = frame.loc[here, "temperature"].fillna(0).rank(method="dense")
        frame.loc[here, column] += size * ((frame.loc[here, "seed"] + places) % 3 - 1)
        return frame

    return change


def without(loss: str, *temperatures: float) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        gone = frame["loss"] == loss
        if temperatures:
            gone &= frame["temperature"].isin(temperatures)
        assert gone.any()
        return frame[~gone]

    return change


def marked(status: str, loss: str, temperature: float | None, seeds: tuple[int, ...]) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.copy()
        here = (frame["loss"] == loss) & frame["seed"].isin(seeds)
        here &= (
            frame["temperature"].isna()
            if temperature is None
            else (frame["temperature"] == temperature)
        )
        assert here.any()
        frame.loc[here, "status"] = status
        frame.loc[here, frame.columns[6:]] = math.nan
        return frame

    return change


def verdicts(frame: pd.DataFrame, **options: Any) -> dict[tuple[str, str | None], Verdict]:
    return {(v.claim, v.dataset): v for v in judge(frame, run_noise=True, **options)}


def alone(claim: str, frame: pd.DataFrame) -> dict[str | None, Verdict]:
    """Verdicts of one claim, by dataset: ``judge`` without the other sixteen."""
    datasets = {
        str(name): Evidence(rows, MARGINS, one_run=True) for name, rows in frame.groupby("dataset")
    }
    return {v.dataset: v for v in judge_each([CLAIMS[claim]], datasets)}


def outcome(claim: str, frame: pd.DataFrame) -> str:
    return alone(claim, frame)["one"].verdict


# The published numbers ---------------------------------------------------------------------------

ALL = dict.fromkeys(["cifar10", "cifar100", "imagenet100", "svhn"], SUPPORTED)
NONE = dict.fromkeys(ALL, UNMEASURED)
BORNE_OUT: dict[str, tuple[dict[str, str], str]] = {
    # Uniformity 3.86 > 3.60 > 3.17 > 2.96 (CIFAR10) and so on, every step downwards, all datasets.
    "C1": (ALL, SUPPORTED),
    # Tolerance 0.04 < 0.178 < 0.333 < 0.372 and so on; the ends differ by 0.165 (SVHN) or more.
    "C2": (ALL, SUPPORTED),
    # Best at 0.2 (83.78, CIFAR10) or 0.3; 0.07 is 2.92 or more below, 1.0 is 1.57 or more below.
    "C3": (ALL, SUPPORTED),
    # Equal within noise at 0.07 (0.01 to 0.02), 0.24 or more apart at the other three; spreads of
    # 0.009 to 0.03 against 0.83 to 0.90.
    "C4": (ALL, SUPPORTED),
    # At 0.07 0.006 (CIFAR10) and 0.007 (SVHN) are noise, 0.012 and 0.026 are not; 0.116 or more
    # elsewhere.
    "C5": (ALL, SUPPORTED),
    # 2.97 or more over 0.07; over contrastive 1.98 or more at 1.0, at 0.7 1.50, 6.55, 5.67 and on
    # SVHN 95.02 - 94.17 = 0.85, the margin itself.
    "C6": (ALL, SUPPORTED),
    # 8.44, 17.13, 27.01, 24.64 points.
    "C7": (ALL, SUPPORTED),
    # +1.57, -0.73, -0.79, -0.48 points: with one run's noise not below -2.
    "C8": (ALL, SUPPORTED),
    # Not published as numbers.
    "C9": (NONE, UNMEASURED),
    "C10": (NONE, UNMEASURED),
    "C11": (NONE, UNMEASURED),
    "C12a": (NONE, UNMEASURED),
    "C12b": (NONE, UNMEASURED),
    "C13": (NONE, UNMEASURED),
    # 83.78 - 76.10 = 7.68, 56.44 - 49.80 = 6.64; SVHN and ImageNet100 were not run at 0.05.
    "C14": (
        dict.fromkeys(ALL, UNTESTED) | {"cifar10": SUPPORTED, "cifar100": SUPPORTED},
        SUPPORTED,
    ),
    "C15": (NONE, UNMEASURED),
    # Tolerance 0.088 -> 0.172 and 0.067 -> 0.134 rises; 0.034 -> 0.030 and 0.025 -> 0.023 does not,
    # yet falls by less than the noise.
    "C16": (
        dict.fromkeys(ALL, UNDECIDED) | {"cifar100": SUPPORTED, "imagenet100": SUPPORTED},
        UNDECIDED,
    ),
    "C17": (NONE, UNMEASURED),
}


@pytest.fixture(scope="module")
def of_published() -> dict[tuple[str, str | None], Verdict]:
    return verdicts(published.records())


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


# Every claim: supported, contradicted, undecided -------------------------------------------------

AGAINST: dict[str, list[Change]] = {
    "C1": [shaped("contrastive", "uniformity", lambda t: 2.9 + t)],
    "C2": [shaped("contrastive", "tolerance", lambda t: 0.5 - 0.3 * t)],
    "C3": [
        shaped("contrastive", "linear_accuracy", lambda t: 70 + 10 * t),
        shaped("contrastive", "linear_accuracy", lambda t: 85 - 10 * t),
        shaped("contrastive", "linear_accuracy", lambda t: 80 - 20 * abs(t - 0.7)),
    ],
    "C4": [
        shaped("hard_contrastive", "uniformity", lambda t: 3.7 - t),
        shaped("hard_contrastive", "uniformity", lambda t: 3.96 - 2.5 * (t == 0.5)),
    ],
    "C5": [shaped("hard_contrastive", "tolerance", lambda t: 0.1 + 0.4 * t)],
    "C6": [
        shaped("hard_contrastive", "linear_accuracy", lambda t: 90 - 4 * t),
        shaped("contrastive", "linear_accuracy", lambda t: 90 + t),
    ],
    "C7": [constant("simple", "linear_accuracy", 88)],
    "C8": [constant("hard_simple", "linear_accuracy", 75)],
    "C9": [shaped("contrastive", "positive_similarity", lambda t: 1 + t)],
    "C10": [shaped("contrastive", "positive_similarity", lambda t: 0.9 - 0.3 * t)],
    "C11": [
        constant("contrastive", "gradient_balance", 0.2),
        constant("contrastive", "entropy_rises", 0.6),
    ],
    "C12a": [
        constant("contrastive", "limit_low_error", 0.3),
        constant("contrastive", "limit_high_error", 0.3),
    ],
    "C12b": [
        constant("nearest_negative", "linear_accuracy", 86),
        constant("nearest_negative", "linear_accuracy", 81),  # useful, if worse
    ],
    "C13": [constant("contrastive", "exchange_difference", 0.5)],
    "C14": [shaped("contrastive", "linear_accuracy", lambda t: 85 - 3 * t - (t > 0.05))],
    "C15": [shaped("hard_contrastive", "nearest_interclass_similarity", lambda t: 0.3 + 0.5 * t)],
    "C16": [
        shaped("hard_contrastive", "tolerance", lambda t: 0.2 - 0.1 * t),
        shaped("hard_contrastive", "uniformity", lambda t: 3.96 - 1.2 * t),
    ],
    "C17": [constant("contrastive", "interval_narrows", 0.4)],
}
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


@pytest.mark.parametrize("claim", ["C11", "C12a", "C13", "C17"])
def test_identities_without_a_complete_run_are_undecided_and_count(claim: str) -> None:
    frame = study()
    here = frame["loss"] == "contrastive"
    frame.loc[here, "status"] = "failed"
    frame.loc[here, list(PENALTY)] = math.nan
    found = alone(claim, frame)["one"]
    assert found.verdict == UNDECIDED


@pytest.mark.parametrize("claim", ["C11", "C13", "C17"])
def test_identities_are_judged_on_the_runs_that_did_not_diverge(claim: str) -> None:
    frame = marked("diverged", "contrastive", 0.05, (0, 1))(study())
    found = alone(claim, frame)["one"]
    assert found.verdict == SUPPORTED
    assert "22 of 24 runs (2 diverged)" in found.reason


IDENTITIES = {
    "C11": "gradient_balance",
    "C12a": "limit_high_error",
    "C13": "exchange_difference",
    "C17": "interval_narrows",
}


@pytest.mark.parametrize(("claim", "column"), IDENTITIES.items())
def test_a_complete_run_without_its_number_leaves_an_identity_undecided(
    claim: str, column: str
) -> None:
    frame = study()
    one = (frame["loss"] == "contrastive") & (frame["temperature"] == 0.3) & (frame["seed"] == 1)
    frame.loc[one, column] = math.nan
    found = alone(claim, frame)["one"]
    assert found.verdict == UNDECIDED
    assert "is unknown in 1 of 24 complete runs" in found.reason


@pytest.mark.parametrize("claim", ["C11", "C13", "C17"])
@pytest.mark.parametrize(("gone", "expected"), [(12, SUPPORTED), (13, UNDECIDED)])
def test_fewer_than_half_of_the_runs_decide_no_identity(
    claim: str, gone: int, expected: str
) -> None:
    frame = study()
    here = frame.index[frame["loss"] == "contrastive"][:gone]
    frame.loc[here, "status"] = "missing"
    frame.loc[here, list(PENALTY)] = math.nan
    found = alone(claim, frame)["one"]
    assert found.verdict == expected
    assert f"{24 - gone} of 24 runs ({gone} missing)" in found.reason


@pytest.mark.parametrize("claim", READS)
def test_a_missing_seed_lowers_n_and_is_counted(claim: str) -> None:
    frame = marked("missing", *READS[claim], (2,))(study((0, 1, 2, 3, 4)))
    found = alone(claim, frame)["one"]
    assert found.verdict == SUPPORTED, found.reason
    assert '"n": 4' in json.dumps(found.numbers)


def test_other_claims_do_not_notice_a_diverged_run() -> None:
    before = verdicts(study())
    after = verdicts(marked("diverged", "simple", None, (0, 1, 2))(study()))
    assert {claim for claim, _ in before if before[claim, "one"] != after[claim, "one"]} == {"C7"}


def test_one_seed_within_the_margin_is_undecided_and_a_wider_margin_undoes_support() -> None:
    frame = study((0,))
    assert verdicts(frame)["C6", "one"].verdict == SUPPORTED
    assert verdicts(frame, margin=4.0)["C6", "one"].verdict == UNDECIDED
    assert verdicts(study(), margin=4.0)["C6", "one"].numbers["beats_at_1"]["n"] == 3


@given(st.integers(2, 9), st.floats(0.01, 2), st.floats(0, 4))
def test_tied_seeds_decide_from_the_margin_over_root_n_on(
    n: int, margin: float, mean: float
) -> None:
    gap = PairedSummary(mean, 0.0, n, 0.0)
    assert (clearly(gap, Noise(margin)) != UNDECIDED) == (mean >= margin / math.sqrt(n) - 1e-9)


@pytest.mark.parametrize(("claim", "column"), [("C1", "uniformity"), ("C2", "tolerance")])
def test_a_mean_step_against_the_trend_blocks_support_though_seeds_disagree_on_it(
    claim: str, column: str
) -> None:
    means = dict(zip((0.07, 0.3, 0.7, 1.0), (3.03, 3.85, 3.13, 1.51), strict=True))
    sign = 1 if claim == "C1" else -1
    frame = study()
    frame = frame[(frame["loss"] == "contrastive") & frame["temperature"].isin(means)].copy()
    # The seeds scatter at 0.3 alone, by so much that the step to it is not clearly upwards.
    scatter = (frame["seed"] - 1) * (frame["temperature"] == 0.3) * 0.6
    frame[column] = sign * (frame["temperature"].map(means) + scatter)
    found = alone(claim, frame)["one"]
    assert found.numbers["change"]["n"] == 3
    assert found.numbers["steps_against"] == ["0.07 to 0.3"]
    assert found.verdict == UNDECIDED
    assert "against the trend by the margin or more from 0.07 to 0.3" in found.reason


def test_common_seed_effects_cancel() -> None:
    frame = study()
    frame["linear_accuracy"] += 30 * (frame["seed"] - 1)
    assert {c: v.verdict for (c, d), v in verdicts(frame).items() if d} == dict.fromkeys(
        IDS, SUPPORTED
    )


# C3 and grids ------------------------------------------------------------------------------------


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


def test_a_grid_without_anything_near_is_undecided_and_says_what_there_is() -> None:
    frame = study()
    far = frame["temperature"].isna() | frame["temperature"].isin([0.05, 0.07, 0.7, 1.0])
    found = verdicts(frame[far])["C3", "one"]
    assert found.verdict == UNTESTED
    assert "0.05, 0.07, 0.7, 1.0" in found.reason


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
    assert nearest(grid, asked) == found


def test_wavering_within_noise_is_still_a_reverse_u() -> None:
    # The author's CIFAR10 row rises again from 0.5 to 0.6 by 0.43 points.
    frame = published.records()
    row = frame[(frame["dataset"] == "cifar10") & (frame["loss"] == "contrastive")]
    accuracy = row.set_index("temperature")["linear_accuracy"]
    assert accuracy[0.6] > accuracy[0.5]
    assert verdicts(frame)["C3", "cifar10"].verdict == SUPPORTED


def test_temperatures_within_noise_of_the_best_are_named(
    of_published: dict[tuple[str, str | None], Verdict],
) -> None:
    found = of_published["C3", "cifar10"]
    # 83.78 at 0.2 against 83.27, 83.22 and 82.97: less than 0.85 apart.
    assert found.numbers["location"]["within_noise"] == [0.3, 0.4, 0.6]
    assert "within noise of it: 0.3 (+0.51 (1)), 0.4 (+0.56 (1)), 0.6 (+0.81 (1))" in found.reason
    assert "best at 0.2 (within noise: 0.3, 0.4, 0.6)" in found.headline


def test_a_comparison_of_two_cells_takes_every_seed_that_both_have() -> None:
    # A run that failed at 0.5 leaves the seed in comparisons that do not read 0.5.
    frame = marked("failed", "contrastive", 0.5, (3,))(study((0, 1, 2, 3)))
    found = {claim: alone(claim, frame)["one"] for claim in ("C3", "C10", "C12b", "C14")}
    assert found["C3"].numbers["above_low"]["n"] == 4
    assert found["C10"].numbers["change"]["n"] == 3
    assert found["C12b"].numbers["far_below"]["n"] == 4
    assert found["C14"].numbers["n"] == 4
    assert {verdict.verdict for verdict in found.values()} == {SUPPORTED}


def test_the_better_baseline_is_held_against_nearest_negative() -> None:
    frame = study()
    assert outcome("C12b", frame) == SUPPORTED
    for floors in (["untrained"], ["raw_pixels"], ["untrained", "raw_pixels"]):
        less = frame.assign(
            linear_accuracy=frame["linear_accuracy"] - 15 * frame["loss"].isin(floors)
        )
        expected = CONTRADICTED if len(floors) == 2 else SUPPORTED
        assert outcome("C12b", less) == expected


# Preconditions -----------------------------------------------------------------------------------

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


def test_a_grid_without_a_named_temperature_cannot_contradict_the_reverse_u() -> None:
    falls = shaped("contrastive", "linear_accuracy", lambda t: 85 - 10 * t)(study())
    assert outcome("C3", falls) == CONTRADICTED
    for gone in (0.2, 0.3):
        found = alone("C3", without("contrastive", gone)(falls))["one"]
        assert found.verdict == UNTESTED
        assert f"the grid lacks {gone:g}" in found.reason
    # A reverse U that peaks at 0.2 is not against the claim, with 0.2 measured or without.
    peak = shaped("contrastive", "linear_accuracy", lambda t: 85 - 4 * abs(math.log(t / 0.2)))
    assert outcome("C3", peak(study())) == SUPPORTED
    assert outcome("C3", without("contrastive", 0.2)(peak(study()))) != CONTRADICTED


def test_c9_needs_a_positive_gap_and_c14_few_negatives() -> None:
    frame = study()
    nearer = frame.assign(positive_similarity=frame["positive_similarity"] - 1)
    assert outcome("C9", nearer) == UNTESTED
    many = shaped("contrastive", "effective_negatives", lambda t: 220 + t)(frame)
    assert outcome("C14", many) == UNTESTED
    assert "220 effective negatives at 0.05" in alone("C14", many)["one"].reason


def test_the_end_points_alone_contradict_no_trend() -> None:
    # 0.07 fell out of line; without it the curve falls as claimed.
    ends = shaped("contrastive", "uniformity", lambda t: 3.9 - t if t > 0.08 else 2.5)
    found = alone("C1", ends(study()))["one"]
    assert found.verdict == UNDECIDED


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


def clusters(tolerance: float, dimensions: int, rng: np.random.Generator) -> dict[str, float]:
    """Ten classes about centres that sum to 0, with a tolerance, and the measures of C15."""
    centres = np.linalg.qr(rng.normal(size=(dimensions, 10)))[0].T
    centres -= centres.mean(axis=0)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.arange(500) % 10
    around = rng.normal(size=(500, dimensions))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    x = math.sqrt(tolerance) * centres[labels] + math.sqrt(1 - tolerance) * around
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    s = x @ x.T
    same = labels[:, None] == labels
    others = np.where(same, -np.inf, s)
    return {
        "tolerance": float(s[same & ~np.eye(500, dtype=bool)].mean()),
        "interclass_similarity": float(s[~same].mean()),
        "nearest_interclass_similarity": float(np.sort(others, axis=1)[:, -10:].mean()),
    }


def test_c15_is_borne_out_by_embeddings_with_the_tolerances_of_table_1() -> None:
    """The plain mean would call the same embeddings against it."""
    table1 = {
        "contrastive": {0.07: (0.04, 57), 0.3: (0.178, 24), 0.7: (0.333, 13), 1.0: (0.372, 12)},
        "hard_contrastive": dict.fromkeys((0.07, 0.3, 0.7, 1.0), (0.03, 100)),
    }
    rows = [
        row("one", loss, t, seed) | clusters(*cell, np.random.default_rng([seed, int(100 * t)]))
        for loss, cells in table1.items()
        for t, cell in cells.items()
        for seed in range(3)
    ]
    found = alone("C15", pd.DataFrame(rows))["one"]
    assert found.verdict == SUPPORTED, found.reason
    assert "shown but not judged" in found.reason
    plain = pd.DataFrame(rows).groupby("loss")["interclass_similarity"].mean()
    assert plain["hard_contrastive"] > plain["contrastive"]


def test_a_miniature_contradicts_nothing_but_in_the_miniature() -> None:
    found = judge(AGAINST["C7"][0](study()))
    text = to_markdown(found, miniature=True)
    assert text.count("contradicted in the miniature") >= 2
    assert "### C7: contradicted in the miniature" in text
    assert "### C7: contradicted\n" in to_markdown(found)
    said = verdict_shapes.headline(found, "digits", 3, miniature=True)
    assert said == (
        "In a miniature of Wang & Liu (2021) on digits with 3 seeds, 13 of the paper's 14 "
        "empirical claims were supported, 1 contradicted in the miniature and none left undecided. "
        "A miniature cannot settle what happens at the paper's own scale. The implementation "
        "passes 4 of 4 identity checks."
    )


# Comparisons -------------------------------------------------------------------------------------

small = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 3))


@given(st.lists(st.tuples(small, small), min_size=1, max_size=5), st.floats(0, 2), small)
def test_no_evidence_speaks_for_both_sides(
    pairs: list[tuple[float, float]], margin: float, threshold: float
) -> None:
    a, b = pd.Series([p[0] for p in pairs]), pd.Series([p[1] for p in pairs])
    noise = Noise(margin, one_run=True)
    there = clearly(paired(a, b), noise, threshold)
    back = clearly(paired(b, a), noise, -threshold)
    turned = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED, UNDECIDED: UNDECIDED}
    assert back == turned[there]


@given(small, st.floats(0.01, 2))
def test_one_seed_is_decided_exactly_from_the_margin_on(mean: float, margin: float) -> None:
    found = clearly(PairedSummary(mean, None, 1, None), Noise(margin, one_run=True))
    assert (found != UNDECIDED) == (abs(mean) >= margin - 1e-9)


def test_no_common_seed_is_undecided() -> None:
    a, b = Reading("a", pd.Series({0: 1.0})), Reading("b", pd.Series({1: 0.0}))
    assert difference(a, b, Noise(0.1)).outcome == UNDECIDED
    assert "no seed in common" in difference(a, b, Noise(0.1)).reason


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("sss", SUPPORTED),
        ("ssu", SUPPORTED),
        ("suu", UNDECIDED),
        ("su", UNDECIDED),
        ("sssc", UNDECIDED),
        ("sccc", UNDECIDED),
        ("ccu", CONTRADICTED),
        ("cuu", UNDECIDED),
        ("uuu", UNDECIDED),
    ],
)
def test_mostly_needs_more_than_half_and_nothing_against(outcomes: str, expected: str) -> None:
    named = {"s": SUPPORTED, "c": CONTRADICTED, "u": UNDECIDED}
    parts = {float(i): Finding(named[o], "", "", {"n": 1}) for i, o in enumerate(outcomes)}  # type: ignore[arg-type]
    assert mostly(parts, "x").outcome == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [("ss", SUPPORTED), ("su", UNDECIDED), ("sc", CONTRADICTED), ("uc", CONTRADICTED)],
)
def test_together_all_parts_are_needed_and_one_can_refute(outcomes: str, expected: str) -> None:
    named = {"s": SUPPORTED, "c": CONTRADICTED, "u": UNDECIDED}
    parts = {str(i): Finding(named[o], "", "", {"n": 1}) for i, o in enumerate(outcomes)}  # type: ignore[arg-type]
    assert together(parts).outcome == expected


# Overall -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("ss", SUPPORTED),
        ("s-", SUPPORTED),
        ("su", UNDECIDED),
        ("sc", UNDECIDED),
        ("cu", UNDECIDED),
        ("cc", CONTRADICTED),
        ("c-", CONTRADICTED),
        ("uu", UNDECIDED),
        ("--", UNMEASURED),
    ],
)
def test_overall_follows_from_the_datasets_that_count(kinds: str, expected: str) -> None:
    makes: dict[str, Change] = {
        "s": lambda frame: frame,
        "c": constant("simple", "linear_accuracy", 90),
        "u": constant("simple", "linear_accuracy", 82),
        "-": without("simple"),
    }
    frame = pd.concat([makes[kind](study(datasets=(f"d{i}",))) for i, kind in enumerate(kinds)])
    assert alone("C7", frame)[None].verdict == expected


# Whatever the order, the noise, the file ---------------------------------------------------------


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
    frame = published.records()[lambda f: f["dataset"].isin(["cifar100", "svhn"])].copy()
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


def test_a_collapsed_run_is_no_evidence_for_or_against_a_claim() -> None:
    frame = study().assign(collapsed=0.0)
    before = verdicts(frame)
    lowest = (frame["loss"] == "contrastive") & (frame["temperature"] == 0.07)
    frame.loc[lowest & (frame["seed"] == 0), ["collapsed", "uniformity"]] = 1.0, 0.0
    after = verdicts(frame)
    assert before["C1", "one"].verdict == SUPPORTED
    assert after["C1", "one"].verdict == UNTESTED
    assert "contrastive at 0.07 collapsed (seed 0)" in after["C1", "one"].reason


def test_records_read_back_from_their_file_give_the_same_verdicts(tmp_path: Path) -> None:
    frame = marked("diverged", "contrastive", 0.05, (1,))(study())
    path = tmp_path / "records.csv"
    rows = frame.assign(data_digest="", settings_digest="", code_version="", device="cpu")
    path.write_text(records.table(rows.to_dict("records")), encoding="utf-8")
    assert to_json(judge(records.read_table(path))) == to_json(judge(frame))


def test_booleans_of_a_file_with_gaps_are_read() -> None:
    frame = study()
    frame["entropy_rises"] = frame["entropy_rises"].astype(object)
    frame.loc[frame["loss"] == "contrastive", "entropy_rises"] = "True"
    assert outcome("C11", frame) == SUPPORTED


# What is refused ---------------------------------------------------------------------------------


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


# How it is written down --------------------------------------------------------------------------


def test_json_is_canonical_and_complete() -> None:
    text = to_json(judge(published.records(), run_noise=True))
    objects = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert text == json.dumps(objects, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert len(objects) == 18 * 5
    for entry in objects:
        assert entry["verdict"] in {SUPPORTED, CONTRADICTED, UNDECIDED, UNTESTED, UNMEASURED}
        assert entry["rule"]
        assert entry["reason"]
        assert entry["text"] == CLAIMS[entry["claim"]].text


def test_infinite_measures_stay_json() -> None:
    frame = study()
    frame.loc[frame["loss"] == "contrastive", "gradient_balance"] = math.inf
    assert outcome("C11", frame) == CONTRADICTED
    json.loads(to_json(judge(frame)), parse_constant=lambda name: pytest.fail(name))


def test_markdown_has_one_row_a_claim_with_every_dataset_and_its_numbers() -> None:
    text = judging.published_verdicts()
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count(" | ") for line in table} == {5}
    assert table[0] == "| claim | cifar10 | cifar100 | imagenet100 | svhn | overall |"
    assert [line.split("**")[1] for line in table[2:]] == IDS
    row = next(line for line in table if line.startswith("| **C7**"))
    for number in ("+8.44", "+17.13", "+27.01", "+24.64"):
        assert f"supported<br>{number} (1)" in row
    for claim in CLAIMS.values():
        assert claim.said in text


def test_markdown_states_the_margins_and_where_they_come_from() -> None:
    text = judging.published_verdicts()
    for number in ("0.85 points of accuracy", "0.04 of uniformity", "0.01 of tolerance"):
        assert number in judging.CLEARLY
        assert text.count(number) == 2
    assert "CIFAR10 and SVHN, which show no trend" in text
    assert "the very rows in which C16 is undecided" in text


def test_the_page_explains_clearly_once() -> None:
    assert judging.published_verdicts().count(judging.CLEARLY) == 1
    assert not any(judging.CLEARLY in claim.said for claim in CLAIMS.values())


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
