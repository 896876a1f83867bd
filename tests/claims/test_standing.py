"""Where a claim stands over several studies."""

from __future__ import annotations

import itertools

import pytest

from tausweep.claims.comparisons import OUTCOMES, Outcome
from tausweep.claims.standing import STANDINGS, standing
from tausweep.claims.verdicts import Verdict


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(claim="C1", dataset=None, verdict=outcome, rule="", numbers={}, reason="")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (("supported",), "holds"),
        (("supported", "undecided", "not tested"), "holds"),
        (("contradicted", "not measured"), "does not hold"),
        (("supported", "contradicted"), "studies disagree"),
        (("supported", "undecided", "contradicted"), "studies disagree"),
        (("undecided", "not tested", "not measured"), "open"),
        ((), "open"),
    ],
)
def test_what_studies_say_together(outcomes: tuple[Outcome, ...], expected: str) -> None:
    assert standing(map(verdict, outcomes)) == expected


def test_neither_order_nor_number_of_studies_counts() -> None:
    for several in itertools.combinations_with_replacement(OUTCOMES, 3):
        found = {standing(map(verdict, order)) for order in itertools.permutations(several)}
        assert found == {standing(map(verdict, dict.fromkeys(several)))}
        assert found <= {*STANDINGS}
