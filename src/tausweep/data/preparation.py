"""Make prepared data from a source: choose a subset, resize or keep, write all or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tausweep.data import contents, measurable, sources, subset
from tausweep.data.originals import Sizes
from tausweep.data.pictures import Pictures, square
from tausweep.data.prepared import (
    FORMS,
    content_digest,
    load,
    manifest_text,
    per_class,
    sealed,
)
from tausweep.data.sources import Images, SourceSplit
from tausweep.storage.folder_lock import locked
from tausweep.storage.layout import File, SplitFile
from tausweep.study import StudyError

if TYPE_CHECKING:
    from tausweep.study import DatasetSettings

Made = TypeVar("Made")
Gathered = TypeVar("Gathered")

Accept = Callable[[Mapping[str, Mapping[str, int]]], None]
"""Receives the number of images by split and class before any is decoded. If it raises a
StudyError, nothing is decoded."""

_PARTIAL = ".partial"
_CHUNK_IMAGES, _CHUNK_BYTES = 32, 2**22
_CHUNK_ORIGINALS = 4
_NAMED = 5


def prepare(
    settings: DatasetSettings,
    folder: str | Path,
    threads: int | None = None,
    accept: Accept = lambda counts: None,
) -> dict[str, Any]:
    """Make prepared data (see ``tausweep.data.prepared``) and return its manifest.

    If the folder already has complete, unaltered data for these settings and this source, nothing
    is done; the original images may then be gone. Memory holds a few decoded images at a time, and
    what the source itself keeps.

    Args:
        settings: Source, image size and limits.
        folder: Where the data go; created if needed. One process writes at a time, others wait.
        threads: Threads that decode and resize; by default one per core, at most 8. The bytes do
            not depend on it.
        accept: See ``Accept``; also called if there is nothing to do.

    Raises:
        StudyError: The source is missing, damaged or inconsistent, images cannot be read (the first
            five are named), a class has too few for a limit, or ``accept`` refuses. The folder then
            has no manifest, unless complete data were already there and ``accept`` refused them.
        OSError: The folder cannot be written, and does not have the data already.
    """
    folder = Path(folder)
    try:
        return _prepared(settings, folder, threads or min(8, os.cpu_count() or 1), accept)
    except OSError:
        # A folder that cannot be written or locked may still have the right data.
        kept = _kept(settings, folder)
        if kept is None:
            raise
        accept(measurable.images_per_class(kept))
        return kept


def _prepared(
    settings: DatasetSettings, folder: Path, threads: int, accept: Accept
) -> dict[str, Any]:
    with locked(folder):
        kept = _kept(settings, folder)
        if kept is not None:
            accept(measurable.images_per_class(kept))
            return kept
        # Read before the old files are removed: their noted contents tell what has changed.
        fingerprint = contents.fingerprint(settings.source, folder)
        before = (name for form in FORMS.values() for name in form.files)
        for name in (File.MANIFEST, File.SOURCE_CONTENTS, *before):
            (folder / name).unlink(missing_ok=True)
        try:
            return _make(settings, folder, fingerprint, threads, accept)
        finally:
            for name in (*FORMS[settings.form].files, File.MANIFEST):
                (folder / (name + _PARTIAL)).unlink(missing_ok=True)


def _kept(settings: DatasetSettings, folder: Path) -> dict[str, Any] | None:
    """The manifest in the folder, if its data is complete and matches the settings."""
    try:
        manifest = load(folder, verify=True).manifest
    except StudyError:
        return None
    found = [manifest["format"], manifest["source"]["kind"], manifest["preparation"]]
    if found != [FORMS[settings.form].format, settings.source.kind, _preparation(settings)]:
        return None
    gone = settings.source.kind in ("folder", "imagenet100") and not (
        sources.root(settings.source).exists()
    )
    if gone:
        return manifest
    if contents.fingerprint(settings.source, folder) != manifest["source"]["fingerprint"]:
        return None
    if not contents.has(folder):
        # Prepared by a version that did not note contents, so only names and sizes can tell.
        listing = sources.fingerprint(settings.source)
        read = contents.read(settings.source, _paths(_choice(settings)))
        # The note only saves work later, so it is not an error if the folder cannot be written.
        with contextlib.suppress(OSError):
            contents.keep(folder, listing, listing, read)
    return manifest


def _preparation(settings: DatasetSettings) -> dict[str, Any]:
    limited = settings.train_limit is not None or settings.test_limit is not None
    size = {"image_size": settings.image_size} if settings.form == "squares" else {}
    made = size | {
        "train_limit": settings.train_limit,
        "test_limit": settings.test_limit,
        # Without a limit the seed has no effect, so it must not tell equal data apart.
        "subset_seed": settings.subset_seed if limited else None,
    }
    # Left out unless used, as in manifests that are older than these options.
    if settings.test_subset_seed is not None and settings.test_limit is not None:
        made["test_subset_seed"] = settings.test_subset_seed
    return made | ({"validation": True} if settings.validation else {})


Choice = dict[str, tuple[SourceSplit, NDArray[np.int64]]]
"""For each split, its images at the source and the chosen rows."""


def _choice(settings: DatasetSettings) -> Choice:
    train = sources.read(settings.source, "train")
    # Both choices come first, so a limit that is not allowed is reported before any decoding.
    rows = _rows(train, settings.train_limit, settings.subset_seed, "train_limit")
    if settings.validation:
        return {"train": (train, rows), "test": (train, _held_out(train, rows, settings))}
    test = sources.aligned(train, sources.read(settings.source, "test"))
    seed = settings.subset_seed
    if settings.test_subset_seed is not None:
        seed = settings.test_subset_seed
    return {
        "train": (train, rows),
        "test": (test, _rows(test, settings.test_limit, seed, "test_limit")),
    }


def _paths(chosen: Choice) -> Iterator[Path]:
    """The image files in use, if the source has files."""
    for split, rows in chosen.values():
        if isinstance(split.images, Pictures):
            yield from (split.images.paths[row] for row in rows)


def _make(
    settings: DatasetSettings, folder: Path, fingerprint: str, threads: int, accept: Accept
) -> dict[str, Any]:
    source = settings.source
    listing, chosen = sources.fingerprint(source), _choice(settings)
    counts = {
        name: per_class(split.labels[rows], split.classes) for name, (split, rows) in chosen.items()
    }
    accept(counts)
    # Before decoding, so that a change in between is found at the next look.
    read = contents.read(source, _paths(chosen))
    classes = chosen["train"][0].classes
    form = FORMS[settings.form]
    files: dict[str, Any] = {}
    splits = {}
    for name, (split, rows) in chosen.items():
        if settings.form == "squares":
            files |= _write_squares(folder, name, split, rows, settings.image_size, threads)
        else:
            files |= _write_originals(folder, name, split, rows, threads)
        ids = split.labels[rows].astype("<i8")
        files |= _write_array(folder / SplitFile.LABELS.of(name), ids)
        splits[name] = {"images": len(rows), "per_class": counts[name]}
    mean, std = sources.normalisation(source.kind)
    content = {
        "format": form.format,
        "source": {"kind": source.kind, "fingerprint": fingerprint},
        "preparation": _preparation(settings),
        "classes": classes,
        "splits": splits,
        "normalisation": {"mean": list(mean), "std": list(std)},
        "files": files,
        "digest": content_digest(form, classes, files),
    }
    manifest = sealed(content)
    with (folder / (File.MANIFEST + _PARTIAL)).open("w", encoding="ascii") as file:
        file.write(manifest_text(manifest))
        file.flush()
        os.fsync(file.fileno())
    for name in (*form.files, File.MANIFEST):
        (folder / (name + _PARTIAL)).replace(folder / name)
    contents.keep(folder, listing, fingerprint, read)
    return manifest


def _rows(split: SourceSplit, limit: int | None, seed: int, field: str) -> NDArray[np.int64]:
    if limit is None:
        return np.arange(len(split.labels))
    return subset.balanced(split.labels, split.classes, limit, seed, field)


def _held_out(
    train: SourceSplit, used: NDArray[np.int64], settings: DatasetSettings
) -> NDArray[np.int64]:
    """A class-balanced subset of the training images that the training subset leaves over."""
    left = np.setdiff1d(np.arange(len(train.labels)), used)
    limit = settings.test_limit or len(left)
    return left[
        subset.balanced(
            train.labels[left], train.classes, limit, settings.subset_seed, "test_limit"
        )
    ]


def _write_squares(
    folder: Path,
    name: str,
    split: SourceSplit,
    rows: NDArray[np.int64],
    size: int,
    threads: int,
) -> dict[str, Any]:
    squares = _squares(split, rows, size, threads, f"{name} split")
    shape = (len(rows), size, size, 3)
    header = _header(np.dtype("u1"), shape)
    parts = itertools.chain([header], (s.tobytes() for s in squares))
    return _write(folder / SplitFile.SQUARES.of(name), parts)


def _write_originals(
    folder: Path, name: str, split: SourceSplit, rows: NDArray[np.int64], threads: int
) -> dict[str, Any]:
    # Imported here because it needs torch, which digits and CIFAR do without.
    from tausweep.data.encoded import Encoded, encoded

    def gathered(images: list[Encoded]) -> list[Encoded]:
        return images

    sizes = Sizes()
    parts = _made(split, rows, encoded, gathered, _CHUNK_ORIGINALS, threads, f"{name} split")
    images = sizes.noted(itertools.chain.from_iterable(parts))
    files = _write(folder / SplitFile.ENCODED.of(name), images)
    return files | _write_array(folder / SplitFile.SIZES.of(name), sizes.table())


def _write_array(path: Path, array: NDArray[np.int64]) -> dict[str, Any]:
    header = _header(array.dtype, array.shape)
    return _write(path, [header, array.tobytes()])


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header of an npy file."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": dtype.str, "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def _write(path: Path, contents: Iterable[bytes]) -> dict[str, Any]:
    """Write a file piece by piece under a temporary name; return its size and digest by its name.

    A memory map is not used, because a full disk would then be a bus error instead of a message.
    """
    digest = hashlib.sha256()
    with path.with_name(path.name + _PARTIAL).open("wb") as file:
        for content in contents:
            file.write(content)
            digest.update(content)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return {path.name: {"bytes": size, "sha256": digest.hexdigest()}}


def _squares(
    split: SourceSplit, rows: NDArray[np.int64], size: int, threads: int, what: str
) -> Iterator[NDArray[np.uint8]]:
    """The chosen images in order, a few at a time: n x size x size x 3; see ``_made``."""

    def make(images: Images, row: int) -> NDArray[np.uint8]:
        return square(images[row], size)

    def gathered(squares: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        return np.array(squares, dtype=np.uint8)

    step = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (size * size * 3)))
    return _made(split, rows, make, gathered, step, threads, what)


def _made(
    split: SourceSplit,
    rows: NDArray[np.int64],
    make: Callable[[Images, int], Made],
    gathered: Callable[[list[Made]], Gathered],
    step: int,
    threads: int,
    what: str,
) -> Iterator[Gathered]:
    """Apply ``make`` to the chosen images in order, and ``gathered`` to ``step`` results at a time.

    Raises:
        StudyError: Images cannot be read; decoding continues until five are found or all are tried.
    """

    def work(chunk: NDArray[np.int64]) -> tuple[Gathered, list[str]]:
        done, faults = [], []
        for row in chunk.tolist():
            try:
                done.append(make(split.images, row))
            except StudyError as error:
                faults.append(str(error))
            except ValueError as error:
                faults.append(f"image {row} of the {what}: {error}")
        return gathered(done), faults

    faults: list[str] = []
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
    """Map in threads with results in order, and at most two items per thread in flight."""
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
