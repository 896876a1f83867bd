"""Images without a split, without labels, or listed by a table."""

from pathlib import Path

import pytest
from PIL import Image

from pictures import images, paths_of, tree
from tausweep import data as datasets
from tausweep.data import sources
from tausweep.data.sources import NO_LABEL_COUNT, entries
from tausweep.data.sources.entries import Entry
from tausweep.study import Source, StudyError


def folder(path: Path, table: Path | None = None) -> Source:
    return Source(kind="folder", path=str(path), table=str(table) if table else None)


def csv(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_class_folders_are_divided_by_content_each_class_evenly(tmp_path: Path) -> None:
    images(tmp_path, {"ant": 10, "bee": 20})
    source = folder(tmp_path)
    train, test = (sources.read(source, split) for split in sources.SPLITS)
    assert train.classes == test.classes == ["ant", "bee"]
    assert [int((test.labels == label).sum()) for label in (0, 1)] == [2, 4]
    assert [int((train.labels == label).sum()) for label in (0, 1)] == [8, 16]
    names = {path.name for path in paths_of(test)}
    for path in [*paths_of(train), *paths_of(test)]:
        path.rename(path.with_name(f"renamed-{path.name}"))
    again = sources.read(source, "test")
    assert {path.name.removeprefix("renamed-") for path in paths_of(again)} == names


def test_copies_of_an_image_are_on_one_side() -> None:
    listed = [Entry(f"{i}.png", "a") for i in range(20)]
    contents = ["1", "2", "3", *["4"] * 5, *[f"5{i:02}" for i in range(12)]]
    divided = entries.divided(listed, contents)
    assert [entry.split for entry in divided] == ["test"] * 8 + ["train"] * 12


def test_images_alone_have_no_labels(tmp_path: Path) -> None:
    images(tmp_path, {"all": 10})
    source = folder(tmp_path / "all")
    train, test = (sources.read(source, split) for split in sources.SPLITS)
    assert (len(train.images), len(test.images)) == (8, 2)
    assert {*train.labels.tolist(), *test.labels.tolist()} == {-1}
    assert train.classes == []
    assert datasets.fingerprint(source) == datasets.fingerprint(source)


def test_train_and_test_folders_are_still_a_split(tmp_path: Path) -> None:
    tree(tmp_path, per_class=4)
    assert len(sources.read(folder(tmp_path), "train").images) == 8


def test_a_table_says_label_and_split(tmp_path: Path) -> None:
    images(tmp_path, {"x": 4})
    table = csv(
        tmp_path / "own.csv",
        "path,label,split", "x/0.png,dog,train", "x/1.png,cat,train", "x/2.png,,train",
        "x/3.png,cat,test",
    )  # fmt: skip
    source = folder(tmp_path, table)
    train, test = (sources.read(source, split) for split in sources.SPLITS)
    assert train.classes == ["cat", "dog"]
    assert train.labels.tolist() == [1, 0, -1]
    assert test.labels.tolist() == [0]
    counts = sources.look(source).counts
    assert counts == {
        "train": {"cat": 1, "dog": 1, NO_LABEL_COUNT: 1}, "test": {"cat": 1, "dog": 0},
    }  # fmt: skip
    before = datasets.fingerprint(source)
    csv(table, "path,label,split", "x/0.png,cat,train", "x/1.png,cat,train", "x/3.png,cat,test")
    assert datasets.fingerprint(source) != before


def test_images_without_a_label_beside_others_are_for_training() -> None:
    listed = [*(Entry(f"{i}", "a") for i in range(10)), *(Entry(f"u{i}") for i in range(5))]
    divided = entries.divided(listed, [str(i) for i in range(15)])
    assert all(entry.split == "train" for entry in divided if entry.label is None)
    assert sum(entry.split == "test" for entry in divided) == 2


def test_what_has_a_split_keeps_it() -> None:
    listed = [Entry("0", "a", "test"), Entry("1", "a"), Entry("2", "a")]
    assert [e.split for e in entries.divided(listed, ["2", "1", "0"])] == ["test", "train", "train"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("name,label", "0.png,a"), "it needs rows with a column path"),
        (("path,split", "0.png,tset"), "line 2: the split 'tset' is not allowed.*test"),
        (("path,label", "../0.png,a"), "line 2: the path '../0.png' is not allowed"),
        (("path,label", "/etc/0.png,a"), "is not allowed"),
        (("path,label", "0.png,a", "./0.png,b"), "line 3: 0.png is listed twice"),
        (("path,split", "0.png,train", "1.png,train"), "has no test image"),
        (
            ("path,label,split", "0.png,a,train", "1.png,a,test", "2.png,,test"),
            "label all test images or none",
        ),
        (("path,label,split", "0.png,a,train", "1.png,b,test"), "class 'b' is in the test split"),
        (("path,label,split", "0.png,a,train", "gone.png,a,test"), "gone.png: No such file"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_one_sentence(tmp_path: Path, rows: tuple[str, ...], said: str) -> None:
    for name in ("0", "1", "2"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    source = folder(tmp_path, csv(tmp_path / "t.csv", *rows))
    with pytest.raises(StudyError, match=said):
        sources.look(source)


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    images(tmp_path, {"ant": 3})
    Image.new("RGB", (8, 8)).save(tmp_path / "lone.png")
    with pytest.raises(StudyError, match=r"lone.png: an image must lie in a class's folder"):
        sources.read(folder(tmp_path), "train")


def test_only_folders_have_tables() -> None:
    with pytest.raises(ValueError, match="only a source of kind folder has a table"):
        Source(kind="digits", table="t.csv")
