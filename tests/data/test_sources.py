"""Dispatch, and what must hold for every source."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pictures import array
from tausweep import data as datasets
from tausweep.data.sources import SourceSplit, aligned, root
from tausweep.study import DatasetSettings, Source, StudyError


def test_fingerprint_imports_nothing_heavy(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "tree" / split / "a").mkdir(parents=True)
        (tmp_path / "tree" / split / "a" / "1.png").write_bytes(b"x")
    (tmp_path / "mine.py").write_text("import torch")
    program = f"""
import sys
from tausweep import data as datasets
from tausweep.study import Source
kinds = ("digits", "translated_digits", "cifar10", "cifar100", "svhn")
sources = [Source(kind=kind) for kind in kinds]
sources.append(Source(kind="folder", path={str(tmp_path / "tree")!r}))
sources.append(Source(kind="plugin", module={str(tmp_path / "mine.py")!r}))
for source in sources:
    assert len(datasets.fingerprint(source)) == 64
    datasets.normalisation(source.kind)
heavy = ["torch", "torchvision", "sklearn", "scipy", "numpy", "PIL", "pandas"]
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_fingerprints_tell_the_sources_apart() -> None:
    kinds = ("digits", "translated_digits", "cifar10", "cifar100", "svhn")
    sources = [Source(kind=kind) for kind in kinds]
    sources.append(Source(kind="svhn", extra=True))
    prints = [datasets.fingerprint(source) for source in sources]
    assert len(set(prints)) == len(sources)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in prints)


def test_archives_fingerprint_does_not_depend_on_where_they_lie() -> None:
    here, there = Source(kind="cifar10"), Source(kind="cifar10", path="elsewhere", download=True)
    assert datasets.fingerprint(here) == datasets.fingerprint(there)


def test_the_default_place_is_data_and_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    assert root(Source(kind="svhn")).as_posix() == "data/svhn"
    monkeypatch.setenv("HOME", "/home/somebody")
    assert root(Source(kind="svhn", path="~/x")).as_posix() == "/home/somebody/x"


def test_normalisation_constants_are_the_protocols() -> None:
    cifar = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    for kind in ("cifar10", "cifar100", "svhn", "folder", "plugin"):
        assert datasets.normalisation(kind) == cifar
    assert datasets.normalisation("imagenet100") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("kind", ["digits", "translated_digits"])
def test_normalisation_of_bundled_images_is_the_training_splits_own(kind: str) -> None:
    pixels = array(datasets.read(Source(kind=kind), "train").images) / 255
    mean, std = datasets.normalisation(kind)
    assert np.allclose(pixels.mean((0, 1, 2)), mean, atol=5e-5)
    assert np.allclose(pixels.std((0, 1, 2)), std, atol=5e-5)


@pytest.mark.parametrize(
    ("kind", "size", "digest"),
    [
        ("digits", 8, "aea0b3e8c6e28818f8a861cf97714b59bb0bb34272146c2bd7c4f4a3af794c34"),
        (
            "translated_digits",
            12,
            "18120230ea99c5bcbf5cedb60abb6b61d01b8c0fadaf5cbd2eac81d932d55fb4",
        ),
    ],
)
def test_data_digest_of_bundled_images_is_the_same_everywhere(
    kind: str, size: int, digest: str, tmp_path: Path
) -> None:
    settings = DatasetSettings(source=Source(kind=kind), image_size=size)
    assert datasets.prepare(settings, tmp_path)["digest"] == digest
    assert array(datasets.load(tmp_path).train_images).shape == (1437, size, size, 3)


def test_a_split_is_train_or_test() -> None:
    with pytest.raises(ValueError, match="'val' is not allowed"):
        datasets.read(Source(kind="digits"), "val")  # type: ignore[arg-type]


def test_aligned_renames_ids_by_class_name() -> None:
    train = SourceSplit([0] * 3, np.array([0, 1, 2]), ["x", "y", "z"])
    test = aligned(train, SourceSplit([0] * 3, np.array([0, 1, 1]), ["z", "x"]))
    assert test.labels.tolist() == [2, 0, 0]
    assert test.classes == train.classes
    with pytest.raises(StudyError, match="class 'w'"):
        aligned(train, SourceSplit([0], np.array([0]), ["w"]))
