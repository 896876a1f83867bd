"""ImageNet100: 100 classes of an ImageNet tree, from CMC's list (also used by Wang & Isola).

The paper's own list is in a supplement that is not public (docs/protocol.md). Training images are
in ``train/<wnid>/``. The validation images are the test split. They are in ``val/<wnid>/``, or flat
in ``val/`` with one of these files in the root, in ``val/`` or in ``ILSVRC2012_devkit_t12/data/``:

- ``LOC_val_solution.csv``: ``ImageId,PredictionString``, where the prediction starts with the wnid;
- ``ILSVRC2012_validation_ground_truth.txt``: one line per image in the order of the file names,
  with a wnid or an ILSVRC number that ``meta.mat`` beside it translates.

The tree must have exactly the 100 classes or all 1,000. Class ids follow the sorted wnids.
"""

from __future__ import annotations

import csv
import hashlib
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from tausweep.data import trees
from tausweep.data.sources import SPLITS, Look, SourceSplit, Split, root
from tausweep.study import StudyError

if TYPE_CHECKING:
    from tausweep.study import Source

CSV = "LOC_val_solution.csv"
TXT = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
_WNID = re.compile(r"n\d{8}")


def classes() -> list[str]:
    """The 100 wnids, sorted."""
    table = resources.files("tausweep.data.sources").joinpath("imagenet100.tsv").read_text("utf-8")
    return sorted(row["wnid"] for row in csv.DictReader(table.splitlines(), delimiter="\t"))


def read(source: Source, split: Split) -> SourceSplit:
    """List one split; its images are decoded on access.

    Raises:
        StudyError: A folder or the ground truth is missing or inconsistent, or the classes are
            neither the 100 nor all 1,000.
    """
    import numpy as np

    from tausweep.data.pictures import Pictures

    place, names = root(source), classes()
    folder, found = _listing(place, split, names)
    if found is None:
        found = _by_ground_truth(place, names)
    paths = [folder / file.path for name in names for file in found[name]]
    labels = np.repeat(np.arange(len(names)), [len(found[name]) for name in names])
    return SourceSplit(Pictures(paths), labels.astype(np.int64), names)


def look(source: Source) -> Look:
    """List the images in use: a digest of their relative paths, sizes and the ground truth.

    They are counted by class if both splits have class folders.

    Raises:
        StudyError: As for ``read``, except that the ground truth's content is not checked.
    """
    place, names = root(source), classes()
    digested: list[trees.ListedFile] = []
    files: dict[str, tuple[int, int]] = {}
    counts: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        folder, found = _listing(place, split, names)
        if found is not None:
            listed = [file for name in names for file in found[name]]
            counts[split] = {name: len(found[name]) for name in names}
        else:
            listed = trees.images(folder, deep=False)
        files |= {f"{folder.name}/{path}": (size, changed) for path, size, changed in listed}
        if found is None:
            truth = hashlib.sha256(_ground_truth(place).read_bytes()).hexdigest()
            listed.append(trees.ListedFile(truth, 0))
        digested += [file._replace(path=f"{split}/{file.path}") for file in listed]
    return Look(trees.digest(digested), files, counts if len(counts) == len(SPLITS) else None)


def _listing(
    place: Path, split: str, names: list[str]
) -> tuple[Path, dict[str, list[trees.ListedFile]] | None]:
    """The split's folder, and paths in it by class, or none if the images are flat in it."""
    if not place.is_dir():
        raise StudyError(f"source.path: there is no folder {place}")
    folder = place / ("train" if split == "train" else "val")
    if not folder.is_dir():
        raise StudyError(f"{place}: the {folder.name} folder of ImageNet is missing")
    there = trees.subfolders(folder)
    if split == "test" and not there:
        return folder, None
    _check(there, names, str(folder))
    found = {}
    for name in names:
        files = trees.images(folder / name)
        found[name] = [file._replace(path=f"{name}/{file.path}") for file in files]
        if not found[name]:
            raise StudyError(
                f"{folder / name}: it has no image ({', '.join(trees.IMAGE_SUFFIXES)})"
            )
    return folder, found


def _check(there: list[str], names: list[str], where: str) -> None:
    """Check for exactly the 100 classes, or ImageNet's 1,000 that include them."""
    missing = sorted(set(names) - set(there))
    if missing:
        raise StudyError(
            f"{where}: class {missing[0]} of ImageNet100 is missing "
            f"({len(names) - len(missing)} of {len(names)} are there)"
        )
    whole = len(there) == 1000 and all(_WNID.fullmatch(name) for name in there)
    unknown = sorted(set(there) - set(names))
    if unknown and not whole:
        raise StudyError(
            f"{where}: {unknown[0]} is not a class of ImageNet100; there must be its 100 classes "
            f"or all 1,000 of ImageNet, not {len(there)}"
        )


def _ground_truth(place: Path) -> Path:
    folders = (place, place / "val", place / "ILSVRC2012_devkit_t12" / "data")
    for path in (folder / name for folder in folders for name in (CSV, TXT)):
        if path.is_file():
            return path
    raise StudyError(
        f"{place / 'val'}: it has no class folders and no ground truth: neither {CSV} nor "
        f"{TXT} is in {', '.join(str(folder) for folder in folders)}"
    )


def _by_ground_truth(place: Path, names: list[str]) -> dict[str, list[trees.ListedFile]]:
    """Flat validation images by class."""
    truth = _ground_truth(place)
    files = trees.images(place / "val", deep=False)
    lines = [line for line in truth.read_text("utf-8").splitlines() if line.strip()]
    wnids = (_from_csv if truth.name == CSV else _from_lines)(truth, lines, files)
    _check(sorted(set(wnids)), names, str(truth))
    found: dict[str, list[trees.ListedFile]] = {name: [] for name in names}
    for file, wnid in zip(files, wnids, strict=True):
        if wnid in found:
            found[wnid].append(file)
    return found


def _from_csv(truth: Path, lines: list[str], files: list[trees.ListedFile]) -> list[str]:
    """The wnid of each file, found by its name."""
    rows = list(csv.DictReader(lines))
    if not rows or not {"ImageId", "PredictionString"} <= rows[0].keys():
        raise StudyError(f"{truth}: a table with ImageId and PredictionString is needed")
    said = {row["ImageId"]: row["PredictionString"].split(" ")[0] for row in rows}
    there = [Path(file.path).stem for file in files]
    for name in there:
        if name not in said:
            raise StudyError(f"{truth}: it has no line for the validation image {name}")
    if missing := sorted(said.keys() - set(there)):
        raise StudyError(f"{truth}: the validation image {missing[0]} is missing")
    return [said[name] for name in there]


def _from_lines(truth: Path, lines: list[str], files: list[trees.ListedFile]) -> list[str]:
    """The wnid of each file, found by its position; the kit's table translates numbers."""
    if len(lines) != len(files):
        raise StudyError(f"{truth}: it has {len(lines)} lines for {len(files)} validation images")
    words = [line.strip() for line in lines]
    if not all(word.isdigit() for word in words):
        return words
    meta = truth.with_name(META)
    if not meta.is_file():
        raise StudyError(f"{truth}: {meta}, which translates its numbers, is missing")
    from scipy.io import loadmat

    synsets = loadmat(meta, squeeze_me=True)["synsets"]
    pairs = zip(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist(), strict=True)
    names = {int(number): str(wnid) for number, wnid in pairs}
    for word in words:
        if int(word) not in names:
            raise StudyError(f"{truth}: the number {word} is not in {meta}")
    return [names[int(word)] for word in words]
