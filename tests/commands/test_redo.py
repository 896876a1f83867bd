"""`tausweep redo`: which runs it means, what it refuses before any work, and what it says."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from tausweep import study as studies
from tausweep.commands import partial, redo, run
from tausweep.machine import instructions
from tausweep.results import records
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import Layout
from tausweep.study import Run, StudyError
from tiny_run import of_the_paper, study_file

LOSSES = {"contrastive": {"temperature": [0.07, 1]}, "simple": {}}
STUDY = of_the_paper(study="s", seeds=[0, 1], losses=LOSSES)
FIRST = STUDY.runs()[0]


def row(one: Run, **changes: Any) -> dict[str, Any]:
    return {
        "study": one.study, "dataset": one.dataset, "loss": one.loss,
        "temperature": one.temperature, "seed": one.seed, "status": "complete",
        "linear_accuracy": 90 + one.seed / 3, "pretrain_seconds": 50.0, "device": "cpu",
        "threads": 1, "instructions": "portable", "precision": "float32", "data_digest": "d",
        "settings_digest": one.settings.digest, "code_version": "c-e",
    } | changes  # fmt: skip


def keep(folder: Path, *rows: dict[str, Any], place: str = "s") -> str:
    """Keep rows beside a study file, whose path it is."""
    write_text(folder / "measured" / place / "records.csv", records.table(rows))
    return str(folder / "s.yaml")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("digits/contrastive/0.07/seed0", [0]),
        ("*/0.07/*", [0, 1]),
        ("*/seed1", [1, 3, 5]),
        ("*/simple/*,*/1.0/seed0", [2, 4, 5]),
    ],
)
def test_a_pattern_means_the_runs_that_snakemake_selects(pattern: str, expected: list[int]) -> None:
    assert redo.matching(STUDY, pattern) == [STUDY.runs()[i] for i in expected]


def test_a_pattern_of_no_run_is_refused() -> None:
    with pytest.raises(StudyError, match="--run none: no run of the study s matches; runs are"):
        redo.matching(STUDY, "none")


@pytest.mark.parametrize("place", ["s", "s/partial"])
def test_kept_rows_come_from_a_finished_study_or_an_unfinished_one(
    place: str, tmp_path: Path
) -> None:
    first, second, *_ = STUDY.runs()
    file = keep(tmp_path, row(first), row(second, status="missing"), place=place)
    (found,) = redo.kept_rows(STUDY, file, [first])
    assert found["linear_accuracy"] == 90
    with pytest.raises(StudyError, match=f"--run {second.id}: there is no record of it in"):
        redo.kept_rows(STUDY, file, [first, second])


def test_a_study_without_kept_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="study s: no records of it are kept in"):
        redo.kept_rows(STUDY, str(tmp_path / "s.yaml"), [FIRST])


def test_other_instructions_are_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "lacking", lambda: "")
    monkeypatch.delenv(instructions.VARIABLE, raising=False)
    redo.check_instructions([FIRST], [row(FIRST)])
    for older in (None, float("nan"), "native"):
        with pytest.raises(StudyError, match="set TAUSWEEP_INSTRUCTIONS=native to do the same"):
            redo.check_instructions([FIRST], [row(FIRST, instructions=older)])
    monkeypatch.setenv(instructions.VARIABLE, "native")
    redo.check_instructions([FIRST], [row(FIRST, instructions=None)])
    with pytest.raises(StudyError, match="and here TAUSWEEP_INSTRUCTIONS is native"):
        redo.check_instructions([FIRST], [row(FIRST)])
    in_bf16 = of_the_paper(losses=LOSSES, pretrain={"precision": "bf16"}).runs()[0]
    redo.check_instructions([in_bf16], [row(in_bf16)])


def test_a_cpu_without_portable_instructions_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "lacking", lambda: "it has no avx2")
    with pytest.raises(StudyError, match="portable instructions, and here it has no avx2; the"):
        redo.check_instructions([FIRST], [row(FIRST)])


def test_it_says_how_long_the_kept_training_took() -> None:
    assert redo.announced([row(FIRST)]).startswith("1 run to redo; the kept training took 50 s of")
    three = redo.announced([row(FIRST)] * 3)
    assert three.startswith("3 runs to redo; the kept training took 2 min of one core")


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"pretrain_seconds": 7.0}, ["equal: all 1 numbers of 1 run are the same, compared with "]),
        (
            {"linear_accuracy": 90.5, "instructions": "native"},
            [
                "not equal: 1 of the 1 numbers of 1 run differ, compared with ",
                f"  {FIRST.id}  linear_accuracy  90.0, now 90.5",
                "  made differently: instructions portable, now native",
            ],
        ),
        (
            {"data_digest": "png"},
            [
                "not equal: no run with the same settings and data to compare; 1 with other "
                "settings or data left out, compared with ",
            ],
        ),
    ],
)
def test_only_the_chosen_runs_are_compared_and_every_difference_is_named(
    changes: dict[str, Any], lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = STUDY.runs()
    file = keep(tmp_path, row(first), row(second))
    here = [row(first, **changes), row(second, linear_accuracy=1.0)]
    monkeypatch.setattr(partial, "rows", lambda study, layout: here)
    found = redo.compared(STUDY, file, Layout(tmp_path / "results"), {first.id})
    folder = str(tmp_path / "measured/s")
    assert [line.removesuffix(folder) for line in redo.said(found)] == lines


@pytest.mark.parametrize("again", [False, True])
def test_snakemake_is_asked_for_the_chosen_runs_and_forced_only_if_they_are_wanted_again(
    again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[argparse.Namespace] = []

    def failed(options: argparse.Namespace) -> int:
        asked.append(options)
        return 1

    monkeypatch.setattr(run, "run", failed)
    monkeypatch.setattr(instructions, "lacking", lambda: "")
    monkeypatch.delenv(instructions.VARIABLE, raising=False)
    path = Path(study_file(tmp_path))
    (one,) = studies.load(str(path)).runs()
    keep(tmp_path, row(one), place="tiny")
    pattern = "*/0.3/*"
    given = argparse.Namespace(study=str(path), pattern=pattern, again=again, cores="2")
    # A run that fails is compared with nothing.
    assert redo.run(given) == 1
    assert (asked[0].study, asked[0].cores) == (str(path), "2")
    forced = ["--forcerun", f"results/tiny/runs/{one.id}/pretrain.json"]
    assert asked[0].passed_on == [
        "selected", "--config", f"select={pattern}", *(forced if again else ()),
    ]  # fmt: skip


def test_a_measure_that_came_after_the_kept_records_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = keep(tmp_path, row(FIRST))
    monkeypatch.setattr(partial, "rows", lambda study, layout: [row(FIRST, common_mean=0.1)])
    found = redo.compared(STUDY, file, Layout(tmp_path / "results"), {FIRST.id})
    assert redo.said(found)[0].startswith("equal: all 1 numbers of 1 run are the same")
