"""CIFAR-10 and CIFAR-100 from their original archives, read by torchvision.

The batches are pickles, which can run code when they are opened. So each is first compared with its
published MD5 digest, here (to name the wrong file) and again in torchvision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.data import archives
from tausweep.data.archives import Published
from tausweep.data.sources import SourceSplit, Split, root
from tausweep.study import StudyError

if TYPE_CHECKING:
    from tausweep.study import Source


@dataclass(frozen=True)
class Archive:
    """A CIFAR archive: the file, the folder that it unpacks to, and the files in that folder."""

    file: Published
    folder: str
    train: tuple[Published, ...]
    test: tuple[Published, ...]
    meta: Published
    class_names: str

    @property
    def contents(self) -> tuple[Published, ...]:
        """All files in the folder."""
        return (*self.train, *self.test, self.meta)


ARCHIVES = {
    "cifar10": Archive(
        Published(
            "cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        ),
        "cifar-10-batches-py",
        (
            Published("data_batch_1", "c99cafc152244af753f735de768cd75f"),
            Published("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
            Published("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
            Published("data_batch_4", "634d18415352ddfa80567beed471001a"),
            Published("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ),
        (Published("test_batch", "40351d587109b95175f43aff81a1287e"),),
        Published("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
        "label_names",
    ),
    "cifar100": Archive(
        Published(
            "cifar-100-python.tar.gz",
            "eb9058c3a382ffc7106e4002c42a8d85",
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        ),
        "cifar-100-python",
        (Published("train", "16019d7e3df5f24257cddd939b257f8d"),),
        (Published("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
        Published("meta", "7973b15100ade9c7d40fb424638fde48"),
        "fine_label_names",
    ),
}
"""The same digests as in torchvision, repeated so that a fingerprint needs no torchvision."""


def read(source: Source, split: Split, archive: Archive | None = None) -> SourceSplit:
    """Read one split: N x 32 x 32 x 3 uint8, in the archive's order and with its class ids.

    Uses the unpacked folder if it is intact, otherwise unpacks the archive beside it, otherwise
    downloads it if ``source.download`` is set.

    Raises:
        StudyError: A file is missing, truncated or altered; the message names it.
    """
    import numpy as np
    from torchvision import datasets

    archive = archive or ARCHIVES[source.kind]
    place = root(source)
    _provide(archive, place, source.download)
    attributes: dict[str, Any] = {
        "base_folder": archive.folder,
        "train_list": [[file.name, file.md5] for file in archive.train],
        "test_list": [[file.name, file.md5] for file in archive.test],
        "meta": {
            "filename": archive.meta.name,
            "key": archive.class_names,
            "md5": archive.meta.md5,
        },
    }
    reader = type("CIFAR", (datasets.CIFAR10,), attributes)
    data = reader(place, train=split == "train", download=False)
    return SourceSplit(data.data, np.array(data.targets, dtype=np.int64), list(data.classes))


def fingerprint(source: Source) -> str:
    """A constant made from the published digests."""
    return archives.digest(ARCHIVES[source.kind].contents)


def _provide(archive: Archive, place: Path, download: bool) -> None:
    """Make sure that all files are there as published."""
    folder = place / archive.folder
    if archives.first_fault(folder, archive.contents) is None:
        return
    packed = archives.fault(place, archive.file)
    if packed and not download:
        wrong = archives.first_fault(folder, archive.contents) if folder.is_dir() else None
        if wrong is None or (place / archive.file.name).is_file():
            wrong = packed
        raise StudyError(
            f"{wrong}; put {archive.file.name} into {place}, or set source.download to true"
        )
    from torchvision.datasets.utils import extract_archive

    def unpack() -> None:
        # Another process may have unpacked it while this one waited.
        if archives.first_fault(folder, archive.contents):
            extract_archive(place / archive.file.name, place)

    archives.fetch(archive.file, place, unpack)
    if wrong := archives.first_fault(folder, archive.contents):
        raise StudyError(f"{wrong}, although {place / archive.file.name} is as published")
