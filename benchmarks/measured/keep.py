"""Keep a finished study here: records, verdicts, tables, figures, every run's record and history.

Which test images were classified correctly, too; no weights and no images:

    python benchmarks/measured/keep.py benchmarks/cifar10-small.yaml

This folder then has the layout of ``results``: ``tausweep claims FILE --results
benchmarks/measured`` judges what is kept.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tausweep import archive
from tausweep import study as studies
from tausweep.layout import Layout

HERE = Path(__file__).resolve().parent
KEPT = {".csv", ".md", ".svg"}
KEPT_NAMES = {"study.json", "claims.json", "record.json", "manifest.json", "correct.safetensors"}


def keep(study_file: str, results: Path) -> None:
    """Copy what is kept of a study from ``results`` to this folder, in place of what was there.

    Raises:
        StudyError: The study is not valid or not complete; what is kept stays as it is.
    """
    study = studies.load(study_file)
    found = archive.contents(study, Layout(results), weights=False)
    shutil.rmtree(Layout(HERE).study(study.study), ignore_errors=True)
    for name, path in found.items():
        if path.suffix in KEPT or path.name in KEPT_NAMES:
            (HERE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, HERE / name)


if __name__ == "__main__":
    try:
        for file in sys.argv[1:]:
            keep(file, Path("results"))
    except studies.StudyError as error:
        print(f"keep: error: {error}", file=sys.stderr)
        sys.exit(2)
