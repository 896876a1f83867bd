"""Records beside those that were kept of the study: the same numbers, or which differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tausweep.claims import judging, study_verdicts
from tausweep.report import headline, page
from tausweep.results import kept, records
from tausweep.storage.layout import Layout
from tausweep.study import Run, Study, StudyError
from tiny_run import of_the_paper

LOSSES = {"contrastive": {"temperature": [0.07, 1]}, "simple": {}}
STUDY = of_the_paper(study="s", seeds=[0, 1], losses=LOSSES)
FIRST = "digits/contrastive/0.07/seed0"


def row(run: Run, **changes: Any) -> dict[str, Any]:
    """A run's row: two numbers, times, and what made them."""
    return {
        "study": run.study, "dataset": run.dataset, "loss": run.loss,
        "temperature": run.temperature, "seed": run.seed, "status": "complete",
        "linear_accuracy": 90 + run.seed / 3, "uniformity": 2 + (run.temperature or 0) / 7,
        "images_per_second": 100.0, "pretrain_seconds": 3.0, "device": "cpu", "threads": 1,
        "instructions": "portable", "precision": "float32", "data_digest": "d",
        "settings_digest": run.settings.digest, "code_version": "c-e",
    } | changes  # fmt: skip


def write(folder: Path, rows: list[dict[str, Any]], torch: str = "2.14") -> pd.DataFrame:
    """A table, with the record of the first run and verdicts beside it."""
    made = {"packages": {"torch": torch, "numpy": "2.4"}}
    first = folder / "runs" / FIRST
    first.mkdir(parents=True)
    content = {"columns": rows[0], "pretrain": made, "evaluate": made}
    (first / "record.json").write_text(json.dumps(content))
    (folder / "claims.json").write_text("[]")
    (folder / "records.csv").write_text(records.table(rows))
    return records.read_table(folder / "records.csv")


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """Its path, with all six runs kept beside it."""
    write(tmp_path / "studies/measured/s", [row(run) for run in STUDY.runs()])
    return tmp_path / "studies/s.yaml"


def beside(study_file: Path, rows: list[dict[str, Any]], **made: str) -> kept.Beside:
    layout = Layout(study_file.parent / "results")
    found = kept.beside(STUDY, study_file, layout, write(layout.study("s"), rows, **made))
    assert found is not None
    return found


def test_the_same_numbers_are_said_to_be_the_same_whatever_the_times(study_file: Path) -> None:
    again = [row(run, images_per_second=7.0, pretrain_seconds=9.0) for run in STUDY.runs()]
    found = beside(study_file, again)
    assert found.headline == "all 12 numbers of 6 runs are the same"
    assert found.lines() == []


def test_a_number_that_differs_in_its_last_bit_is_named_with_what_was_otherwise(
    study_file: Path,
) -> None:
    first, *others = [row(run) for run in STUDY.runs()]
    near = 2.01 + 2**-51
    found = beside(
        study_file, [first | {"uniformity": near, "instructions": "native"}, *others], torch="2.15"
    )
    assert found.headline == "1 of the 12 numbers of 6 runs differ"
    assert found.lines() == [
        f"{FIRST}  uniformity  2.01, now {near!r}",
        "made differently: instructions portable, now native; torch 2.14, now 2.15",
    ]


def test_a_run_that_diverged_here_has_nothing_where_numbers_were_kept(study_file: Path) -> None:
    first, *others = [row(run) for run in STUDY.runs()]
    gone = first | {"status": "diverged", "linear_accuracy": None, "uniformity": None}
    assert beside(study_file, [gone, *others]).lines() == [
        f"{FIRST}  linear_accuracy  90.0, now nothing",
        f"{FIRST}  uniformity  2.01, now nothing",
    ]


@pytest.mark.parametrize("column", ["settings_digest", "data_digest"])
def test_runs_of_other_settings_or_data_are_left_out_and_counted(
    column: str, study_file: Path
) -> None:
    first, *others = [row(run) for run in STUDY.runs()]
    found = beside(study_file, [first | {column: "other", "uniformity": 1.0}, *others])
    assert found.headline == (
        "all 10 numbers of 5 runs are the same; 1 with other settings or data left out"
    )


def test_a_part_of_a_study_is_compared_as_far_as_it_is(study_file: Path) -> None:
    made, *_, lacking = [row(run) for run in STUDY.runs()]
    found = beside(study_file, [made, lacking | {"status": "missing", "uniformity": None}])
    assert found.headline == "all 2 numbers of 1 run are the same"


def test_nothing_is_said_where_nothing_is_kept_or_of_what_is_kept_itself(study_file: Path) -> None:
    there, layout = kept.folder_of(study_file, STUDY), Layout(study_file.parent / "measured")
    table = records.read_table(there / "records.csv")
    assert kept.beside(STUDY, study_file, layout, table) is None
    assert kept.beside(STUDY, study_file.parent / "other/s.yaml", Layout(), table) is None


def test_a_kept_table_that_is_damaged_is_named(study_file: Path) -> None:
    table = records.read_table(kept.folder_of(study_file, STUDY) / "records.csv")
    (kept.folder_of(study_file, STUDY) / "records.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match=r"measured/s/records\.csv: not a table of records"):
        kept.beside(STUDY, study_file, Layout(), table)


def of(study: Study, study_file: Path, uniformity: float | None) -> tuple[str, str]:
    """What the terminal and the report say of a study whose uniformities are all this one."""
    layout = Layout(study_file.parent / "results")
    changes = {} if uniformity is None else {"uniformity": uniformity}
    table = write(layout.study("s"), [row(run, **changes) for run in study.runs()])
    shown = headline.describe(study, str(study_file), layout)
    verdicts = study_verdicts.judge(study, layout, table, None)
    (layout.study("s") / "claims.json").write_text(judging.to_json(verdicts), encoding="utf-8")
    text, _ = page.page(study, str(study_file), layout, table, layout.study("s"))
    return shown, text


def test_the_terminal_and_the_report_say_that_numbers_are_those_kept(study_file: Path) -> None:
    shown, page = of(STUDY, study_file, None)
    assert shown.endswith("studies/measured/s: all 12 numbers of 6 runs are the same")
    assert "</code>: all 12 numbers of 6 runs are the same.</p>" in page
    assert "Numbers differ from those kept" not in page


def test_the_terminal_lists_the_first_numbers_that_differ_and_the_report_all(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headline, "DIFFERENCES", 2)
    shown, page = of(STUDY, study_file, 1.5)
    assert "6 of the 12 numbers of 6 runs differ\n" in shown
    assert f"  {FIRST}  uniformity  2.01, now 1.5\n" in shown
    assert "\n  and 4 more\n" in shown
    assert "tausweep compare " in shown.splitlines()[-1]
    assert "<strong>Numbers differ from those kept.</strong>" in page
    assert all(f"<li>{run.id}  uniformity" in page for run in STUDY.runs())
