"""Prepared data, which every later stage reads, in one of two forms (docs/data.md).

It is a folder with ``train_labels.npy`` and ``test_labels.npy`` (N int64), the images of both
splits, and ``manifest.json``. The manifest is written last; without it, nothing counts as prepared.
It holds source, preparation, classes, counts, and size and SHA-256 of each file, but no time, host
or path, so the same images give the same bytes. The images of ``squares`` are
``<split>_images.npy`` (N x H x W x 3 uint8, H = W). Those of ``originals`` are encoded one after
another in ``<split>_images.bin``, with ``<split>_sizes.npy`` (N x 3 int64: bytes, height, width).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tausweep.data.originals import BYTES, Originals
from tausweep.data.sources import NO_LABEL, NO_LABEL_COUNT, SPLITS, Channels
from tausweep.storage.layout import File, SplitFile
from tausweep.study import StudyError


@dataclass(frozen=True)
class Form:
    """How images are stored.

    Attributes:
        format: Name and version in the manifest.
        parts: Endings of the names of each split's files.
    """

    format: str
    parts: tuple[SplitFile, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files except the manifest."""
        return tuple(part.of(split) for split in SPLITS for part in self.parts)


FORMS = {
    "squares": Form("tausweep squares 1", (SplitFile.SQUARES, SplitFile.LABELS)),
    "originals": Form(
        "tausweep originals 1", (SplitFile.ENCODED, SplitFile.SIZES, SplitFile.LABELS)
    ),
}


@dataclass(frozen=True)
class Prepared:
    """Prepared data with its images on disk, read-only.

    Attributes:
        train_images: N x H x W x 3 uint8, memory-mapped; or N originals.
        train_labels: N int64, indices into ``classes``; -1 for an image without a label.
        test_images: M images of the same form.
        test_labels: M int64; all of them have a class, or none has.
        classes: Class names.
        mean: Mean of each channel, for images scaled to [0, 1] (``sources.normalisation``).
        std: Standard deviation of each channel.
        digest: SHA-256 of format, classes and arrays, 64 hexadecimal digits.
        manifest: All of ``manifest.json``.
    """

    train_images: NDArray[np.uint8] | Originals
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8] | Originals
    test_labels: NDArray[np.int64]
    classes: list[str]
    mean: Channels
    std: Channels
    digest: str
    manifest: dict[str, Any]


def load(folder: str | Path, verify: bool = False) -> Prepared:
    """Open prepared data and check it against its manifest.

    The format, the presence, size in bytes, dtype and shape of each file, and the number of labels
    of each class are always checked. ``verify`` also reads every byte and compares SHA-256 digests.

    Raises:
        StudyError: Something is missing, truncated or altered; the message names the file and
            says how to make it again.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    images: dict[str, NDArray[np.uint8] | Originals] = {}
    labels = {}
    for split in SPLITS:
        count = manifest["splits"][split]["images"]
        if manifest["format"] == FORMS["squares"].format:
            size = manifest["preparation"]["image_size"]
            path, shape = folder / SplitFile.SQUARES.of(split), (count, size, size, 3)
            images[split] = _open(path, manifest["files"], np.dtype("u1"), shape, verify)
        else:
            images[split] = _open_originals(folder, split, count, manifest["files"], verify)
        path = folder / SplitFile.LABELS.of(split)
        labels[split] = _open(path, manifest["files"], np.dtype("<i8"), (count,), verify)
        counts = manifest["splits"][split]["per_class"]
        if per_class(labels[split], manifest["classes"]) != counts:
            raise _damaged(path, "its labels are not those of the manifest")
    mean, std = (tuple(manifest["normalisation"][part]) for part in ("mean", "std"))
    return Prepared(
        train_images=images["train"],
        train_labels=labels["train"],
        test_images=images["test"],
        test_labels=labels["test"],
        classes=manifest["classes"],
        mean=mean,
        std=std,
        digest=manifest["digest"],
        manifest=manifest,
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest and check its format and its own digest.

    Raises:
        StudyError: As for ``load``.
    """
    path = folder / File.MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise StudyError(
            f"{folder} holds no prepared data ({File.MANIFEST} is missing); "
            "prepare the dataset first"
        ) from None
    except ValueError:
        raise _damaged(path, "it is not JSON") from None
    given = manifest.get("format") if isinstance(manifest, dict) else None
    known = [form.format for form in FORMS.values()]
    if given not in known:
        raise _damaged(path, f"its format is {given!r}, not {' or '.join(map(repr, known))}")
    if manifest != sealed(manifest):
        raise _damaged(path, "it was altered")
    return manifest


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest with ``seal``, the SHA-256 of everything else in it."""
    rest = {key: value for key, value in manifest.items() if key != "seal"}
    return rest | {"seal": _sha256(rest)}


def manifest_text(manifest: dict[str, Any]) -> str:
    """Canonical JSON: sorted keys, ASCII, two spaces, a newline at the end."""
    return json.dumps(manifest, sort_keys=True, indent=2) + "\n"


def content_digest(form: Form, classes: list[str], files: dict[str, dict[str, Any]]) -> str:
    """The data digest: SHA-256 over format, class names and the digests of the files."""
    return _sha256([form.format, classes, {name: entry["sha256"] for name, entry in files.items()}])


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def per_class(labels: NDArray[np.int64], classes: list[str]) -> dict[str, int]:
    """How many images each class has, and how many have none (``NO_LABEL_COUNT``)."""
    ids, counts = np.unique(labels, return_counts=True)
    found = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    named = {name: found.pop(i, 0) for i, name in enumerate(classes)}
    if NO_LABEL in found:
        named[NO_LABEL_COUNT] = found.pop(NO_LABEL)
    return named | {str(other): count for other, count in found.items()}


def _check(path: Path, entry: dict[str, Any], verify: bool) -> None:
    """Compare a file's size, and with ``verify`` its digest, with the manifest's entry."""
    if not path.is_file():
        raise _damaged(path, "it is missing")
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise _damaged(path, f"it has {size} bytes instead of {entry['bytes']}")
    if verify:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                raise _damaged(path, "its content was altered (SHA-256 differs)")


def _open_originals(
    folder: Path, split: str, count: int, files: dict[str, Any], verify: bool
) -> Originals:
    path, table = folder / SplitFile.ENCODED.of(split), folder / SplitFile.SIZES.of(split)
    _check(path, files[path.name], verify)
    sizes = _open(table, files, np.dtype("<i8"), (count, 3), verify)
    if sizes.min() < 1 or int(sizes[:, BYTES].sum()) != files[path.name]["bytes"]:
        raise _damaged(table, f"its sizes are not those of {path.name}")
    return Originals(path, sizes)


def _open(
    path: Path, files: dict[str, Any], dtype: np.dtype[Any], shape: tuple[int, ...], verify: bool
) -> NDArray[Any]:
    _check(path, files[path.name], verify)
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise _damaged(path, f"it is not an npy file ({error})") from None
    if array.dtype != dtype or array.shape != shape:
        raise _damaged(
            path, f"it is {array.dtype} {array.shape}, the manifest says {dtype} {shape}"
        )
    return array


def _damaged(path: Path, what: str) -> StudyError:
    return StudyError(
        f"{path}: {what}; remove {path.parent / File.MANIFEST} and prepare the dataset again"
    )
