"""Prepared data: the one format that every later stage reads.

A folder with ``train_images.npy`` and ``test_images.npy`` (N x H x W x 3 uint8, H = W),
``train_labels.npy`` and ``test_labels.npy`` (N int64), and ``manifest.json``, which is written
last: where it is missing nothing counts as prepared. The manifest holds source, preparation,
classes, counts, and size and SHA-256 of each file; no time, host or path, so the same images give
the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tausweep.datasets.sources import SPLITS, Channels
from tausweep.study import StudyError

# Images of their original sizes would be another format, under a name of its own.
FORMAT = "tausweep squares 1"
MANIFEST = "manifest.json"
FILES = tuple(f"{split}_{part}.npy" for split in SPLITS for part in ("images", "labels"))


@dataclass(frozen=True)
class Prepared:
    """Prepared data, its images mapped from disk and read-only.

    Attributes:
        train_images: N x H x W x 3 uint8.
        train_labels: N int64, indices into ``classes``.
        test_images: M x H x W x 3 uint8.
        test_labels: M int64.
        classes: Class names.
        mean: Of each channel, for images scaled to [0, 1] (``datasets.normalisation``).
        std: The same.
        digest: SHA-256 of format, classes and arrays, 64 hexadecimal digits.
        manifest: All of ``manifest.json``.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: list[str]
    mean: Channels
    std: Channels
    digest: str
    manifest: dict[str, Any]


def load(folder: str | Path, verify: bool = False) -> Prepared:
    """Open prepared data, and check it against its manifest.

    Always checked: format, presence, size in bytes, dtype and shape of each file, and the labels'
    counts. ``verify`` reads every byte and compares SHA-256 digests.

    Raises:
        StudyError: Something is missing, truncated or altered; the sentence names the file and
            says how to make it again.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    size, arrays = manifest["preparation"]["image_size"], {}
    for name in FILES:
        count = manifest["splits"][name.split("_")[0]]["images"]
        shape = (count, size, size, 3) if "images" in name else (count,)
        dtype = np.dtype("u1" if "images" in name else "<i8")
        arrays[name] = _open(folder / name, manifest["files"][name], dtype, shape, verify)
    for split in SPLITS:
        path = folder / f"{split}_labels.npy"
        counts = manifest["splits"][split]["per_class"]
        if per_class(arrays[path.name], manifest["classes"]) != counts:
            raise _damaged(path, "its labels are not those of the manifest")
    mean, std = (tuple(manifest["normalisation"][part]) for part in ("mean", "std"))
    return Prepared(
        train_images=arrays["train_images.npy"],
        train_labels=arrays["train_labels.npy"],
        test_images=arrays["test_images.npy"],
        test_labels=arrays["test_labels.npy"],
        classes=manifest["classes"],
        mean=mean,
        std=std,
        digest=manifest["digest"],
        manifest=manifest,
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, checked for itself: format, parts and its own digest.

    Raises:
        StudyError: As for ``load``.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise StudyError(
            f"{folder} holds no prepared data ({MANIFEST} is missing); prepare the dataset first"
        ) from None
    except ValueError:
        raise _damaged(path, "it is no JSON") from None
    given = manifest.get("format") if isinstance(manifest, dict) else None
    if given != FORMAT:
        raise _damaged(path, f"its format is {given!r}, not {FORMAT!r}")
    if manifest != sealed(manifest):
        raise _damaged(path, "it was altered")
    return manifest


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest with ``seal``, the SHA-256 of all the rest of it."""
    rest = {key: value for key, value in manifest.items() if key != "seal"}
    return rest | {"seal": _sha256(rest)}


def manifest_text(manifest: dict[str, Any]) -> str:
    """Canonical JSON: sorted keys, ASCII, two spaces, a newline at the end."""
    return json.dumps(manifest, sort_keys=True, indent=2) + "\n"


def content_digest(classes: list[str], files: dict[str, dict[str, Any]]) -> str:
    """The data digest: SHA-256 over format, class names and the digests of the files."""
    return _sha256([FORMAT, classes, {name: entry["sha256"] for name, entry in files.items()}])


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def per_class(labels: NDArray[np.int64], classes: list[str]) -> dict[str, int]:
    """How many images each class has."""
    ids, counts = np.unique(labels, return_counts=True)
    found = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    named = {name: found.pop(i, 0) for i, name in enumerate(classes)}
    return named | {str(other): count for other, count in found.items()}


def _open(
    path: Path, entry: dict[str, Any], dtype: np.dtype[Any], shape: tuple[int, ...], verify: bool
) -> NDArray[Any]:
    if not path.is_file():
        raise _damaged(path, "it is missing")
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise _damaged(path, f"it has {size} bytes instead of {entry['bytes']}")
    if verify:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                raise _damaged(path, "its content was altered (SHA-256 differs)")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise _damaged(path, f"it is no npy file ({error})") from None
    if array.dtype != dtype or array.shape != shape:
        raise _damaged(
            path, f"it is {array.dtype} {array.shape}, the manifest says {dtype} {shape}"
        )
    return array


def _damaged(path: Path, what: str) -> StudyError:
    return StudyError(
        f"{path}: {what}; remove {path.with_name(MANIFEST)} and prepare the dataset again"
    )
