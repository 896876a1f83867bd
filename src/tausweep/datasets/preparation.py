"""From a source to prepared data: subset, resize, write; whole or not at all."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tausweep.datasets import sources, subset
from tausweep.datasets.locks import locked
from tausweep.datasets.pictures import square
from tausweep.datasets.prepared import (
    FILES,
    FORMAT,
    MANIFEST,
    content_digest,
    load,
    manifest_text,
    per_class,
    sealed,
)
from tausweep.datasets.sources import SourceSplit
from tausweep.study import StudyError

if TYPE_CHECKING:
    from tausweep.study import DatasetSettings

_PARTIAL = ".partial"
_CHUNK_IMAGES, _CHUNK_BYTES = 32, 2**22
_NAMED = 5


def prepare(
    settings: DatasetSettings, folder: str | Path, threads: int | None = None
) -> dict[str, Any]:
    """Make prepared data (see ``tausweep.datasets.prepared``) and return its manifest.

    Nothing is made if the folder already holds it, complete and unaltered, for these settings and
    this source; originals that were removed since are not missed then. Memory holds a few decoded
    images at a time, besides what the source itself keeps.

    Args:
        settings: Source, image size, limits.
        folder: Where to; made if needed. One process at a time writes, another waits.
        threads: For decoding and resizing; as many as there are cores, 8 at most, if not given.
            The bytes do not depend on it.

    Raises:
        StudyError: The source is missing, damaged or inconsistent, images cannot be read (the first
            five are named), or a class has too few for a limit. The folder then has no manifest.
    """
    folder = Path(folder)
    with locked(folder):
        kept = _kept(settings, folder)
        if kept is not None:
            return kept
        (folder / MANIFEST).unlink(missing_ok=True)
        try:
            return _make(settings, folder, threads or min(8, os.cpu_count() or 1))
        finally:
            for name in (*FILES, MANIFEST):
                (folder / (name + _PARTIAL)).unlink(missing_ok=True)


def _kept(settings: DatasetSettings, folder: Path) -> dict[str, Any] | None:
    """The manifest of what is there, if that is whole and what is asked for."""
    try:
        manifest = load(folder, verify=True).manifest
    except StudyError:
        return None
    wanted = _preparation(settings) | {"kind": settings.source.kind}
    if manifest["preparation"] | {"kind": manifest["source"]["kind"]} != wanted:
        return None
    gone = settings.source.kind in ("folder", "imagenet100") and not (
        sources.root(settings.source).exists()
    )
    if gone or sources.fingerprint(settings.source) == manifest["source"]["fingerprint"]:
        return manifest
    return None


def _preparation(settings: DatasetSettings) -> dict[str, Any]:
    limited = settings.train_limit is not None or settings.test_limit is not None
    return {
        "image_size": settings.image_size,
        "train_limit": settings.train_limit,
        "test_limit": settings.test_limit,
        # Without a limit the seed changes nothing, and must not tell apart what is the same.
        "subset_seed": settings.subset_seed if limited else None,
    }


def _make(settings: DatasetSettings, folder: Path, threads: int) -> dict[str, Any]:
    source = settings.source
    fingerprint = sources.fingerprint(source)
    train = sources.read(source, "train")
    test = sources.aligned(train, sources.read(source, "test"))
    # Both choices first: a limit that is not allowed is told before any image is decoded.
    chosen = {
        "train": (train, _rows(train, settings.train_limit, settings.subset_seed, "train_limit")),
        "test": (test, _rows(test, settings.test_limit, settings.subset_seed, "test_limit")),
    }
    files, splits = {}, {}
    for name, (split, rows) in chosen.items():
        images, labels = f"{name}_images.npy", f"{name}_labels.npy"
        shape = (len(rows), settings.image_size, settings.image_size, 3)
        squares = _squares(split, rows, settings.image_size, threads, f"{name} split")
        ids = split.labels[rows].astype("<i8")
        files[images] = _write(folder / images, np.dtype("u1"), shape, squares)
        files[labels] = _write(folder / labels, ids.dtype, ids.shape, [ids])
        splits[name] = {"images": len(rows), "per_class": per_class(ids, split.classes)}
    mean, std = sources.normalisation(source.kind)
    content = {
        "format": FORMAT,
        "source": {"kind": source.kind, "fingerprint": fingerprint},
        "preparation": _preparation(settings),
        "classes": train.classes,
        "splits": splits,
        "normalisation": {"mean": list(mean), "std": list(std)},
        "files": files,
        "digest": content_digest(train.classes, files),
    }
    manifest = sealed(content)
    with (folder / (MANIFEST + _PARTIAL)).open("w", encoding="ascii") as file:
        file.write(manifest_text(manifest))
        file.flush()
        os.fsync(file.fileno())
    for name in (*FILES, MANIFEST):
        (folder / (name + _PARTIAL)).replace(folder / name)
    return manifest


def _rows(split: SourceSplit, limit: int | None, seed: int, field: str) -> NDArray[np.int64]:
    if limit is None:
        return np.arange(len(split.labels))
    return subset.balanced(split.labels, split.classes, limit, seed, field)


def _write(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Iterable[NDArray[Any]]
) -> dict[str, Any]:
    """Write an npy file piece by piece, beside its place; its size and digest.

    Sequentially and not through a memory map, where a full disk is a bus error and not a sentence.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": dtype.str, "fortran_order": False, "shape": shape}
    )
    digest = hashlib.sha256()
    with path.with_name(path.name + _PARTIAL).open("wb") as file:
        for content in itertools.chain([header.getvalue()], (part.tobytes() for part in parts)):
            file.write(content)
            digest.update(content)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return {"bytes": size, "sha256": digest.hexdigest()}


def _squares(
    split: SourceSplit, rows: NDArray[np.int64], size: int, threads: int, what: str
) -> Iterator[NDArray[np.uint8]]:
    """The chosen images in order, a few at a time: n x size x size x 3.

    Raises:
        StudyError: Images cannot be read; decoding goes on until five are found or all are tried.
    """

    def work(chunk: NDArray[np.int64]) -> tuple[NDArray[np.uint8], list[str]]:
        done, faults = [], []
        for row in chunk.tolist():
            try:
                image = split.images[row]
            except StudyError as error:
                faults.append(str(error))
                continue
            try:
                done.append(square(image, size))
            except ValueError as error:
                faults.append(f"image {row} of the {what}: {error}")
        return np.array(done, dtype=np.uint8), faults

    faults: list[str] = []
    step = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (size * size * 3)))
    chunks = (rows[start : start + step] for start in range(0, len(rows), step))
    for done, found in _in_order(work, chunks, threads):
        faults += found
        if len(faults) >= _NAMED:
            break
        if not faults:
            yield done
    if faults:
        more = "; and perhaps more" if len(faults) >= _NAMED else ""
        raise StudyError("; ".join(faults[:_NAMED]) + more)


def _in_order(work: Any, items: Iterable[Any], threads: int) -> Iterator[Any]:
    """Map in threads, results in order, never more than two items a thread in flight."""
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
