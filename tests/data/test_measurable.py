"""Data that a measure could not be taken from are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pictures import images
from tausweep import cli
from tausweep.commands import plan
from tausweep.data import measurable, trees
from tausweep.storage.layout import Layout, prepared_name
from tausweep.study import StudyError, load
from tiny_run import study, study_file

TWO = {"a": 2, "b": 2}


def of_folder(place: Path, **dataset: Any) -> dict[str, Any]:
    """Sections of a study of a folder of a few images."""
    source = {"kind": "folder", "path": str(place)}
    return {
        "datasets": {"mine": {"source": source, **dataset}},
        "losses": {"simple": {}},
        "knn": {"k": 1},
        "pretrain": {"batch_size": 2},
    }


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ({"a": 1, "b": 1}, TWO, "no class has two training images"),
        (TWO, {"a": 1, "b": 1}, "no class has two test images"),
        (TWO, {"a": 3, "b": 0}, r"test images have one class \(a\)"),
        ({"a": 5}, {"a": 5}, r"training images have one class \(a\)"),
        ({"a": 2, "b": 2, "c": 1}, TWO, r"1 of 3 classes have no test image \(c\)"),
    ],
)
def test_plan_and_prepare_say_what_a_measure_would_lack(
    train: dict[str, int], test: dict[str, int], said: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, counts in (("train", train), ("test", test)):
        images(tmp_path / "in" / name, {k: n for k, n in counts.items() if n})
    file = study_file(tmp_path, **of_folder(tmp_path / "in"))
    with pytest.raises(StudyError, match=said):
        measurable.check({"train": train, "test": test}, [])
    for command in ("plan", "prepare"):
        assert cli.main([command, file, "--results", str(tmp_path / "results")]) == 2
        assert "dataset mine: " in capsys.readouterr().err


def test_data_that_can_be_measured_pass() -> None:
    measurable.check({"train": {"a": 2, "b": 1}, "test": {"a": 1, "b": 2}}, [])


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"train_limit": 2}, "no class has two training images"),
        ({"test_limit": 2}, "no class has two test images"),
        ({"test_limit": 40}, "test_limit: 40 is not allowed: .* needs 20 images of class 'a'"),
        ({"train_limit": 8, "test_limit": 6, "validation": True}, "test_limit: 6 .* which has 2"),
    ],
)
def test_plan_looks_at_what_the_limits_leave(
    limits: dict[str, Any], said: str, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        images(tmp_path / split, {"a": 6, "b": 6})
    asked = study(**of_folder(tmp_path, **limits))
    with pytest.raises(StudyError, match=said):
        plan.check(asked, Layout(tmp_path / "results"))


PLUGIN = """
import numpy as np
from tausweep.data import SourceSplit
class Images:
    def __len__(self):
        return 6
    def __getitem__(self, row):
        open("decoded", "w").close()
        return np.full((8, 8, 3), 40 * row, np.uint8)
def read(source, split):
    return SourceSplit(Images(), np.arange(6) % source.options["classes"], ["a", "b"])
"""


def of_plugin(tmp_path: Path, k: int = 1, classes: int = 2) -> str:
    """A study of six images that are not counted before they are read, by two names."""
    (tmp_path / "six.py").write_text(PLUGIN)
    source = {"kind": "plugin", "module": str(tmp_path / "six.py"), "options": {"classes": classes}}
    dataset = {"source": source, "image_size": 8}
    return study_file(
        tmp_path,
        datasets={"six": dataset, "again": dataset, "digits": {}},
        losses={"simple": {}},
        pretrain={"batch_size": 3, "epochs": 1},
        knn={"k": k},
    )


@pytest.mark.parametrize("command", ["prepare", "pretrain"])
@pytest.mark.parametrize(
    ("k", "classes", "says"),
    [
        (50, 2, "knn.k: 50 is more than the 6 training images"),
        (1, 1, "the training images have one class (a)"),
    ],
)
def test_data_of_unknown_size_are_held_against_the_settings_before_they_are_decoded(
    k: int, classes: int, says: str, command: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    file, results = of_plugin(tmp_path, k, classes), tmp_path / "results"
    run = ["--run", "six/simple/none/seed0"] if command == "pretrain" else []
    named = "datasets again and six" if command == "prepare" else "dataset six"
    assert cli.main([command, file, *run, "--results", str(results)]) == 2
    assert f"tausweep: error: {named}: {says}" in capsys.readouterr().err
    assert not (tmp_path / "decoded").exists()
    assert not list(results.glob("data/plugin-*/manifest.json"))


def test_one_of_a_study_s_data_is_prepared_by_the_name_of_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, results = of_plugin(tmp_path), tmp_path / "results"
    (name,) = {prepared_name(r.settings.dataset) for r in load(file).runs() if r.dataset == "six"}
    command = ["prepare", file, "--results", str(results), "--only"]
    assert cli.main([*command, name]) == 0
    assert [path.parent.name for path in results.glob("data/*/manifest.json")] == [name]
    assert cli.main([*command, "plugin-0"]) == 2
    said = capsys.readouterr().err
    assert "--only plugin-0: no data of the study tiny are prepared there; they go to" in said
    assert name in said


def test_a_folder_that_was_refused_and_mended_is_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What prepare made of it before says nothing of the folder as it is now."""
    place = tmp_path / "in"
    images(place / "train", {"a": 3, "b": 3})
    images(place / "test", {"a": 3})
    file = study_file(tmp_path, **of_folder(place))
    results = ["--results", str(tmp_path / "results")]
    assert cli.main(["prepare", file, *results]) == 2
    images(place / "test", {"b": 3})
    plan.look_again()
    plan.check(load(file), Layout(tmp_path / "results"))


def test_a_plan_lists_a_folder_once_and_not_for_each_run_or_dataset_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "test"):
        images(tmp_path / "in" / split, {"a": 3, "b": 3})
    listed: list[Path] = []
    known = trees.images

    def counted(folder: Path, deep: bool = True) -> list[trees.ListedFile]:
        listed.append(folder)
        return known(folder, deep)

    monkeypatch.setattr(trees, "images", counted)
    losses = {"contrastive": {"temperature": [0.1, 0.2, 0.3, 0.5, 1.0]}}
    asked = of_folder(tmp_path / "in") | {"losses": losses, "seeds": [0, 1]}
    mine = asked["datasets"]["mine"]
    asked["datasets"] |= {
        "large": mine | {"image_size": 64},
        "own": mine | {"train_limit": 4, "subset_seed": "run"},
    }
    asked_for, layout = study(**asked), Layout(tmp_path / "results")
    plan.check(asked_for, layout)
    plan.describe(asked_for, layout)
    assert listed.count(tmp_path / "in/train/a") == 1
