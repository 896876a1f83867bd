"""Write the tables of benchmarks/many-classes.yaml: which images of Tiny ImageNet it takes.

    python benchmarks/class_tables.py data/tiny-imagenet

The folder is ``train/<class>/``, with 200 classes of 500 images each, directly in it or in a folder
``images`` (the layout of the original archive, tiny-imagenet-200.zip). Its validation and test
images are not used. The tables are written beside the folder, and the SHA-256 of each is printed:
``tiny-imagenet-10.csv`` and ``tiny-imagenet-100.csv``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import sys
from pathlib import Path, PurePosixPath

from tausweep.data import trees
from tausweep.storage.atomic import write_text
from tausweep.study import StudyError

CLASSES = 200
IMAGES = 500
SIZES = {10: (400, 100), 100: (40, 40)}
"""Training and test images of each class, by the number of classes."""


def table(folder: Path, classes: int) -> str:
    """The table of some of the classes, evenly spaced in the order of their names.

    The ten are among the hundred. Images are in the order of the number at the end of their name,
    so that a copy with other names gives the same ones. Training images are a class's first, test
    images those after its first 400. So a class's training images in the table of 100 are among
    those in the table of 10, and its test images too.

    Raises:
        StudyError: The folder has other classes or too few images.
    """
    names = trees.subfolders(folder / "train")
    if len(names) != CLASSES:
        raise StudyError(f"{folder}/train: {CLASSES} classes are needed, it has {len(names)}")
    train, test = SIZES[classes]
    rows = []
    for name in names[:: CLASSES // classes]:
        found = [file.path for file in trees.images(folder / "train" / name)]
        images = [f"train/{name}/{path}" for path in sorted(found, key=_number)]
        if len(images) != IMAGES:
            raise StudyError(
                f"{folder}/train/{name}: {IMAGES} images are needed, it has {len(images)}"
            )
        first_test = max(count for count, _ in SIZES.values())
        rows += [[path, name, "train"] for path in images[:train]]
        rows += [[path, name, "test"] for path in images[first_test : first_test + test]]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([["path", "label", "split"], *rows])
    return written.getvalue()


def _number(path: str) -> tuple[int, str]:
    """The number at the end of an image's name: 12 of ``n01443537_12.JPEG`` and of ``0012.jpg``."""
    digits = re.search(r"(\d+)$", PurePosixPath(path).stem)
    return (int(digits[1]) if digits else -1), path


def main(folder: Path) -> None:
    """Write both tables beside the folder."""
    for classes in SIZES:
        text, path = table(folder, classes), folder.with_name(f"{folder.name}-{classes}.csv")
        write_text(path, text)
        print(f"{path}  {hashlib.sha256(text.encode()).hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: class_tables.py FOLDER", file=sys.stderr)
        sys.exit(2)
    try:
        main(Path(sys.argv[1]))
    except StudyError as error:
        print(f"class_tables: error: {error}", file=sys.stderr)
        sys.exit(2)
