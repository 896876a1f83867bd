"""Images of a source as folders of PNG files: every pixel, in order, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tausweep.data import image_folders
from tausweep.data.sources import SPLITS, SourceSplit, Split, folder
from tausweep.study import Source, StudyError

CLASSES = ["ship", "cat"]


def read(split: Split) -> SourceSplit:
    rng = np.random.default_rng(SPLITS.index(split))
    labels = np.array([0, 1, 1, 0, 1, 0, 0] if split == "train" else [1, 0, 1])
    images = rng.integers(0, 256, (len(labels), 6, 5, 3), dtype=np.uint8)
    return SourceSplit(images, labels, CLASSES)


def test_the_folder_has_the_sources_pixels_by_class_in_its_order(tmp_path: Path) -> None:
    place = tmp_path / "deep/images"
    assert image_folders.write(read, place) == {"train": 7, "test": 3}
    names = sorted(path.name for path in (place / "train/ship").iterdir())
    assert names == ["0000.png", "0001.png", "0002.png", "0003.png"]
    for split in SPLITS:
        given, found = read(split), folder.read(Source(kind="folder", path=str(place)), split)
        assert found.classes == sorted(CLASSES)
        for name in CLASSES:
            ours = [np.asarray(found.images[int(i)]) for i in of(found, name)]
            theirs = [given.images[int(i)] for i in of(given, name)]
            np.testing.assert_array_equal(ours, theirs)


def of(split: SourceSplit, name: str) -> np.ndarray:
    return np.flatnonzero(split.labels == split.classes.index(name))


def test_an_interrupted_folder_is_not_there_and_a_later_call_replaces_its_rest(
    tmp_path: Path,
) -> None:
    def breaks(split: Split) -> SourceSplit:
        if split == "test":
            raise KeyboardInterrupt
        return read(split)

    with pytest.raises(KeyboardInterrupt):
        image_folders.write(breaks, tmp_path / "images")
    assert [path.name for path in tmp_path.iterdir()] == ["images.part"]
    (tmp_path / "images.part/train/ship/9999.png").write_bytes(b"of another source")
    image_folders.write(read, tmp_path / "images")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    assert len(list(tmp_path.rglob("*.png"))) == 10


@pytest.mark.parametrize("link", [True, False])
def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, link: bool) -> None:
    place = tmp_path / "images"
    if link:
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
    with pytest.raises(StudyError, match="is there already; remove it, or choose another folder"):
        image_folders.write(read, place)
    assert not (tmp_path / "images.part").exists()
