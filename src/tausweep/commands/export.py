"""A study for others: settings, results, provenance, and metadata that their tools read.

The export is an RO-Crate: a folder, or the same packed as an archive. It has the results folder's
own layout, with the metadata beside it (docs/artefact.md).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import __version__
from tausweep import study as studies
from tausweep.commands import archive, flags
from tausweep.data.manifest import manifest
from tausweep.results import parquet, records
from tausweep.storage import shipped
from tausweep.storage.layout import File, Folder, Layout, measure_file, prepared_name
from tausweep.study import Study, StudyError

if TYPE_CHECKING:
    from tausweep.report.artefact.people import Person

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
WORKFLOW = "workflow"


@dataclass(frozen=True)
class Statement:
    """What whoever exports says about the results.

    Attributes:
        authors: Who answers for them.
        licence: SPDX identifier of their licence; none if not stated.
    """

    authors: Sequence[Person] = ()
    licence: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    parser.add_argument(
        "output", nargs="?", metavar="OUTPUT",
        help="a new folder, or a .tar.gz or .zip (default: the folder STUDY-artefact)",
    )  # fmt: skip
    flags.add_results(parser)
    parser.add_argument(
        "--weights", action="store_true", help="include encoders, banks and embeddings"
    )
    parser.add_argument(
        "--author", action="append", default=[], type=_person, metavar="'NAME <ORCID>'",
        help="who answers for the results, with or without ORCID; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--licence", metavar="SPDX", help="licence of the results, such as CC-BY-4.0"
    )


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    study, layout = studies.load(options.study), Layout(Path(options.results))
    output = Path(options.output or f"{study.study}-artefact")
    stated = Statement(options.author, options.licence)
    print(export(study, layout, output, weights=options.weights, stated=stated))


def _person(text: str) -> Person:
    from tausweep.report.artefact.people import Person

    try:
        return Person.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def contents(
    study: Study, layout: Layout, *, weights: bool, partial: bool = False
) -> dict[str, Path]:
    """The results in an export, by their names in it, sorted.

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


def export(
    study: Study,
    layout: Layout,
    output: Path,
    *,
    weights: bool = False,
    stated: Statement | None = None,
) -> str:
    """Write an export, and return one line about it.

    Args:
        study: The study; all its existing results are included.
        layout: Where they are.
        output: An archive, by one of ``archive.ARCHIVE_SUFFIXES``, or a new folder.
        weights: Whether to include encoders, banks and embeddings.
        stated: What whoever exports says about the results.

    Raises:
        StudyError: The output cannot be written, or nothing was collected yet.
    """
    archive.check_output(output)
    taken = {
        name: path.read_bytes() for name, path in contents(study, layout, weights=weights).items()
    }
    # The study as it is now, which may have more runs than when its jobs started.
    taken[f"{study.study}/{File.STUDY}"] = (study.canonical_json() + "\n").encode()
    taken |= _workflow()
    if parquet.available():
        table = records.read_table(layout.study(study.study) / File.RECORDS)
        taken[f"{study.study}/{File.RECORDS_PARQUET}"] = parquet.to_parquet(table)
    taken |= _metadata(study, layout, taken, stated or Statement())
    index = archive.index(study.study, __version__, weights, taken)
    archive.write(output, taken | {archive.CONTENTS: _json(index)})
    size = sum(len(data) for data in taken.values())
    if archive.is_archive(output):
        size = output.stat().st_size
    without = "" if parquet.available() else f", without {File.RECORDS_PARQUET} (it needs pyarrow)"
    return f"{output}: {len(taken)} files, {size / 1e6:.3g} MB{', with weights' * weights}{without}"


def _workflow() -> dict[str, bytes]:
    """The workflow of this version, which calls this package."""
    folder = shipped.path(WORKFLOW)
    return {
        f"{WORKFLOW}/{path.relative_to(folder)}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _metadata(
    study: Study, layout: Layout, taken: Mapping[str, bytes], stated: Statement
) -> dict[str, bytes]:
    """The files that describe the export, with the RO-Crate last, which describes those too."""
    from tausweep.report.artefact import codecheck, crate, croissant, readme

    made = {}
    for run in study.runs():
        path = layout.run(run) / File.RECORD
        if path.is_file():
            made[run.id] = records.read(path)
    day = _last_day(made)
    added = {codecheck.FILE: codecheck.codecheck(study, taken).encode()}
    for dataset in {run.settings.dataset for run in study.runs()}:
        if (described := manifest(dataset, layout)) is not None and "splits" in described:
            name = prepared_name(dataset)
            content = croissant.croissant(name, described, day)
            added[f"{Folder.DATA}/{name}/{crate.CROISSANT}"] = _json(content)
    added[readme.FILE] = readme.readme(study, taken).encode()
    files = {
        name: crate.ExportedFile.of(data) for name, data in sorted((dict(taken) | added).items())
    }
    content = crate.crate(
        study, files, made, published=day, authors=stated.authors, licence=stated.licence
    )
    return added | {crate.METADATA: _json(content)}


def _last_day(made: Mapping[str, Mapping[str, Any]]) -> str:
    """The day of the last evaluation, so that the same results give the same bytes; else today."""
    ended = [content.get("evaluate", {}).get("ended") for content in made.values()]
    known = [time for time in ended if isinstance(time, str)]
    return max(known)[:10] if known else datetime.now(UTC).date().isoformat()


def _json(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()
