"""Synthetic records that bear out every claim, ways to change them, and their verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tausweep.claims.evidence import Evidence
from tausweep.claims.judging import CLAIMS, Verdict, judge
from tausweep.claims.verdicts import judge_each
from tausweep.results.intervals import MARGINS

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"

UNTESTED, UNMEASURED = "not tested", "not measured"

GRID = (0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)

IDS = [*(f"C{n}" for n in range(1, 12)), "C12a", "C12b", *(f"C{n}" for n in range(13, 18))]

Shape = Callable[[float], float]

Change = Callable[[pd.DataFrame], pd.DataFrame]

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
