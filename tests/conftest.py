"""What the tests of several modules need."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tausweep import datasets
from tausweep.datasets.prepared import Prepared
from tiny_run import run_settings

torch.set_num_threads(1)


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
    import os

    place = os.environ.get("TAUSWEEP_SHARED_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("TAUSWEEP_SHARED_DATA names no folder of real images")
    return Path(place)
