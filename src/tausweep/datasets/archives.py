"""Original archives with published MD5 digests: checked before anything in them is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tausweep.datasets.locks import locked
from tausweep.study import StudyError


@dataclass(frozen=True)
class Published:
    """A file as its authors published it: name, MD5 digest, and where it can be fetched."""

    name: str
    md5: str
    url: str | None = None


def fault(folder: Path, file: Published) -> str | None:
    """What is wrong with a file, as the end of a sentence; none if it is as published."""
    path = folder / file.name
    if not path.is_file():
        return f"{path} is missing"
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != file.md5:
        return (
            f"{path} is truncated or altered (MD5 {found}, published {file.md5}, "
            f"{path.stat().st_size} bytes)"
        )
    return None


def first_fault(folder: Path, files: Iterable[Published]) -> str | None:
    """The first fault among several files."""
    return next((wrong for file in files if (wrong := fault(folder, file))), None)


def fetch(file: Published, folder: Path, get: Callable[[], None]) -> None:
    """Run a download into a folder that this process holds meanwhile.

    Raises:
        StudyError: It fails; the sentence says what to fetch by hand.
    """
    try:
        with locked(folder):
            get()
    # URLError is an OSError; torchvision raises RuntimeError for a wrong digest.
    except (OSError, RuntimeError) as error:
        raise StudyError(
            f"{folder / file.name}: cannot be fetched or unpacked from {file.url} ({error}); "
            f"put a copy with MD5 {file.md5} there by hand"
        ) from error


def digest(files: Iterable[Published]) -> str:
    """SHA-256 of names and published digests, 64 hexadecimal digits."""
    text = "".join(f"{file.name} {file.md5}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()
