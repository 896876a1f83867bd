"""Keep a study here: records, verdicts, tables, figures, every run's record and history.

Which test images were classified correctly, too; no weights and no images:

    python benchmarks/measured/keep.py benchmarks/cifar10-small.yaml

This folder then has the layout of ``results``: ``tausweep claims FILE --results
benchmarks/measured`` judges what is kept.

Of a study that is not finished, what there is of it is kept, its table, verdicts and figures in
``partial/``. A later call adds to it; what an earlier one kept has to be in ``results`` then:

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
KEPT_NAMES = {"study.json", "claims.json", "record.json", "manifest.json", "correct.safetensors"}
BY_HAND = "README.md"
"""Of a study's folder, what no call of this wrote."""


def keep(study_file: str, results: Path) -> None:
    """Copy what is kept of a study from ``results`` to this folder, in place of what was there.

    Raises:
        StudyError: The study is not valid, nothing of it is there, or a run whose record is kept
            has none in ``results``; what is kept stays as it is.
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
        # Of a run without a record, whatever was measured stands in the files of the measures.
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
            f"{lost[0]}: its record is kept and is not in {layout.root}; "
            f"`tausweep import {HERE} {study_file}` brings it there first"
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
