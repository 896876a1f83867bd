"""``codecheck.yml``: which outputs somebody who checks the study should compare.

Format: https://codecheck.org.uk/spec/config/1.0/. The nodes about the check itself
(``codechecker``, ``summary``, ``check_time``, ``certificate``, ``report``) are for whoever does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import yaml

from tausweep.report import figures
from tausweep.storage.layout import File, Folder
from tausweep.study import Study

FILE = "codecheck.yml"
SPECIFICATION = "https://codecheck.org.uk/spec/config/1.0/"
PAPER = {
    "title": "Understanding the Behaviour of Contrastive Loss",
    "authors": [{"name": "Feng Wang"}, {"name": "Huaping Liu"}],
    "reference": "https://arxiv.org/abs/2012.09740",
}
COMMENTS = {
    f"{Folder.TABLES}/table1.csv": "Table 1: accuracy, uniformity and tolerance over temperature",
    f"{Folder.TABLES}/full.csv": "The full sweep, published beside measured",
    File.CLAIMS_CSV: "A verdict on each claim of the paper, with its numbers",
    File.RECORDS: "One row per run: every number behind tables, figures and verdicts",
}


def codecheck(study: Study, files: Iterable[str]) -> str:
    """The manifest of a study's outputs, without those that the export lacks."""
    present = {*files}
    manifest: list[dict[str, Any]] = []
    for name, comment in COMMENTS.items():
        if (path := f"{study.study}/{name}") in present:
            manifest.append({"file": path, "comment": comment})
    for figure in figures.asked(study):
        path = f"{study.study}/{Folder.FIGURES}/{figure}.svg"
        if path in present:
            manifest.append({"file": path, "comment": f"Figure: {figures.FIGURES[figure].title}"})
    content = {"version": SPECIFICATION, "paper": PAPER, "manifest": manifest}
    head = (
        "---\n# https://codecheck.org.uk. Whoever checks the study adds codechecker, summary,\n"
        "# check_time, certificate and report. `tausweep verify` compares the numbers.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def listed(text: str) -> list[PurePosixPath]:
    """The files of a manifest."""
    return [PurePosixPath(entry["file"]) for entry in yaml.safe_load(text)["manifest"]]
