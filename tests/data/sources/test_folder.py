"""Image folders: labels, order, and a clear sentence for each way in which one can be wrong."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import each
from tausweep import data as datasets
from tausweep.study import Source, StudyError


def tree(
    root: Path,
    names: Sequence[str] = ("train/cat/1", "train/dog/1", "test/cat/1", "test/dog/1"),
    suffix: str = ".png",
) -> Source:
    for i, name in enumerate(names):
        path = root / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (i * 40 % 256, i, 0)).save(path)
    return Source(kind="folder", path=str(root))


def colours(split: datasets.SourceSplit) -> list[int]:
    return [image.getpixel((0, 0))[1] for image in each(split.images)]


def test_labels_follow_the_sorted_class_names(tmp_path: Path) -> None:
    names = ["train/b/1", "train/a/1", "train/B/1", "train/a b/1", "test/b/1", "test/a/1"]
    source = tree(tmp_path, names)
    train, test = datasets.read(source, "train"), datasets.read(source, "test")
    assert train.classes == test.classes == ["B", "a", "a b", "b"]
    assert train.labels.tolist() == [0, 1, 2, 3]
    assert train.labels.dtype == np.int64
    assert colours(train) == [2, 1, 3, 0]
    assert test.labels.tolist() == [1, 3]


def test_images_lie_at_any_depth_and_are_sorted_by_path(tmp_path: Path) -> None:
    names = ["train/a/z", "train/a/deep/er/y", "train/a/10", "train/a/9", "test/a/1"]
    train = datasets.read(tree(tmp_path, names), "train")
    assert colours(train) == [2, 3, 1, 0]


def test_order_of_creation_does_not_matter(tmp_path: Path) -> None:
    names = [f"{s}/{c}/{i}" for s in ("train", "test") for c in "abc" for i in range(9)]
    source = tree(tmp_path / "one", names)
    other = Source(kind="folder", path=str(tmp_path / "two"))
    for name in reversed(names):
        path = tmp_path / "two" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "one" / f"{name}.png", path)
    assert colours(datasets.read(source, "train")) == colours(datasets.read(other, "train"))
    assert datasets.fingerprint(source) == datasets.fingerprint(other)


def test_hidden_files_and_other_files_are_left_out(tmp_path: Path) -> None:
    source = tree(tmp_path)
    before = datasets.fingerprint(source)
    (tmp_path / "train" / ".DS_Store").write_text("x")
    (tmp_path / "train" / "cat" / "._1.png").write_text("x")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("x")
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "README.md").write_text("x")
    assert len(datasets.read(source, "train").images) == 2
    assert datasets.fingerprint(source) == before


def test_suffixes_may_be_upper_case(tmp_path: Path) -> None:
    names = ["train/a/1", "test/a/1"]
    assert len(datasets.read(tree(tmp_path, names, ".JPEG"), "train").images) == 1


def test_linked_folders_and_files_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    source = tree(tmp_path / "real", ["train/a/1", "train/a/2", "test/a/1"])
    for split in ("train", "test"):
        (tmp_path / "links" / split).mkdir(parents=True)
        (tmp_path / "links" / split / "a").symlink_to(tmp_path / "real" / split / "a")
    linked = Source(kind="folder", path=str(tmp_path / "links"))
    assert datasets.fingerprint(linked) == datasets.fingerprint(source)
    (tmp_path / "real" / "train" / "a" / "again").symlink_to(tmp_path / "real" / "train" / "a")
    assert len(datasets.read(source, "train").images) == 4


def test_a_class_without_test_images_keeps_its_id(tmp_path: Path) -> None:
    source = tree(tmp_path, ["train/a/1", "train/b/1", "test/b/1"])
    assert datasets.read(source, "test").labels.tolist() == [1]


def test_a_class_that_only_the_test_split_has_is_named(tmp_path: Path) -> None:
    source = tree(tmp_path, ["train/cat/1", "test/cat/1", "test/yak/1"])
    for ask in (datasets.fingerprint, lambda s: datasets.read(s, "train")):
        with pytest.raises(StudyError, match="class 'yak' is in the test split but not in"):
            ask(source)


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_split_is_named_with_what_is_there(tmp_path: Path, split: str) -> None:
    source = tree(tmp_path)
    (tmp_path / split).rename(tmp_path / "valid")
    with pytest.raises(StudyError, match=rf"the {split}(ing)? split is missing.*found: .*valid"):
        datasets.read(source, "train")


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"source\.path: there is no folder .*nowhere"):
        datasets.fingerprint(Source(kind="folder", path=str(tmp_path / "nowhere")))


def test_empty_split_and_empty_class_are_named(tmp_path: Path) -> None:
    source = tree(tmp_path)
    (tmp_path / "train" / "eel").mkdir()
    with pytest.raises(StudyError, match=r"train/eel: it has no image"):
        datasets.fingerprint(source)
    with pytest.raises(StudyError, match=r"train/eel: it has no image"):
        datasets.read(source, "train")
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "test").mkdir()
    with pytest.raises(StudyError, match=r"test: it is empty"):
        datasets.read(source, "train")


def test_images_outside_of_any_class_are_refused(tmp_path: Path) -> None:
    source = tree(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "train" / "stray.png")
    with pytest.raises(StudyError, match=r"train/stray\.png: an image must be in a class"):
        datasets.read(source, "train")


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    source = tree(tmp_path)
    (tmp_path / "train" / "cat" / "gone.png").symlink_to(tmp_path / "nothing.png")
    with pytest.raises(StudyError, match=r"gone\.png: No such file"):
        datasets.fingerprint(source)


def test_touching_and_copying_leave_the_fingerprint_alone(tmp_path: Path) -> None:
    source = tree(tmp_path / "a")
    before = datasets.fingerprint(source)
    os.utime(tmp_path / "a" / "train" / "cat" / "1.png", (1, 1))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = Source(kind="folder", path=str(tmp_path / "b"))
    assert before == datasets.fingerprint(source) == datasets.fingerprint(copy)


@pytest.mark.parametrize("change", ["longer", "renamed", "added", "removed", "moved"])
def test_any_change_of_names_or_sizes_changes_the_fingerprint(tmp_path: Path, change: str) -> None:
    names = ["train/a/1", "train/a/2", "train/b/1", "test/a/1"]
    source = tree(tmp_path, names)
    before = datasets.fingerprint(source)
    file = tmp_path / "train" / "a" / "2.png"
    if change == "longer":
        file.write_bytes(file.read_bytes() + b"\0")
    elif change == "renamed":
        file.rename(file.with_name("3.png"))
    elif change == "added":
        shutil.copy(file, file.with_name("3.png"))
    elif change == "removed":
        file.unlink()
    else:
        file.rename(tmp_path / "train" / "b" / "2.png")
    assert datasets.fingerprint(source) != before


def test_images_of_a_kind_that_is_not_read_are_named_and_not_left_out(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / name / "0.png")
    folder = tmp_path / "train/a"
    for name in ("a.HEIC", "b.jxl", "c.dng", "d.exr", "e.rw2"):
        (folder / name).write_bytes(b"x")
    (folder / "notes.txt").write_text("no image")
    source = Source(kind="folder", path=str(tmp_path))
    with pytest.raises(StudyError, match=r"5 of 6 files .* \(a.HEIC, b.jxl, c.dng and 2 more\)"):
        datasets.fingerprint(source)
