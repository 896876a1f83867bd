"""The prepared format: what is loaded is what was written, and damage is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damage import turn_bit
from pictures import array
from tausweep import data as datasets
from tausweep.data.prepared import FORMS, manifest_text, per_class, sealed
from tausweep.study import DatasetSettings, Source, StudyError

SQUARES = FORMS["squares"].files
AGAIN = r"; remove .*manifest\.json and prepare the dataset again"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = DatasetSettings(source=Source(kind="digits"), image_size=8, train_limit=50)
    datasets.prepare(settings, tmp_path / "digits")
    return tmp_path / "digits"


def test_types_shapes_and_constants(folder: Path) -> None:
    data = datasets.load(folder, verify=True)
    train, test = array(data.train_images), array(data.test_images)
    assert (train.dtype, train.shape) == (np.dtype(np.uint8), (50, 8, 8, 3))
    assert (data.train_labels.dtype, data.train_labels.shape) == (np.dtype(np.int64), (50,))
    assert (test.dtype, test.shape) == (np.dtype(np.uint8), (360, 8, 8, 3))
    assert (data.test_labels.dtype, data.test_labels.shape) == (np.dtype(np.int64), (360,))
    assert data.classes == [str(i) for i in range(10)]
    assert (data.mean, data.std) == datasets.normalisation("digits")
    assert data.digest == data.manifest["digest"]


def test_images_are_mapped_and_read_only(folder: Path) -> None:
    images = datasets.load(folder).train_images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_the_files_are_plain_npy_and_json(folder: Path) -> None:
    for name in SQUARES:
        np.load(folder / name, allow_pickle=False)
    text = (folder / "manifest.json").read_text()
    assert text == manifest_text(json.loads(text))


@pytest.mark.parametrize("name", SQUARES)
@pytest.mark.parametrize("damage", ["removed", "truncated", "longer", "not npy"])
def test_damage_is_named_with_how_to_mend_it(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "longer":
        path.write_bytes(content + b"\0")
    else:
        path.write_bytes(b"\0" * len(content))
    with pytest.raises(StudyError, match=f"{name}: .*{AGAIN}"):
        datasets.load(folder)


def test_a_header_of_another_dtype_or_shape_is_named(folder: Path) -> None:
    labels = folder / "test_labels.npy"
    content = labels.read_bytes()
    labels.write_bytes(content.replace(b"<i8", b"<u8"))
    with pytest.raises(StudyError, match=r"test_labels\.npy: it is uint64 \(360,\), the manifest"):
        datasets.load(folder)
    labels.write_bytes(content)
    images = folder / "train_images.npy"
    images.write_bytes(images.read_bytes().replace(b"(50, 8, 8, 3)", b"(25, 8,16, 3)"))
    with pytest.raises(StudyError, match=r"train_images\.npy: .*\(25, 8, 16, 3\)"):
        datasets.load(folder)


def test_altered_labels_are_noticed_at_once(folder: Path) -> None:
    turn_bit(folder / "test_labels.npy", -8)
    with pytest.raises(StudyError, match=r"test_labels\.npy: its labels are not those"):
        datasets.load(folder)


def test_one_altered_pixel_is_found_by_verification(folder: Path) -> None:
    turn_bit(folder / "train_images.npy", -1)
    datasets.load(folder)
    with pytest.raises(StudyError, match=rf"train_images\.npy: its content was altered.*{AGAIN}"):
        datasets.load(folder, verify=True)


def test_no_manifest_means_not_prepared(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(StudyError, match=r"holds no prepared data \(manifest\.json is missing\)"):
        datasets.load(folder)
    with pytest.raises(StudyError, match="holds no prepared data"):
        datasets.load(folder / "nowhere")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m | {"format": "tausweep squares 9"}, "its format is 'tausweep squares 9'"),
        (lambda m: {}, "its format is None"),
        (lambda m: m | {"digest": "0" * 64}, "it was altered"),
        (lambda m: m | {"classes": m["classes"][::-1]}, "it was altered"),
        (lambda m: {k: v for k, v in m.items() if k != "files"}, "it was altered"),
        (lambda m: [m], "its format is None"),
    ],
)
def test_an_altered_manifest_is_named(
    folder: Path, change: Callable[[Any], Any], sentence: str
) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(StudyError, match=rf"manifest\.json: {sentence}.*{AGAIN}"):
        datasets.load(folder)


def test_a_truncated_manifest_is_named(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(StudyError, match=r"manifest\.json: it is not JSON"):
        datasets.load(folder)


def test_seal_covers_every_part() -> None:
    manifest = sealed({"a": 1, "b": {"c": 2}})
    assert sealed(manifest) == manifest
    assert sealed(manifest | {"b": {"c": 3}})["seal"] != manifest["seal"]


def test_counts_name_every_class_even_an_empty_one() -> None:
    assert per_class(np.array([0, 0, 2]), ["a", "b", "c"]) == {"a": 2, "b": 0, "c": 1}
    assert per_class(np.array([0, 7]), ["a"]) == {"a": 1, "7": 1}
