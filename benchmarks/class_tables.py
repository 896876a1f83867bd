"""Write the tables of benchmarks/many-classes.yaml: which images of Tiny ImageNet it takes.

    python benchmarks/class_tables.py data/tiny-imagenet

The folder is ``train/<class>/``, with 200 classes of 500 images each, directly in it or in a folder
``images`` (the layout of the original archive). Its validation and test images are not used. The
tables are written beside the folder: ``tiny-imagenet-10.csv`` and ``tiny-imagenet-100.csv``.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from tausweep.data import trees
from tausweep.storage.atomic import write_text
from tausweep.study import StudyError

CLASSES = 200
IMAGES = 500
SIZES = {10: (400, 100), 100: (40, 40)}
"""Training and test images of each class, by the number of classes."""


def table(folder: Path, classes: int) -> str:
    """The table of some of the classes, evenly spaced in the order of their names.

    The ten are among the hundred. Training images are a class's first, test images those after its
    first 400, so that the smaller split of a class is a part of the larger.

    Raises:
        StudyError: The folder has other classes or too few images.
    """
    names = trees.subfolders(folder / "train")
    if len(names) != CLASSES:
        raise StudyError(f"{folder}/train: {CLASSES} classes are needed, it has {len(names)}")
    train, test = SIZES[classes]
    rows = []
    for name in names[:: CLASSES // classes]:
        images = [f"train/{name}/{file.path}" for file in trees.images(folder / "train" / name)]
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


def main(folder: Path) -> None:
    """Write both tables beside the folder."""
    for classes in SIZES:
        write_text(folder.with_name(f"{folder.name}-{classes}.csv"), table(folder, classes))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except StudyError as error:
        sys.exit(str(error))
