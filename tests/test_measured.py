"""Pages of measured numbers say what the records kept beside them say."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tausweep import study as studies
from tausweep.claims import judging, study_verdicts
from tausweep.results import records
from tausweep.storage.layout import Layout
from tausweep.study import Study

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks/measured"
PICTURE = MEASURED / "demo/figures/dilemma.svg"
TABLES = sorted([*MEASURED.glob("*/records.csv"), *MEASURED.glob("*/partial/records.csv")])
STUDIES = [table.parent.relative_to(MEASURED).as_posix() for table in TABLES]
"""Folders of tables: those of a finished study, or ``<study>/partial``."""


def test_every_number_of_the_pages_comes_from_the_kept_measurements() -> None:
    done = subprocess.run(
        [sys.executable, str(MEASURED / "render.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_picture_of_the_readme_is_that_of_the_kept_demo() -> None:
    assert f"docs/{PICTURE.name}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / PICTURE.name).read_bytes() == PICTURE.read_bytes()


@pytest.mark.parametrize("name", STUDIES)
def test_the_kept_table_is_that_of_the_kept_records(name: str) -> None:
    study, layout = study_of(name), Layout(MEASURED)
    rows = []
    for run in study.runs():
        path = layout.run(run) / "record.json"
        if name.endswith("/partial") and not path.exists():
            continue
        record = records.read(path)
        assert record["columns"]["settings_digest"] == run.settings.digest
        rows.append(record["columns"])
    kept = csv_rows((MEASURED / name / "records.csv").read_text(encoding="utf-8"))
    assert len(kept) == len(study.runs())
    kept = [row for row in kept if row["status"] in ("complete", "diverged")]
    made = csv_rows(records.table(rows))
    # Columns that came after the study was measured are empty.
    assert made == [dict.fromkeys(row, "") | old for row, old in zip(made, kept, strict=True)]


def study_of(name: str) -> Study:
    return studies.load(ROOT / "benchmarks" / f"{name.removesuffix('/partial')}.yaml")


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("name", STUDIES)
def test_the_kept_verdicts_are_those_of_the_kept_records(name: str) -> None:
    study = study_of(name)
    frame = records.read_table(MEASURED / name / "records.csv")
    along = records.read_along(MEASURED / name / "along.csv")
    verdicts = study_verdicts.judge(study, Layout(MEASURED), frame, along)
    assert (MEASURED / name / "claims.json").read_text(encoding="utf-8") == judging.to_json(
        verdicts
    )
    assert (MEASURED / name / "claims.csv").read_text(encoding="utf-8") == judging.to_csv(verdicts)


@pytest.mark.parametrize("name", STUDIES)
def test_kept_records_tell_no_path_of_the_machine(name: str) -> None:
    for path in (MEASURED / name).rglob("*.json"):
        assert not re.search(r'[" ]/\w+/', path.read_text(encoding="utf-8")), path
