"""A study as one file: its settings, its results and their provenance.

The same results give the same bytes. An archive holds the results folder's own layout, so whatever
reads results reads an archive: ``with opened(path) as root: Layout(root)``.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tausweep import __version__
from tausweep import study as studies
from tausweep.commands import flags
from tausweep.storage.atomic import replacing
from tausweep.storage.layout import File, Folder, Layout, measure_file, prepared_name
from tausweep.study import Study, StudyError

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".zip")
CONTENTS = "CONTENTS.json"
"""Lists name, size and SHA-256 of every file, and the version that wrote them."""

RESULTS = (
    File.STUDY, File.RECORDS, File.ALONG_TABLE, File.CLASSES, File.CLASSES_TABLE,
    File.CLAIMS_JSON, File.CLAIMS_CSV, File.CLAIMS_MARKDOWN, File.REPORT,
)  # fmt: skip
FOLDERS = (Folder.TABLES, Folder.FIGURES, Folder.PARTIAL)
RUN = (
    File.SETTINGS, File.HISTORY, File.PRETRAIN, File.LINEAR, File.KNN, File.GEOMETRY,
    File.SEPARATION, File.PENALTY, File.ALONG, File.CORRECT, File.RECORD,
)  # fmt: skip
WEIGHTS = (File.ENCODER, File.EMBEDDINGS)

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in an archive: the earliest that zip can store."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    parser.add_argument("output", metavar="ARCHIVE", help="a .tar.gz or .zip")
    flags.add_results(parser)
    parser.add_argument(
        "--weights", action="store_true", help="include encoders, banks and embeddings"
    )


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    asked, layout = studies.load(options.study), Layout(Path(options.results))
    print(export(asked, layout, Path(options.output), weights=options.weights))


def contents(
    study: Study, layout: Layout, *, weights: bool, partial: bool = False
) -> dict[str, Path]:
    """Files of an archive, by their names in it, sorted.

    Args:
        study: The study.
        layout: Where its results are.
        weights: Whether to include encoders, banks and embeddings.
        partial: Whether a partial table is enough (``tausweep partial``).

    Raises:
        StudyError: Nothing was collected yet.
    """
    root = layout.study(study.study)
    table = root / Folder.PARTIAL / File.RECORDS if partial else root / File.RECORDS
    if not table.exists():
        raise StudyError(f"{table}: is missing; the study is not complete")
    found = [root / name for name in RESULTS]
    for folder in FOLDERS:
        found += (path for path in (root / folder).rglob("*") if path.is_file())
    for run in study.runs():
        names = (*RUN, *(measure_file(name) for name in run.settings.measures or {}))
        found += (layout.run(run) / name for name in names + WEIGHTS * weights)
    for name in {prepared_name(run.settings.dataset) for run in study.runs()}:
        found.append(layout.root / Folder.DATA / name / File.MANIFEST)
    named = {str(path.relative_to(layout.root)): path for path in found if path.is_file()}
    return dict(sorted(named.items()))


def export(study: Study, layout: Layout, output: Path, *, weights: bool = False) -> str:
    """Write an archive of the kind that its suffix says, and return one line about it.

    Args:
        study: The study; all its existing results are included.
        layout: Where they are.
        output: A path that ends with one of ``ARCHIVE_SUFFIXES``.
        weights: Whether to include encoders, banks and embeddings.

    Raises:
        StudyError: The suffix is not known, or nothing was collected yet.
    """
    if not output.name.endswith(ARCHIVE_SUFFIXES):
        raise StudyError(
            f"archive {output}: its suffix is not allowed; it should be one of "
            f"{', '.join(ARCHIVE_SUFFIXES)}"
        )
    taken = {
        name: path.read_bytes() for name, path in contents(study, layout, weights=weights).items()
    }
    # The study as it is now, which may have more runs than when its jobs started.
    taken[f"{study.study}/{File.STUDY}"] = (study.canonical_json() + "\n").encode()
    listed = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(taken.items())
    }
    index = {"format": "tausweep-archive-1", "study": study.study, "version": __version__,
             "weights": weights, "files": listed}  # fmt: skip
    taken[CONTENTS] = (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()
    write = _write_zip if output.name.endswith(".zip") else _write_tar
    with replacing(output) as temporary:
        write(temporary, dict(sorted(taken.items())))
    size = output.stat().st_size
    return f"{output}: {len(listed)} files, {size / 1e6:.3g} MB{', with weights' * weights}"


def _write_tar(path: Path, files: dict[str, bytes]) -> None:
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))


def _write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            packed.writestr(entry, data)


def is_archive(path: Path) -> bool:
    """Whether a path has the suffix of an archive."""
    return path.name.endswith(ARCHIVE_SUFFIXES)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A temporary results folder with an archive's content, while the block runs.

    Every file is checked against the archive's own list.

    Raises:
        StudyError: It is not an archive of tausweep, or is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="tausweep-") as name:
        folder = Path(name)
        try:
            files = _read(path)
            index = json.loads(files.pop(CONTENTS))
            listed = index["files"]
        except FileNotFoundError:
            raise StudyError(f"archive {path}: there is no such file") from None
        except (OSError, EOFError, ValueError, KeyError, TypeError, tarfile.TarError,
                zipfile.BadZipFile) as error:  # fmt: skip
            raise StudyError(
                f"archive {path}: is damaged or not an archive of tausweep ({error})"
            ) from None
        if files.keys() != listed.keys():
            raise StudyError(f"archive {path}: is damaged: its files do not match its list")
        for file, data in files.items():
            if hashlib.sha256(data).hexdigest() != listed[file]["sha256"]:
                raise StudyError(f"archive {path}: is damaged: {file} was altered")
            target = folder / file
            if not target.resolve().is_relative_to(folder.resolve()):
                raise StudyError(f"archive {path}: {file} would be written outside of the folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        yield folder


def study_of(root: Path) -> Study:
    """The study of an opened archive.

    Raises:
        StudyError: There is not exactly one.
    """
    found = sorted(root.glob(f"*/{File.STUDY}"))
    if len(found) != 1:
        raise StudyError(f"{root}: has {len(found)} studies instead of one")
    return studies.load(found[0])


def _read(path: Path) -> dict[str, bytes]:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as packed:
            return {name: packed.read(name) for name in packed.namelist()}
    with tarfile.open(path, "r:gz") as tar:
        read = {}
        for entry in tar:
            file = tar.extractfile(entry) if entry.isfile() else None
            if file is None:
                raise ValueError(f"{entry.name} is not a plain file")
            read[entry.name] = file.read()
        return read
