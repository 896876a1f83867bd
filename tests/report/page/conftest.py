"""A report page that the tests of its parts share."""

from __future__ import annotations

import pytest

from report_page import make_exhibits, page_of, records_of, study_of


@pytest.fixture(scope="session")
def complete(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("complete")
    study = study_of()
    frame = records_of(study)
    make_exhibits(root / "synthetic", frame)
    return page_of(study, frame, root)
