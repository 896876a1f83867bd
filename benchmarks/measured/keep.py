"""Keep a study here: records, verdicts, tables, figures, and every run's record and history.

This includes which test images were classified correctly, but no weights and no images:

    python benchmarks/measured/keep.py benchmarks/cifar10-small.yaml

This folder then has the layout of ``results``: ``tausweep claims FILE --results
benchmarks/measured`` judges what is kept.

Of an unfinished study, the results so far are kept, with table, verdicts and figures in
``partial/``. A later call adds to them. It needs what an earlier one kept to be in ``results``:

    tausweep import benchmarks/measured benchmarks/cifar10-paper.yaml
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tausweep import study as studies
from tausweep.commands import export, partial
from tausweep.storage.layout import Layout
from tausweep.study import Study, StudyError

HERE = Path(__file__).resolve().parent
KEPT = {".csv", ".md", ".svg"}
KEPT_NAMES = {
    *("study.json", "claims.json", "record.json", "manifest.json"),
    *("along.json", "correct.safetensors"),
}
BY_HAND = "README.md"
"""The file in a study's folder that is written by hand."""


def keep(study_file: str, results: Path) -> None:
    """Copy a study from ``results`` to this folder, replacing what was kept before.

    Raises:
        StudyError: The study is not valid or has no results, or a run with a kept record has none
            in ``results``; nothing is changed then.
    """
    study, layout = studies.load(study_file), Layout(results)
    whole = all((layout.run(run) / "record.json").exists() for run in study.runs())
    if not whole:
        _check_none_is_lost(study, study_file, layout)
        partial.partial(study_file, results)
    found = export.contents(study, layout, weights=False, partial=not whole)
    _make_room(study, layout, whole)
    for name, path in found.items():
        place = name.split("/")[1]
        if whole and place == "partial":
            continue  # of an earlier day
        # The measures of a run without a record are only in their own files.
        alone = place == "runs" and not (path.parent / "record.json").exists()
        if path.suffix in KEPT or path.name in KEPT_NAMES or (alone and path.suffix == ".json"):
            (HERE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, HERE / name)


def _check_none_is_lost(study: Study, study_file: str, layout: Layout) -> None:
    """Refuse to keep less than is kept.

    Raises:
        StudyError: A run has a record here and none in the results.
    """
    if not any((layout.run(run) / "pretrain.json").exists() for run in study.runs()):
        raise StudyError(f"{layout.study(study.study)}: there is nothing to keep yet")
    lost = [
        run.id
        for run in study.runs()
        if (Layout(HERE).run(run) / "record.json").exists()
        and not (layout.run(run) / "record.json").exists()
    ]
    if lost:
        raise StudyError(
            f"{lost[0]}: its record is kept but is not in {layout.root}; "
            f"run `tausweep import {HERE} {study_file}` first"
        )


def _make_room(study: Study, layout: Layout, whole: bool) -> None:
    """Remove what is replaced: of a finished study all, else tables and the runs that come."""
    kept = Layout(HERE)
    folder = kept.study(study.study)
    if whole:
        gone = [path for path in folder.glob("*") if path.name != BY_HAND]
    else:
        came = [run for run in study.runs() if (layout.run(run) / "pretrain.json").exists()]
        gone = [folder / "partial", *(kept.run(run) for run in came)]
    for path in gone:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        for file in sys.argv[1:]:
            keep(file, Path("results"))
    except StudyError as error:
        print(f"keep: error: {error}", file=sys.stderr)
        sys.exit(2)
