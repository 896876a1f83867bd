"""A plan says what a study asks for and refuses what would fail later."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pictures import images
from tausweep.commands import plan
from tausweep.storage.layout import Layout
from tausweep.study import Study, StudyError
from tiny_run import of_the_paper


def folder_study(path: Path, **sections: Any) -> Study:
    source = {"kind": "folder", "path": str(path)}
    return of_the_paper(datasets={"mine": {"source": source, "image_size": 8}}, **sections)


def test_description_lists_runs_hard_sets_and_costs(tmp_path: Path) -> None:
    asked = of_the_paper(
        seeds=[0, 1],
        losses={"contrastive": {"temperature": [0.1, 0.30]}, "hard_simple": {"negatives": 8}},
    )
    text = plan.describe(asked, Layout(tmp_path))
    assert f"study {asked.study}: 6 runs, 2 seed(s)" in text
    assert re.search(r"digits/contrastive +0\.1 0\.3$", text, re.MULTILINE)
    assert (
        "hard set of digits/hard_simple: K = 8 of the 1,436 negatives (N = 1,437), alpha = 0.0056"
        in text
    )
    assert "hard set of digits/contrastive" not in text
    assert "| digits  |    6 |" in text
    assert "GPU hours: assumed, not measured" in text


def test_settings_of_a_run_are_resolved_json() -> None:
    found = json.loads(plan.settings_of(of_the_paper(), "digits/contrastive/0.1/seed0"))
    assert found["pretrain"]["epochs"] == 200
    assert found["loss"] == {"name": "contrastive", "temperature": 0.1}
    assert found["knn"]["k"] == 10


def test_unknown_run_names_the_nearest() -> None:
    with pytest.raises(StudyError, match=r"did you mean digits/contrastive/0\.1/seed0"):
        plan.find_run(of_the_paper(), "digits/contrastive/0.10/seed0")


def test_hard_set_larger_than_the_bank_is_refused(tmp_path: Path) -> None:
    asked = of_the_paper(losses={"hard_simple": {"negatives": 1437}})
    with pytest.raises(StudyError, match="negatives: 1437 is more than the bank's 1436 negatives"):
        plan.check(asked, Layout(tmp_path))


def test_hard_set_larger_than_a_folder_is_refused_before_it_is_prepared(tmp_path: Path) -> None:
    images(tmp_path / "train", {"a": 3, "b": 3})
    images(tmp_path / "test", {"a": 2, "b": 1})
    losses = {"hard_simple": {"negatives": 6}}
    with pytest.raises(StudyError, match="6 is more than the bank's 5 negatives"):
        plan.check(folder_study(tmp_path, losses=losses, knn={"k": 2}), Layout(tmp_path / "r"))
    plan.check(
        folder_study(tmp_path, losses={"hard_simple": {"negatives": 5}}, knn={"k": 2}),
        Layout(tmp_path / "r"),
    )


def test_too_many_neighbours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"knn\.k: 2000 is more than the 1437 training images"):
        plan.check(of_the_paper(knn={"k": 2000}), Layout(tmp_path))


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        ({}, {}, "there is no folder"),
        ({"a": 0}, {"a": 1}, "it has no image"),
        ({"a": 2}, {"a": 1, "b": 1}, "class 'b' is in the test split but not in the training"),
        ({"a": 2}, {}, "the test split is missing"),
    ],
)
def test_folder_that_cannot_be_used_is_refused(
    tmp_path: Path, train: dict[str, int], test: dict[str, int], sentence: str
) -> None:
    place = tmp_path / "images"
    for split, counts in (("train", train), ("test", test)):
        images(place / split, counts)
    with pytest.raises(StudyError, match=sentence):
        plan.check(folder_study(place, knn={"k": 1}), Layout(tmp_path / "r"))
