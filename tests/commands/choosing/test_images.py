"""Every form of images that a temperature is chosen for."""

import shutil
from pathlib import Path

import pytest

from pictures import images as small
from tausweep.commands.choosing import images
from tausweep.data.sources import entries
from tausweep.study import StudyError


def said(line: str) -> None:
    """Progress is not looked at."""


def read(path: Path) -> images.Images:
    return images.read(path, 2, said)


def test_a_split_is_kept_and_val_is_a_test_split(tmp_path: Path) -> None:
    small(tmp_path / "train", {"ant": 30, "bee": 30})
    small(tmp_path / "val", {"ant": 5, "bee": 5})
    found = read(tmp_path)
    assert (found.count("train"), found.count("test"), found.classes) == (60, 10, ["ant", "bee"])
    assert found.labelled
    assert not found.notes


def test_class_folders_and_a_lone_train_are_divided(tmp_path: Path) -> None:
    small(tmp_path / "train", {"ant": 30, "bee": 30})
    for place in (tmp_path, tmp_path / "train"):
        found = read(place)
        assert (found.count("train"), found.count("test")) == (48, 12)
        assert "a fifth of the images of each class are test images" in found.notes[0]


def test_images_alone_are_divided_without_labels(tmp_path: Path) -> None:
    small(tmp_path, {"all": 60})
    found = read(tmp_path / "all")
    assert not found.labelled
    assert found.classes == []
    assert (found.count("train"), found.count("test")) == (48, 12)


def test_labels_of_a_csv_may_cover_a_part(tmp_path: Path) -> None:
    small(tmp_path, {"all": 80})
    rows = [f"all/{i}.png,{'ab'[i % 2] if i < 40 else ''}" for i in range(80)]
    (tmp_path / "own.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    found = read(tmp_path / "own.csv")
    assert found.labelled
    assert (found.count("train"), found.count("test")) == (72, 8)
    (tmp_path / "table.csv").write_text(found.table())
    assert sorted(entries.of_table(tmp_path / "table.csv"), key=lambda e: e.path) == sorted(
        found.entries, key=lambda e: e.path
    )


def test_a_csv_of_images_that_are_missing_is_refused(tmp_path: Path) -> None:
    small(tmp_path, {"all": 80})
    rows = [f"all/{i}.png,{'ab'[i % 2]}" for i in range(81)]
    (tmp_path / "own.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    with pytest.raises(
        StudyError, match=r"1 of its 81 images are missing, the first is all/80\.png"
    ):
        read(tmp_path / "own.csv")


def test_a_few_damaged_images_are_named_and_many_refused(tmp_path: Path) -> None:
    small(tmp_path, {"ant": 30, "bee": 30})
    for i in range(3):
        (tmp_path / f"ant/{i}.png").write_bytes(b"no image")
    found = read(tmp_path)
    assert len(found.entries) == 57
    assert "3 damaged images are left out" in found.notes[0]
    assert "ant/0.png" in found.notes[0]
    (tmp_path / "ant/3.png").write_bytes(b"no image")
    with pytest.raises(StudyError, match="4 of 60 images are damaged"):
        read(tmp_path)


def test_classes_without_test_images_are_left_out(tmp_path: Path) -> None:
    small(tmp_path, {"ant": 30, "bee": 30, "cat": 1})
    found = read(tmp_path)
    assert found.classes == ["ant", "bee"]
    assert any("1 classes without test images are left out: cat" in note for note in found.notes)


def test_too_little_is_refused(tmp_path: Path) -> None:
    small(tmp_path, {"ant": 15, "bee": 15})
    with pytest.raises(StudyError, match="24 training images; 40 or more are needed"):
        read(tmp_path)
    with pytest.raises(StudyError, match="there is no such folder or CSV"):
        read(tmp_path / "nowhere")
    shutil.rmtree(tmp_path / "bee")
    small(tmp_path / "more", {"ant": 60})
    with pytest.raises(StudyError, match="all images have one class"):
        read(tmp_path / "more")


def test_fewer_images_keep_the_test_images_and_the_shares_of_classes(tmp_path: Path) -> None:
    small(tmp_path, {"ant": 100, "bee": 50})
    whole = read(tmp_path)
    part = images.reduced(whole, 60)
    assert part.count("test") == whole.count("test")
    labels = [e.label for e in part.entries if e.split == "train"]
    assert (labels.count("ant"), labels.count("bee")) == (40, 20)
    assert images.reduced(whole, 1000) == whole
