"""SVHN's .mat files: digits as ids, the extra split, damage named."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from pictures import array
from tausweep import data as datasets
from tausweep.data.archives import Published
from tausweep.data.sources import Split, svhn
from tausweep.study import DatasetSettings, Source, StudyError

# A GPU machine has not got it.
torchvision = pytest.importorskip("torchvision")

LABELS = {"train": [10, 1, 2, 9, 10], "test": [3, 10], "extra": [5, 6, 10]}


def images(split: str) -> NDArray[np.uint8]:
    seed = sorted(LABELS).index(split)
    shape = (len(LABELS[split]), 32, 32, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Tiny files in the exact format; their own digests stand in for the published ones."""
    for split, labels in LABELS.items():
        stream = io.BytesIO()
        table = {
            "X": images(split).transpose(1, 2, 3, 0),
            "y": np.array(labels, dtype=np.uint8)[:, None],
        }
        savemat(stream, table, do_compression=True)
        content = stream.getvalue()
        name = svhn.FILES[split].name
        (tmp_path / name).write_bytes(content)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        monkeypatch.setitem(svhn.FILES, split, Published(name, digest, "nowhere"))
    return Source(kind="svhn", path=str(tmp_path))


def test_published_digests_are_torchvisions() -> None:
    ours = {name: [f.url, f.name, f.md5] for name, f in svhn.FILES.items()}
    assert ours == torchvision.datasets.SVHN.split_list


def test_label_10_is_digit_0(source: Source) -> None:
    assert datasets.read(source, "train").labels.tolist() == [0, 1, 2, 9, 0]
    assert datasets.read(source, "test").labels.tolist() == [3, 0]
    assert datasets.read(source, "test").classes == [str(i) for i in range(10)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_are_height_width_channel(source: Source, split: Split) -> None:
    assert np.array_equal(array(datasets.read(source, split).images), images(split))


def test_extra_comes_after_train_and_only_if_asked_for(source: Source) -> None:
    extra = source.model_copy(update={"extra": True})
    train = datasets.read(extra, "train")
    assert train.labels.tolist() == [0, 1, 2, 9, 0, 5, 6, 0]
    assert len(train.images) == 8
    assert np.array_equal(train.images[4], images("train")[4])
    assert np.array_equal(train.images[5], images("extra")[0])
    assert len(datasets.read(extra, "test").images) == 2


def test_extra_is_prepared_with_the_rest(source: Source, tmp_path: Path) -> None:
    extra = source.model_copy(update={"extra": True})
    datasets.prepare(DatasetSettings(source=extra), tmp_path / "out")
    data = datasets.load(tmp_path / "out")
    assert np.array_equal(
        array(data.train_images), np.concatenate([images("train"), images("extra")])
    )
    assert data.manifest["splits"]["train"]["per_class"]["0"] == 3


def test_unbalanced_classes_are_kept_as_they_are(source: Source, tmp_path: Path) -> None:
    manifest = datasets.prepare(DatasetSettings(source=source), tmp_path / "out")
    counts = manifest["splits"]["train"]["per_class"]
    assert counts == {str(i): {0: 2, 1: 1, 2: 1, 9: 1}.get(i, 0) for i in range(10)}


def test_a_truncated_file_is_named(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StudyError, match=r"test_32x32\.mat is truncated or altered \(MD5"):
        datasets.read(source, "test")


def test_a_missing_file_is_named_only_where_it_is_needed(source: Source, tmp_path: Path) -> None:
    (tmp_path / "extra_32x32.mat").unlink()
    datasets.read(source, "train")
    with pytest.raises(StudyError, match=r"extra_32x32\.mat is missing; .*source\.download"):
        datasets.read(source.model_copy(update={"extra": True}), "train")


def test_an_impossible_label_is_refused(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test_32x32.mat"
    savemat(path, {"X": images("test").transpose(1, 2, 3, 0), "y": np.array([[3], [11]])})
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(svhn.FILES, "test", Published(path.name, digest))
    with pytest.raises(StudyError, match="label 11 is not allowed; there are 10 classes"):
        datasets.read(source, "test")
