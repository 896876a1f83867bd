"""What the tests of several modules need."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

from tausweep import data as datasets
from tausweep.data.prepared import Prepared
from tiny_run import run_settings

torch.set_num_threads(1)

# The same examples in every run; `make test-slow` searches among others. No time limit: it would
# make a result depend on what else the machine does.
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile(
    "search",
    max_examples=3000,
    derandomize=False,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "same")


def pytest_report_header() -> str:
    """What decides whether a run can be repeated: the instructions and the examples."""
    profile = os.environ.get("HYPOTHESIS_PROFILE") or "same"
    return f"instructions: {torch.backends.cpu.get_cpu_capability()}, examples: {profile}"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """130 training and 100 test digits, prepared."""
    folder = tmp_path_factory.mktemp("digits")
    datasets.prepare(run_settings().dataset, folder)
    return datasets.load(folder)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to open a network connection fails the test."""
    import socket

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a network connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def shared_data() -> Path:
    """Folder of real images for local checks; the test skips where there is none."""
    place = os.environ.get("TAUSWEEP_SHARED_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("TAUSWEEP_SHARED_DATA names no folder of real images")
    return Path(place)
