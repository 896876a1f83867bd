"""Both ways of selecting the hard set."""

import pytest

from loss_problems import select_by


@pytest.fixture(params=["partition", "topk"])
def device_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of selecting the hard set."""
    select_by(request.param, monkeypatch)
    return str(request.param)
