"""What stands behind the records is made again for its own reasons only, and all can be read."""

from __future__ import annotations

import copy
import stat
from pathlib import Path

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


def test_every_result_has_the_mode_that_the_umask_gives(finished: Checkout, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    wanted = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    found = [path for path in (finished.folder / "results").rglob("*") if path.is_file()]
    assert {"embeddings.safetensors", "records.csv"} <= {path.name for path in found}
    assert not [p for p in found if stat.S_IMODE(p.stat().st_mode) != wanted]
