"""Folders of images in every form that is measured."""

from pathlib import Path

import pytest

from pictures import picture, tree
from tausweep.commands import image_tree
from tausweep.study import StudyError


def test_a_split_is_measured_on_its_test_images(tmp_path: Path) -> None:
    tree(tmp_path, per_class=4)
    found = image_tree.read(tmp_path)
    assert found.labels == ["ant", "ant", "bee", "bee"]
    assert found.train_labels == ["ant"] * 4 + ["bee"] * 4
    assert all(path.is_relative_to(tmp_path / "test") for path in found.paths)
    (tmp_path / "test").rename(tmp_path / "val")
    assert image_tree.read(tmp_path).labels == found.labels


def test_one_split_or_class_folders_are_measured_whole(tmp_path: Path) -> None:
    tree(tmp_path, per_class=4)
    found = image_tree.read(tmp_path / "train")
    assert (found.labels, found.train_paths) == (["ant"] * 4 + ["bee"] * 4, [])
    for path in sorted((tmp_path / "test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "test").rmdir()
    assert image_tree.read(tmp_path) == found


def flat(folder: Path) -> Path:
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        picture(1, (20, 20)).save(folder / name)
    return folder


def test_a_flat_folder_has_the_labels_of_a_file(tmp_path: Path) -> None:
    folder, table = flat(tmp_path / "flat"), tmp_path / "labels.csv"
    found = image_tree.read(folder)
    assert (len(found.paths), found.labels) == (3, None)
    table.write_text("path,label\nc.jpg,1\na.jpg,0\nb.jpg,1\nother.jpg,5\n")
    assert image_tree.labelled(found, folder, table, None).labels == ["0", "1", "1"]
    table.write_text("path,label\nc.jpg,1\na.jpg,0\n")
    with pytest.raises(StudyError, match=r"1 of 3 images of .* have no label, b.jpg first"):
        image_tree.labelled(found, folder, table, None)
    table.write_text("path,label\nc.jpg,\na.jpg,0\nb.jpg,1\n")
    with pytest.raises(StudyError, match=r"the label of c\.jpg is empty"):
        image_tree.labelled(found, folder, table, None)
    table.write_text("name,label\nc.jpg,1\n")
    with pytest.raises(StudyError, match="has no column path"):
        image_tree.labelled(found, folder, table, None)


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no such folder"):
        image_tree.read(tmp_path / "none")
    with pytest.raises(StudyError, match="it has no images"):
        image_tree.read(tmp_path)
    tree(tmp_path / "mixed", per_class=2)
    picture(1, (20, 20)).save(tmp_path / "mixed" / "train" / "stray.jpg")
    with pytest.raises(StudyError, match=r"stray\.jpg: images must be in class folders"):
        image_tree.read(tmp_path / "mixed")
