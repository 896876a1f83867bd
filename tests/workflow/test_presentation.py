"""What stands behind the records is made again for its own reasons only."""

from __future__ import annotations

import copy

import pytest
from checkout import TINY, Checkout, DryRuns, jobs_of


@pytest.mark.slow
def test_changed_style_redraws_figures_and_report_and_changed_records_all(
    checkout: Checkout, dry: DryRuns
) -> None:
    checkout.complete("--cores", "2")
    assert jobs_of(dry(checkout)) == set()
    study = copy.deepcopy(TINY)
    study["figures"] = {"dpi": 100}
    checkout.write_study(study)
    assert jobs_of(dry(checkout)) == {"figures", "report", "all"}
    checkout.write_study(TINY)
    table = checkout.folder / "results/tiny/records.csv"
    table.write_text(table.read_text() + "\n")
    planned = jobs_of(dry(checkout))
    assert planned == {"tables", "figures", "claims", "report", "all"}
