"""Hints without labels: what is picked, and what it cost on our own records."""

from pathlib import Path

import pandas as pd
import pytest

from tausweep.results import hints, records

MEASURED = Path(__file__).parents[2] / "benchmarks/measured"


def test_the_kept_number_is_what_the_kept_records_say() -> None:
    tables = [records.read_table(MEASURED / name / "records.csv") for name in hints.KEPT]
    found = hints.costs(tables)[hints.TOGETHER]
    kept = hints.MEASURED
    assert found.sets == kept.sets
    for name in ("least", "most", "mean", "blind"):
        assert getattr(kept, name) == pytest.approx(getattr(found, name), abs=0.005)
    assert f"{kept.most:.1f} points" in hints.reliability()


def test_each_measure_picks_its_best_and_together_the_best_mean_rank() -> None:
    means = pd.DataFrame(
        {"alignment": [0.1, 0.2, 0.3], "uniformity": [1.0, 3.0, 2.0], "rankme": [9.0, 30.0, 20.0]},
        index=[1.0, 0.2, 0.07],
    )
    assert hints.picks(means) == {
        "alignment": 1.0, "uniformity": 0.2, "rankme": 0.2, "together": 0.2,
    }  # fmt: skip


def test_the_cost_is_what_a_pick_loses_against_the_best() -> None:
    rows = [
        {"study": "s", "dataset": "d", "loss": "contrastive", "status": "complete", "seed": seed,
         "temperature": tau, "alignment": tau, "uniformity": -tau, "rankme": -tau,
         "linear_accuracy": 50.0 + 10 * tau + seed}
        for tau in (0.1, 1.0) for seed in (0, 1)
    ]  # fmt: skip
    found = hints.costs([pd.DataFrame(rows)])
    assert found["rankme"].most == found["rankme"].least == pytest.approx(9.0)
    assert found["together"].blind == pytest.approx(4.5)
