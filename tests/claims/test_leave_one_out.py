"""A verdict that hangs on one seed says which."""

from __future__ import annotations

import pandas as pd
import pytest

from claim_records import UNDECIDED, marked, study
from tausweep.claims.judging import judge, to_csv, to_markdown
from tausweep.claims.leave_one_out import with_each_seed_left_out
from tausweep.claims.verdicts import Verdict, without_one_seed

SEEDS = (0, 1, 2, 3)


def rules(records: pd.DataFrame, along: pd.DataFrame | None) -> list[Verdict]:
    return judge(records, along=along)


def outcomes(verdicts: list[Verdict]) -> dict[tuple[str, str | None], str]:
    return {(v.claim, v.dataset): v.verdict for v in verdicts}


def one_seed_apart(shift: float) -> pd.DataFrame:
    """Records in which simple is as good as contrastive with seed 3 alone."""
    frame = study(SEEDS)
    here = (frame["loss"] == "simple") & (frame["seed"] == 3)
    frame.loc[here, "linear_accuracy"] += shift
    return frame


@pytest.fixture(scope="module")
def found() -> list[Verdict]:
    return with_each_seed_left_out(rules, one_seed_apart(14), None)


def test_each_is_what_the_rules_say_of_the_records_without_that_seed(
    found: list[Verdict],
) -> None:
    frame = one_seed_apart(14)
    assert outcomes(found) == outcomes(judge(frame))
    alone = outcomes(judge(frame[frame["seed"] != 3]))
    assert {(v.claim, v.dataset): v.without_seed["3"] for v in found} == alone


def test_a_verdict_that_hangs_on_a_seed_is_not_steady(found: list[Verdict]) -> None:
    overall = {v.claim: v for v in found if v.dataset is None}
    assert overall["C7"].verdict == UNDECIDED
    left_out = {"0": UNDECIDED, "1": UNDECIDED, "2": UNDECIDED, "3": "supported"}
    assert overall["C7"].without_seed == left_out
    assert overall["C7"].steady is False
    assert without_one_seed(overall["C7"]) == "supported without seed 3"
    assert overall["C1"].steady is True
    assert without_one_seed(overall["C1"]) == "same"
    table = to_markdown(found)
    row = next(line for line in table.splitlines() if line.startswith("| **C7**"))
    assert row.endswith("| supported without seed 3 |")
    assert "supported without seed 3\n" in to_csv(found)


def test_checkpoints_of_the_seed_are_left_out_too() -> None:
    seen: list[tuple[set[int], set[int]]] = []

    def judged(records: pd.DataFrame, along: pd.DataFrame | None) -> list[Verdict]:
        assert along is not None
        seen.append((set(records["seed"]), set(along["seed"])))
        return judge(records)

    frame = study((0, 1))
    with_each_seed_left_out(judged, frame, frame.assign(share=1.0))
    assert seen == [({0, 1}, {0, 1}), ({1}, {1}), ({0}, {0})]


@pytest.mark.parametrize("status", ["missing", "diverged"])
def test_a_seed_without_a_complete_run_is_not_left_out(status: str) -> None:
    frame = study((0, 1))
    frame.loc[frame["seed"] == 1, "status"] = status
    assert all(v.steady is None for v in with_each_seed_left_out(rules, frame, None))
    assert without_one_seed(with_each_seed_left_out(rules, frame, None)[0]) == ""


def test_a_diverged_run_decides_nothing_once_its_seed_is_left_out() -> None:
    frame = marked("diverged", "contrastive", 0.3, (2,))(study(SEEDS))
    found = {v.claim: v for v in with_each_seed_left_out(rules, frame, None)}
    assert found["C1"].verdict == UNDECIDED
    assert without_one_seed(found["C1"]) == "supported without seed 2"


def test_several_outcomes_are_listed_with_their_seeds() -> None:
    verdict = Verdict(
        claim="C1", dataset=None, verdict="supported", rule="", numbers={}, reason="",
        without_seed={"0": "not tested", "1": "contradicted", "2": "not tested", "3": "supported"},
    )  # fmt: skip
    assert without_one_seed(verdict, miniature=True) == (
        "not tested without seed 0 or 2; contradicted in the miniature without seed 1"
    )


def test_a_dataset_of_one_seed_is_not_measured_without_it() -> None:
    frame = pd.concat([study((0, 1)), study((0,), ("other",))], ignore_index=True)
    found = {(v.claim, v.dataset): v for v in with_each_seed_left_out(rules, frame, None)}
    assert found["C1", "other"].without_seed["0"] == "not measured"
