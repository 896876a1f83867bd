"""Two tables side by side: every number against SciPy or NumPy, and what neither side can say."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import frames
from frames import named_rows
from tausweep.claims import judging
from tausweep.report.comparison import compare, compare_files
from tausweep.results import published, records
from tausweep.study import StudyError


def table(count: int = 3, first: int = 0, noise: float = 1.0) -> pd.DataFrame:
    return frames.records(
        ("cifar10",), (0.07, 0.3, 1.0), ("contrastive", "simple"),
        range(first, first + count), noise,
    )  # fmt: skip


def write(path: Path, frame: pd.DataFrame) -> str:
    path.write_text(records.table(named_rows(frame)), encoding="utf-8")
    return str(path)


def test_a_tie_of_two_seeds_is_not_marked_in_the_table() -> None:
    ours, theirs = table(2), table(2)
    theirs["linear_accuracy"] -= 0.5
    found = compare(ours, theirs, measures=["linear_accuracy"])
    assert not found.cells["excludes_zero"].any()
    assert "+0.50 ± 0.60 (p)" in found.markdown()
    assert "at least the noise margin / √n" in found.markdown()


def test_a_table_does_not_differ_from_itself() -> None:
    found = compare(table(), table())
    assert (found.cells["difference"] == 0).all()
    assert not found.cells["excludes_zero"].any()
    assert not any(change.changed for change in found.changes)
    assert "Verdicts that change: 0 of 18" in found.markdown()


def test_a_shift_of_every_seed_is_marked_in_its_cell_alone() -> None:
    other = table()
    cell = (other["loss"] == "contrastive") & (other["temperature"] == 0.3)
    shift = other["linear_accuracy"] - 5 - 0.01 * other["seed"]
    other["linear_accuracy"] = other["linear_accuracy"].where(~cell, shift)
    found = compare(table(), other, "ours", "theirs")
    marked = found.cells[found.cells["excludes_zero"] == 1]
    assert len(marked) == 1
    row = marked.iloc[0]
    assert (row["loss"], row["temperature"], row["measure"]) == (
        "contrastive", "0.3", "linear_accuracy",
    )  # fmt: skip
    assert row["difference"] == pytest.approx(5.01)
    line = next(x for x in found.markdown().splitlines() if "+5.01" in x)
    assert line.startswith("| CIFAR10 | contrastive | 0.3 |")
    # The seeds scatter by 0.02, the author's runs by 0.85 / sqrt 3.
    assert "+5.01 ± 0.49 (p) | **\\*** |" in line


def test_a_verdict_that_changes_is_shown_with_both_numbers() -> None:
    other = table()
    reverse = other["loss"] == "contrastive"
    other.loc[reverse, "uniformity"] = 5 - other.loc[reverse, "uniformity"]
    found = compare(table(), other, "ours", "theirs")
    changed = {change.claim: change for change in found.changes if change.changed}
    assert (changed["C1"].a.verdict, changed["C1"].b.verdict) == ("supported", "contradicted")
    line = next(x for x in found.markdown().splitlines() if x.startswith("| **C1**"))
    assert f"supported: {changed['C1'].a.headline} | contradicted: " in line


def test_cells_of_one_side_are_listed_and_not_compared() -> None:
    other = table()
    found = compare(table(), other[other["temperature"] != 1.0], "ours", "theirs")
    assert found.only_a == ["CIFAR10 contrastive at 1.0"]
    assert found.only_b == []
    assert "1.0" not in set(found.cells["temperature"])
    assert "Only in ours: CIFAR10 contrastive at 1.0." in found.markdown()


def test_runs_that_are_not_complete_are_counted_and_left_out() -> None:
    other = frames.mark(table(), "diverged", loss="simple", seed=1)
    other = frames.mark(other, "missing", loss="contrastive", temperature=0.07)
    found = compare(table(), other)
    simple = found.cells[found.cells["loss"] == "simple"].iloc[0]
    assert (simple["n_a"], simple["n_b"], simple["lacking_b"]) == (3, 2, 1)
    assert simple["method"] == "Welch"
    gone = found.cells[found.cells["temperature"] == "0.07"].iloc[0]
    assert gone["n_b"] == 0
    assert math.isnan(gone["difference"])
    text = found.markdown()
    assert "(2), 1 not complete" in text
    assert "–, 3 not complete | – |" in text


def test_the_published_numbers_are_a_side(tmp_path: Path) -> None:
    ours = write(tmp_path / "records.csv", table())
    text = compare_files(ours, "published")
    assert text.startswith("# synthetic against published\n")
    row = published.records().query("dataset == 'cifar10' and temperature == 0.3").iloc[0]
    printed = f"{row['linear_accuracy']:.2f} (1)"
    lines = [line for line in text.splitlines() if line.startswith("| CIFAR10 | contrastive | 0.3")]
    assert printed in lines[0]
    assert "(p)" not in text.split("## linear accuracy")[1]
    assert "Only in published: CIFAR10 contrastive at 0.05, 0.1, 0.2" in text


def test_verdicts_are_compared_on_common_datasets() -> None:
    ours = frames.records(("cifar10", "svhn"), (0.07, 0.3, 1.0), ("contrastive", "simple"))
    theirs = published.records()
    found = compare(ours, theirs)
    assert {change.dataset for change in found.changes} == {"cifar10", "svhn", None}
    shared = theirs[theirs["dataset"].isin(["cifar10", "svhn"])]
    overall = {
        v.claim: v.verdict for v in judging.judge(shared, run_noise=True) if v.dataset is None
    }
    assert {c.claim: c.b.verdict for c in found.changes if c.dataset is None} == overall


def test_tables_without_a_common_dataset_say_so() -> None:
    other = frames.records(("svhn",), (0.3,), ("contrastive",))
    found = compare(table(), other)
    assert found.changes == []
    assert len(found.cells) == 0
    assert "The tables have no dataset in common." in found.markdown()


def test_the_csv_has_every_cell_exactly(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.csv", table()), write(tmp_path / "b.csv", table(3, first=5))
    out = tmp_path / "out" / "cells.csv"
    compare_files(a, b, ["uniformity"], out)
    read = pd.read_csv(io.StringIO(out.read_text(encoding="utf-8")))
    found = compare(table(), table(3, first=5), measures=["uniformity"]).cells
    assert set(read["measure"]) == {"uniformity"}
    assert read["low"].tolist() == found["low"].tolist()
    assert (read["method"] == "Welch").all()


def test_equal_names_are_told_apart_and_paths_named(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.csv", table()), write(tmp_path / "b.csv", table())
    text = compare_files(a, b)
    assert text.startswith("# synthetic (A) against synthetic (B)\n")
    assert f"synthetic (A): `{a}`; synthetic (B): `{b}`." in text


def test_the_same_tables_give_the_same_text_in_any_order_of_rows() -> None:
    first = compare(table(), table(3, first=5))
    shuffled = compare(table().sample(frac=1, random_state=1), table(3, first=5))
    assert shuffled.markdown() == first.markdown()
    assert shuffled.csv() == first.csv()


def test_an_unknown_measure_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(StudyError, match=r"--measure uniformty: .* did you mean uniformity"):
        compare(table(), table(), measures=["uniformty"])
    with pytest.raises(StudyError, match="not a column of numbers in both"):
        compare(table(), published.records(), measures=["knn_accuracy"])


def test_what_is_no_table_of_one_study_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nothing\.csv: there is no such table"):
        compare_files(str(tmp_path / "nothing.csv"), "published")
    two = pd.concat([table(), table().assign(study="other")])
    with pytest.raises(StudyError, match=r"two\.csv: .*only one study can be judged"):
        compare_files(write(tmp_path / "two.csv", two), "published")
    twice = pd.concat([table(), table()])
    with pytest.raises(StudyError, match=r"twice\.csv: .*is listed twice"):
        compare_files(write(tmp_path / "twice.csv", twice), "published")


def test_two_datasets_of_one_study_are_set_side_by_side(tmp_path: Path) -> None:
    headline, seed_effect = table(), np.tile([0.3, -0.1, 0.2], 4)
    option = headline.assign(
        dataset="cifar10_flip", linear_accuracy=headline["linear_accuracy"] - 5 - seed_effect
    )
    ours = write(tmp_path / "records.csv", pd.concat([headline, option]))
    out = tmp_path / "cells.csv"
    text = compare_files(ours, ours, None, out, ("cifar10", "cifar10_flip"))
    assert text.startswith("# synthetic: cifar10 against synthetic: cifar10_flip\n")
    cells = pd.read_csv(out).groupby("measure")
    accuracy = cells.get_group("linear_accuracy")
    assert len(accuracy) == 4
    assert accuracy["difference"].tolist() == pytest.approx([5 + seed_effect[:3].mean()] * 4)
    assert (accuracy["method"] == "paired").all()
    assert (accuracy["excludes_zero"] == 1).all()
    assert (cells.get_group("uniformity")["difference"] == 0).all()
    # The option against the published numbers of what it stands for.
    published_side = compare_files(ours, "published", None, None, ("cifar10_flip", "cifar10"))
    assert "synthetic: cifar10_flip against published: cifar10" in published_side
    with pytest.raises(StudyError, match=r"--datasets cifar10_flop: .* did you mean cifar10_flip"):
        compare_files(ours, ours, datasets=("cifar10", "cifar10_flop"))
