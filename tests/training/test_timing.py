"""The steps that a timing takes are those of the run: its loss, its batch, its whole bank."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tausweep.commands import cost
from tausweep.commands.machine_speed import image_operations
from tausweep.study import RunSettings, StudyError
from tausweep.training import timing
from tiny_run import of_the_paper, run_settings


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LEAST_SECONDS", 0.01)


def settings_of(loss: dict[str, Any], **sections: Any) -> RunSettings:
    small = {"encoder": {"trunk": "resnet10", "width": 8, "dim": 16}}
    return of_the_paper(losses=loss, **(small | sections)).runs()[0].settings


@pytest.mark.parametrize(
    ("loss", "precision"),
    [
        ({"hard_contrastive": {"temperature": 0.3, "negatives": 1400}}, "float32"),
        ({"nt_xent": {"temperature": 0.3}}, "float32"),
        ({"moco": {"kind": "contrastive", "temperature": 0.3, "negatives_from": "queue"}}, "bf16"),
    ],
)
def test_any_loss_can_be_timed(loss: dict[str, Any], precision: str) -> None:
    settings = settings_of(loss, pretrain={"precision": precision})
    assert timing.images_per_second(settings, 1437, image_operations(settings)) > 0


OWN = """
import torch

def make(temperature, negatives=None):
    def loss(anchors, bank, index):
        assert bank.shape == (5000, 16), bank.shape
        assert len(anchors) == {batch}, len(anchors)
        return anchors.sum()
    return loss
"""


@pytest.mark.parametrize(("image_operations", "batch"), [(1e6, 32), (4e9, 5), (1e12, 2)])
def test_bank_is_whole_and_only_batches_of_slow_steps_are_cut_down(
    image_operations: float, batch: int, tmp_path: Path
) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN.format(batch=batch))
    loss = {"own": {"module": str(path), "temperature": 0.3}}
    settings = settings_of(loss, pretrain={"batch_size": 32})
    assert timing.images_per_second(settings, 5000, image_operations) > 0


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(StudyError, match="more than the bank's"):
        timing.images_per_second(run_settings("hard_contrastive", 0.3, negatives=200), 130, 1e6)


def test_process_answers_by_key_and_leaves_out_what_cannot_be_timed() -> None:
    good, bad = run_settings(), run_settings("hard_contrastive", 0.3, negatives=200)
    runs = [
        {
            "key": key,
            "settings": settings.model_dump(mode="json"),
            "count": 130,
            "image_operations": image_operations(settings),
        }
        for key, settings in (("bad", bad), ("good", good), ("late", good))
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tausweep.training.timing"],
        input=json.dumps({"seconds": 0.0, "runs": runs}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["import_seconds"] > 0
    assert found["images_per_second"].keys() == {"good"}


def test_operations_of_an_image_are_those_of_the_plan() -> None:
    settings = run_settings()
    epoch = cost.pretraining_operations(settings, 130) / settings.pretrain.epochs
    assert image_operations(settings) * 130 == pytest.approx(epoch)
