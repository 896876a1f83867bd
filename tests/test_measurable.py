"""Data that a measure could not be taken from are refused before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tausweep import cli, measurable
from tausweep.study import StudyError
from tiny_study import images

TWO = {"a": 2, "b": 2}


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ({"a": 1, "b": 1}, TWO, "no class has two training images"),
        (TWO, {"a": 1, "b": 1}, "no class has two test images"),
        (TWO, {"a": 3, "b": 0}, r"test images are of one class \(a\)"),
        ({"a": 5}, {"a": 5}, r"training images are of one class \(a\)"),
        ({"a": 2, "b": 2, "c": 1}, TWO, r"1 of 3 classes have no test image \(c\)"),
    ],
)
def test_plan_and_prepare_say_what_a_measure_would_lack(
    train: dict[str, int], test: dict[str, int], said: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, counts in (("train", train), ("test", test)):
        images(tmp_path / "in" / name, {k: n for k, n in counts.items() if n})
    study: dict[str, Any] = {
        "study": "s",
        "datasets": {"mine": {"source": {"kind": "folder", "path": str(tmp_path / "in")}}},
        "losses": {"simple": {}},
        "knn": {"k": 1},
        "pretrain": {"batch_size": 2},
    }
    file = tmp_path / "s.yaml"
    file.write_text(json.dumps(study))
    with pytest.raises(StudyError, match=said):
        measurable.check("folder", train, test)
    for command in ("plan", "prepare"):
        assert cli.main([command, str(file), "--results", str(tmp_path / "results")]) == 2
        assert "dataset folder: " in capsys.readouterr().err


def test_data_that_can_be_measured_pass() -> None:
    measurable.check("folder", {"a": 2, "b": 1}, {"a": 1, "b": 2})
