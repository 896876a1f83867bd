"""Street View House Numbers (cropped digits) from the original ``.mat`` files, by torchvision.

Class ids are the digits; the files' label 10 is digit 0. The training split is ``train`` (73,257
images, unbalanced) and, with ``source.extra``, the 531,131 of ``extra`` after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tausweep.data import archives
from tausweep.data.archives import Published
from tausweep.data.sources import SourceSplit, Split, root
from tausweep.study import StudyError

if TYPE_CHECKING:
    from tausweep.study import Source

_HOST = "http://ufldl.stanford.edu/housenumbers/"

FILES = {
    name: Published(f"{name}_32x32.mat", md5, f"{_HOST}{name}_32x32.mat")
    for name, md5 in {
        "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test": "eb5a983be6a315427106f1b164d9cef3",
        "extra": "a93ce644f1a588dc4d68dda5feec44a7",
    }.items()
}
"""The same digests as in torchvision, repeated so that a fingerprint needs no torchvision."""

CLASSES = [str(digit) for digit in range(10)]


def read(
    source: Source, split: Split, published: dict[str, Published] | None = None
) -> SourceSplit:
    """Read one split: N x 32 x 32 x 3 uint8, in the files' order.

    Raises:
        StudyError: A file is missing, truncated or altered; the message names it.
    """
    import numpy as np
    from torch.utils.data import ConcatDataset

    published = published or FILES
    wanted = ["train", "extra"] if split == "train" and source.extra else [split]
    files = [published[name] for name in wanted]
    for file in files:
        _provide(source, file)
    parts = [_read(source, file) for file in files]
    images = [part.images for part in parts]
    return SourceSplit(
        images[0] if len(images) == 1 else ConcatDataset(images),  # type: ignore[arg-type]
        np.concatenate([part.labels for part in parts]),
        CLASSES,
    )


def fingerprint(source: Source) -> str:
    """A constant made from the published digests of the files in use."""
    names = ["train", "test", "extra"] if source.extra else ["train", "test"]
    return archives.digest(FILES[name] for name in names)


def _read(source: Source, file: Published) -> SourceSplit:
    from torchvision import datasets

    # torchvision finds file and digest by the name of a split, so we give it our file as "train".
    reader = type(
        "SVHN", (datasets.SVHN,), {"split_list": {"train": [file.url, file.name, file.md5]}}
    )
    data = reader(root(source), split="train", download=False)
    return SourceSplit(data.data.transpose(0, 2, 3, 1), data.labels, CLASSES)


def _provide(source: Source, file: Published) -> None:
    place = root(source)
    wrong = archives.fault(place, file)
    if wrong is None:
        return
    if not source.download:
        raise StudyError(f"{wrong}; put {file.name} into {place}, or set source.download to true")
    archives.fetch(file, place)
