"""The interface of sources, and which module reads which kind.

A source module has ``read(source, split) -> SourceSplit``. If it reads the user's own files, it
also has ``look(source) -> Look``, otherwise ``fingerprint(source) -> str``. Heavy imports are
inside ``read``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tausweep.study import StudyError
from tausweep.study.paths import expanded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tausweep.study import Source

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

_MODULES = {
    "digits": "digits",
    "translated_digits": "translated_digits",
    "folder": "folder",
    "cifar10": "cifar",
    "cifar100": "cifar",
    "svhn": "svhn",
    "imagenet100": "imagenet100",
    "plugin": "plugin",
}

TRAIN_IMAGES = {
    "digits": 1_437,
    "translated_digits": 1_437,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "svhn": 73_257,
    "imagenet100": 126_689,
}
"""Published sizes of the training splits (docs/protocol.md); the digits' split is our own."""

EXTRA_IMAGES = 531_131
"""Published size of SVHN's third split."""

NO_LABEL = -1
"""Stands for the class of an image that has none."""

NO_LABEL_COUNT = ""
"""Its name where images are counted by class: no class has an empty one."""

Channels = tuple[float, float, float]
_CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Our own: mean and standard deviation of the pixels in the training splits of digits.
_DIGITS = ((0.3053, 0.3053, 0.3053), (0.3758, 0.3758, 0.3758))
_TRANSLATED_DIGITS = ((0.1357, 0.1357, 0.1357), (0.2929, 0.2929, 0.2929))


class Images(Protocol):
    """A lazy sequence of PIL images or H x W x 3 uint8 arrays."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class SourceSplit:
    """One split of a source, in the source's order.

    Attributes:
        images: N images of any size, decoded on access.
        labels: N class ids, int64, indices into ``classes``, or ``NO_LABEL``.
        classes: Names of all classes of the training split.

    Examples:
        >>> import numpy as np
        >>> from tausweep.data import SourceSplit
        >>> images, labels = np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 1, 1])
        >>> split = SourceSplit(images, labels, ["cat", "dog"])
        >>> [split.classes[label] for label in split.labels]
        ['cat', 'dog', 'dog']
    """

    images: Images
    labels: NDArray[np.int64]
    classes: list[str]


@dataclass(frozen=True)
class Look:
    """The files and counts of a source, found without reading an image.

    Attributes:
        fingerprint: See ``fingerprint``.
        files: Size and time of change (ns) of each file, by its path below ``root``; empty for
            sources with published archives or without files.
        counts: Images by split and class, with 0 for a class that the test split lacks. None if the
            images must be read to know.
        digests: SHA-256 by path of the files that ``contents`` had to read afterwards, so that it
            reads them only once for all datasets of this source.
    """

    fingerprint: str
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] | None = None
    digests: dict[str, str] = field(default_factory=dict)


def root(source: Source) -> Path:
    """The folder where the images or the original archives of a source lie.

    Raises:
        StudyError: The system refuses to look at its path; see ``expanded``.
    """
    return expanded(source.path or f"data/{source.kind}", "source.path")


def read(source: Source, split: Split) -> SourceSplit:
    """Read one split of a source.

    Raises:
        StudyError: The source is missing, damaged or inconsistent; the message names the file,
            folder or class.
    """
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is not allowed; it should be train or test")
    return _checked(_module(source).read(source, split), f"source {source.kind}, {split} split")


def look(source: Source) -> Look:
    """Look at a source.

    Raises:
        StudyError: There is no such tree, or a split or class is missing in it.
    """
    module = _module(source)
    if hasattr(module, "look"):
        found: Look = module.look(source)
        return found
    return Look(module.fingerprint(source))


@cache
def seen(source: Source) -> Look:
    """The same, but a process looks only once, because a plan asks for every run.

    ``seen.cache_clear()`` makes it look again.

    Raises:
        StudyError: As for ``look``.
    """
    return look(source)


def fingerprint(source: Source) -> str:
    """A cheap digest (64 hexadecimal digits) of a source's content, without reading an image.

    Folder trees: relative path and size of every image, so that copying, touching or moving the
    tree changes nothing (nor does an edit that keeps a file's size). CIFAR, SVHN and the digits: a
    constant of the digests of their published files. Plug-ins: their code, their options and, if
    they name a path, all files there.

    Raises:
        StudyError: As for ``look``.
    """
    return look(source).fingerprint


def train_size(source: Source) -> int | None:
    """Number of training images at a source as ``seen``; none if the images must be read to know.

    Raises:
        StudyError: As for ``look``.
    """
    if source.kind == "folder":
        counts = seen(source).counts
        return sum(counts["train"].values()) if counts else None
    if source.kind == "plugin":
        return None
    extra = EXTRA_IMAGES if source.kind == "svhn" and source.extra else 0
    return TRAIN_IMAGES[source.kind] + extra


def normalisation(kind: str) -> tuple[Channels, Channels]:
    """Mean and standard deviation of the channels of images scaled to [0, 1].

    The author uses CIFAR10's constants for all three 32-pixel datasets (docs/protocol.md), and so
    do we for folders and plug-ins. ImageNet100 has ImageNet's; both kinds of digits have their own.
    """
    own = {
        "imagenet100": _IMAGENET,
        "digits": _DIGITS,
        "translated_digits": _TRANSLATED_DIGITS,
    }
    return own.get(kind, _CIFAR10)


def aligned(train: SourceSplit, test: SourceSplit) -> SourceSplit:
    """Give the test split the class ids of the training split.

    Raises:
        StudyError: The test split has a class that the training split lacks.
    """
    import numpy as np

    place = {name: i for i, name in enumerate(train.classes)}
    for name in test.classes:
        if name not in place:
            raise StudyError(f"class {name!r} is in the test split but not in the training split")
    ids = np.array([place[name] for name in test.classes], dtype=np.int64)
    own = [NO_LABEL if label == NO_LABEL else ids[label] for label in test.labels]
    return SourceSplit(test.images, np.array(own, dtype=np.int64), train.classes)


def _module(source: Source) -> Any:
    return importlib.import_module(f"tausweep.data.sources.{_MODULES[source.kind]}")


def _checked(given: SourceSplit, what: str) -> SourceSplit:
    import numpy as np

    labels, classes = np.asarray(given.labels), list(given.classes)
    if len(set(classes)) < len(classes):
        raise StudyError(f"{what}: a class name is listed twice in {classes}")
    if labels.ndim != 1 or len(labels) != len(given.images):
        raise StudyError(
            f"{what}: each image needs one label; "
            f"there are {len(given.images)} images and labels of shape {labels.shape}"
        )
    if len(labels) == 0:
        raise StudyError(f"{what}: there is no image")
    if labels.dtype.kind not in "iu":
        raise StudyError(f"{what}: labels must be integers, not {labels.dtype}")
    outside = labels[(labels < NO_LABEL) | (labels >= len(classes))]
    if len(outside):
        raise StudyError(
            f"{what}: label {outside[0]} is not allowed; there are {len(classes)} classes, from 0"
        )
    return SourceSplit(given.images, labels.astype(np.int64), classes)
