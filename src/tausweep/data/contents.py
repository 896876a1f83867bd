"""Find out whether the source files of prepared data have changed, usually from a listing alone.

A source's fingerprint covers names and sizes, so it does not notice an image that is replaced by
one of the same size. Preparation therefore also notes, in a file beside the manifest, the size,
modification time and SHA-256 of every file that it read. Later, a file with the same size and time
is trusted, and others are compared by content. So touching, copying or moving a tree changes
nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tausweep.data import sources
from tausweep.data.sources import Look
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import File
from tausweep.study import Source

_FILES = 64

Known = Mapping[str, tuple[int, int, str]]
"""Bytes, modification time (ns) and SHA-256 of each file, by its path in the source's folder."""


def fingerprint(source: Source, folder: Path, look: Look | None = None) -> str:
    """The source as it is now, compared by content with what was prepared in ``folder`` if needed.

    If nothing was prepared there, or by a version that did not note contents, this is the source's
    own fingerprint of names and sizes. New times of unchanged files are noted if the folder is
    writable.

    Args:
        source: Where the images are.
        folder: Folder of the prepared data.
        look: The source as it is now, if this is known already.

    Returns:
        64 hexadecimal digits; the same as in the manifest in ``folder`` if nothing changed.

    Raises:
        StudyError: As for ``sources.look``.
    """
    look = look or sources.look(source)
    listing, kept = look.fingerprint, _kept(folder)
    if kept is None or kept["listing"] != listing:
        return listing
    known: Known = {path: tuple(entry) for path, entry in kept["files"].items()}
    now = _now(sources.root(source), known, look.files, look.digests)
    if now == known:
        return str(kept["fingerprint"])
    if {path: entry[2] for path, entry in now.items()} == {p: e[2] for p, e in known.items()}:
        with contextlib.suppress(OSError):
            keep(folder, listing, kept["fingerprint"], now)
        return str(kept["fingerprint"])
    total = hashlib.sha256(listing.encode())
    for path, (_, _, content) in sorted(now.items()):
        total.update(os.fsencode(path) + b"\0" + content.encode() + b"\n")
    return total.hexdigest()


def read(source: Source, paths: Iterable[Path]) -> Known:
    """Size, time and content digest of a source's files as they are now.

    Args:
        source: Where they are.
        paths: The image files in use. For a plug-in that names a path, all files there count,
            because we cannot know which of them it reads.
    """
    place = sources.root(source)
    names = {p.relative_to(place).as_posix() for p in paths if p.is_relative_to(place)}
    if source.kind == "plugin":
        names |= sources.look(source).files.keys()
    return _now(place, dict.fromkeys(sorted(names), (-1, -1, "")), {}, {})


def keep(folder: Path, listing: str, fingerprint: str, files: Known) -> None:
    """Note beside the manifest what was read.

    Args:
        folder: Folder of the prepared data.
        listing: The source's fingerprint of names and sizes.
        fingerprint: The fingerprint in the manifest.
        files: See ``read``; empty for a source without files, for which nothing is noted.
    """
    if files:
        content = {"listing": listing, "fingerprint": fingerprint, "files": dict(files)}
        write_text(folder / File.SOURCE_CONTENTS, json.dumps(content) + "\n")


def has(folder: Path) -> bool:
    """Whether contents were noted for the prepared data in a folder."""
    return _kept(folder) is not None


def _kept(folder: Path) -> dict[str, Any] | None:
    """What was noted; none if it is missing or damaged."""
    try:
        found = json.loads((folder / File.SOURCE_CONTENTS).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and found.keys() == {"listing", "fingerprint", "files"}
    return found if whole else None


def _now(
    place: Path,
    known: Known,
    listed: Mapping[str, tuple[int, int]],
    digests: MutableMapping[str, str],
) -> dict[str, tuple[int, int, str]]:
    """Every known file as it is now; only those of another size or time are read.

    Args:
        place: The folder of the files.
        known: What was noted about them.
        listed: Size and time of change of the files that were just listed.
        digests: Digests of the files that were read since then; those read here are added.
    """
    looks = {path: listed.get(path) or _size_and_time(place / path) for path in known}
    changed = [path for path, entry in known.items() if entry[:2] != looks[path]]
    unread = [path for path in changed if path not in digests]
    # Many files per task: handing a small file to a thread takes longer than reading it.
    parts = [unread[start : start + _FILES] for start in range(0, len(unread), _FILES)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for part in threads.map(lambda part: {p: _digest(place / p) for p in part}, parts):
            digests.update(part)
    return dict(known) | {path: (*looks[path], digests[path]) for path in changed}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        # It was there a moment ago; preparation will report a file that is gone.
        return f"{error.strerror}"


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
