"""Tiny prepared data and settings that the tests of training and evaluation share."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tausweep import datasets
from tausweep.datasets.prepared import Prepared
from tausweep.study import RunSettings, parse

torch.set_num_threads(1)


def run_settings(
    loss: str = "contrastive",
    temperature: float | None = 0.3,
    train_limit: int | None = 130,
    **sections: Any,
) -> RunSettings:
    """Settings of a run on a few digits: 130 images, so that the last batch of 32 is partial."""
    grid: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    if loss.startswith("hard"):
        grid["negatives"] = sections.pop("negatives", 20)
    study = {
        "study": "tiny",
        "seeds": [sections.pop("seed", 0)],
        "datasets": {"digits": {"train_limit": train_limit, "test_limit": 100}},
        "losses": {loss: grid},
        "encoder": {"trunk": "resnet10", "width": 8, "dim": 16},
        "pretrain": {"epochs": 3, "batch_size": 32} | sections.pop("pretrain", {}),
        "linear": {"epochs": 20, "lr": 0.05} | sections.pop("linear", {}),
        "knn": {"k": 10},
        "separation": {"anchors": 64},
        **sections,
    }
    return parse(study).runs()[0].settings


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
