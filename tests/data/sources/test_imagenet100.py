"""ImageNet100: one fixed list of classes, ids by sorted wnid, and three forms of ground truth."""

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from pictures import array, each
from tausweep import data as datasets
from tausweep.data.sources import imagenet100
from tausweep.study import DatasetSettings, Source, StudyError

WNIDS = imagenet100.classes()
LIST = "d61d354b64beb3ce2c2c9cf04a874298362dc9fcd589e15ee34c5e4592145746"
OTHERS = [f"n{i:08d}" for i in range(900)]


def jpeg(grey: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (10, 6), grey).save(stream, "JPEG", quality=100)
    return stream.getvalue()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 100 classes, one image each a split, its grey value twice its class id."""
    root = tmp_path_factory.mktemp("imagenet")
    for i, wnid in enumerate(WNIDS):
        for split, name in (("train", f"{wnid}_1.JPEG"), ("val", f"ILSVRC2012_val_{i:08d}.JPEG")):
            path = root / split / wnid / name
            path.parent.mkdir(parents=True)
            path.write_bytes(jpeg(2 * i))
    return root


@pytest.fixture
def tree(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "imagenet")
    return tmp_path / "imagenet"


def source(root: Path) -> Source:
    return Source(kind="imagenet100", path=str(root))


def flatten(root: Path, extra: int = 0) -> list[str]:
    """Put the validation images side by side in another order; wnids in the order of the names."""
    order = np.random.default_rng(0).permutation(100 + extra)
    wnids = []
    files = sorted((root / "val").rglob("*.JPEG"))
    names = [file.parent.name for file in files] + OTHERS[:extra]
    for place, i in enumerate(order):
        wnids.append(names[i])
        target = root / "val" / f"ILSVRC2012_val_{place + 1:08d}.jpeg"
        if i < 100:
            files[i].rename(target)
            files[i].parent.rmdir()
        else:
            target.write_bytes(jpeg(0))
    return wnids


def test_the_list_is_cmcs_100_classes() -> None:
    assert len(set(WNIDS)) == 100
    assert sorted(WNIDS) == WNIDS
    assert hashlib.sha256("\n".join(WNIDS).encode()).hexdigest() == LIST


def test_ids_follow_the_sorted_wnids(original: Path) -> None:
    for split in ("train", "test"):
        read = datasets.read(source(original), split)
        assert read.classes == WNIDS
        assert read.labels.tolist() == list(range(100))
        assert [image.getpixel((0, 0))[0] for image in each(read.images)] == [
            2 * i for i in range(100)
        ]


def test_the_number_of_images_is_recorded(original: Path, tmp_path: Path) -> None:
    settings = DatasetSettings(source=source(original), image_size=4)
    splits = datasets.prepare(settings, tmp_path / "out")["splits"]
    assert splits["train"]["images"] == splits["test"]["images"] == 100
    data = datasets.load(tmp_path / "out")
    assert array(data.train_images).shape == (100, 4, 4, 3)
    assert array(data.train_images)[:, 2, 2, 0].tolist() == [2 * i for i in range(100)]
    assert (data.mean, data.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("split", ["train", "val"])
def test_99_classes_are_refused_and_the_missing_one_named(tree: Path, split: str) -> None:
    shutil.rmtree(tree / split / WNIDS[41])
    sentence = rf"{split}: class {WNIDS[41]} of ImageNet100 is missing \(99 of 100"
    with pytest.raises(StudyError, match=sentence):
        datasets.fingerprint(source(tree))
    with pytest.raises(StudyError, match=sentence):
        datasets.read(source(tree), "train" if split == "train" else "test")


@pytest.mark.parametrize("name", ["n00000001", "my_class"])
def test_an_unknown_class_is_refused_by_name(tree: Path, name: str) -> None:
    (tree / "train" / name).mkdir()
    with pytest.raises(StudyError, match=rf"{name} is not a class of ImageNet100; .* not 101"):
        datasets.read(source(tree), "train")


def test_of_all_1000_classes_the_100_are_taken(tree: Path) -> None:
    before = datasets.fingerprint(source(tree))
    for name in OTHERS:
        (tree / "train" / name).mkdir()
    assert len(datasets.read(source(tree), "train").images) == 100
    assert datasets.fingerprint(source(tree)) == before


def test_an_empty_class_is_named(tree: Path) -> None:
    next((tree / "train" / WNIDS[7]).iterdir()).unlink()
    with pytest.raises(StudyError, match=rf"train/{WNIDS[7]}: it has no image"):
        datasets.read(source(tree), "train")


def write_truth(root: Path, form: str, wnids: list[str]) -> Path:
    kit = root / "ILSVRC2012_devkit_t12" / "data"
    if form == "csv":
        names = [f"ILSVRC2012_val_{i + 1:08d}" for i in range(len(wnids))]
        lines = [f"{n},{w} 1 2 3 4 {w} 5 6 7 8" for n, w in zip(names, wnids, strict=True)]
        path = root / "LOC_val_solution.csv"
        path.write_text("\n".join(["ImageId,PredictionString", *reversed(lines)]) + "\n")
        return path
    kit.mkdir(parents=True, exist_ok=True)
    path = kit / "ILSVRC2012_validation_ground_truth.txt"
    if form == "wnids":
        path.write_text("\n".join(wnids) + "\n")
        return path
    known = sorted(set(wnids) | set(WNIDS), reverse=True)
    rows = [(i + 1, w, "some words", 0) for i, w in enumerate(known)]
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    savemat(kit / "meta.mat", {"synsets": np.array(rows, dtype=kinds)[:, None]})
    path.write_text("".join(f"{known.index(w) + 1}\n" for w in wnids))
    return path


@pytest.mark.parametrize("extra", [0, 900])
@pytest.mark.parametrize("form", ["csv", "wnids", "numbers"])
def test_flat_validation_images_are_labelled_by_the_ground_truth(
    tree: Path, form: str, extra: int
) -> None:
    write_truth(tree, form, flatten(tree, extra))
    read = datasets.read(source(tree), "test")
    assert read.labels.tolist() == list(range(100))
    assert [image.getpixel((0, 0))[0] for image in each(read.images)] == [2 * i for i in range(100)]


def test_the_ground_truth_is_part_of_the_fingerprint(tree: Path) -> None:
    wnids = flatten(tree)
    write_truth(tree, "wnids", wnids)
    before = datasets.fingerprint(source(tree))
    write_truth(tree, "wnids", wnids[::-1])
    assert datasets.fingerprint(source(tree)) != before


def test_flat_images_without_ground_truth_are_refused(tree: Path) -> None:
    flatten(tree)
    for ask in (datasets.fingerprint, lambda s: datasets.read(s, "test")):
        with pytest.raises(StudyError, match=r"no ground truth: neither LOC_val_solution\.csv"):
            ask(source(tree))


@pytest.mark.parametrize("form", ["csv", "wnids", "numbers"])
def test_ground_truth_of_another_list_is_refused(tree: Path, form: str) -> None:
    wnids = flatten(tree)
    wnids[3] = wnids[4]
    path = write_truth(tree, form, wnids)
    with pytest.raises(StudyError, match=rf"{path.name}: class n\d+ of ImageNet100 is missing"):
        datasets.read(source(tree), "test")


def test_ground_truth_that_does_not_fit_the_images_is_refused(tree: Path) -> None:
    wnids = flatten(tree)
    path = write_truth(tree, "csv", [*wnids, wnids[0]])
    with pytest.raises(StudyError, match="image ILSVRC2012_val_00000101 is missing"):
        datasets.read(source(tree), "test")
    write_truth(tree, "csv", wnids[:-1])
    with pytest.raises(StudyError, match=r"no line for the validation image .*0100"):
        datasets.read(source(tree), "test")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match="a table with ImageId and PredictionString"):
        datasets.read(source(tree), "test")
    path.unlink()
    path = write_truth(tree, "wnids", wnids[:-1])
    with pytest.raises(StudyError, match="it has 99 lines for 100 validation images"):
        datasets.read(source(tree), "test")
    path.write_text("1\n" * 100)
    with pytest.raises(StudyError, match=r"meta\.mat, which translates its numbers, is missing"):
        datasets.read(source(tree), "test")
    write_truth(tree, "numbers", wnids)
    path.write_text("101\n" * 100)
    with pytest.raises(StudyError, match=r"the number 101 is not in .*meta\.mat"):
        datasets.read(source(tree), "test")


@pytest.mark.parametrize("split", ["train", "val"])
def test_missing_folders_are_named(tree: Path, split: str) -> None:
    shutil.rmtree(tree / split)
    with pytest.raises(StudyError, match=f"the {split} folder of ImageNet is missing"):
        datasets.fingerprint(source(tree))
    with pytest.raises(StudyError, match=r"source\.path: there is no folder"):
        datasets.fingerprint(source(tree / "nothing"))
