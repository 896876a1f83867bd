"""Where a claim stands over several studies, which may differ in data, size and training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tausweep.claims.verdicts import Verdict

Standing = Literal["holds", "does not hold", "studies disagree", "open"]

STANDINGS: dict[Standing, str] = {
    "holds": "at least one study supports the claim and none contradicts it",
    "does not hold": "at least one study contradicts the claim and none supports it",
    "studies disagree": "one study supports the claim and another contradicts it",
    "open": "no study supports or contradicts the claim",
}
"""What each means."""


def standing(verdicts: Iterable[Verdict]) -> Standing:
    """Where a claim stands; studies that did not judge it do not count.

    This is no vote, and it weighs nothing: the verdicts themselves say how certain each study is.

    Args:
        verdicts: The overall verdict of each study on the claim.
    """
    found = {verdict.verdict for verdict in verdicts}
    if {"supported", "contradicted"} <= found:
        return "studies disagree"
    if "supported" in found:
        return "holds"
    return "does not hold" if "contradicted" in found else "open"
