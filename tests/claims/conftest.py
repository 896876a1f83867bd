"""Verdicts of the published numbers, which the tests of several modules read."""

from __future__ import annotations

import pytest

from claim_records import verdicts
from tausweep.claims.judging import Verdict
from tausweep.results import published


@pytest.fixture(scope="session")
def of_published() -> dict[tuple[str, str | None], Verdict]:
    return verdicts(published.records())
