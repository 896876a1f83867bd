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
from tausweep.report.comparison import Comparison, compare
from tausweep.report.comparison_page import markdown
from tausweep.report.sides import Side, read_sides
from tausweep.results import published, records
from tausweep.results.cells import Key
from tausweep.study import StudyError


def table(count: int = 3, first: int = 0, noise: float = 1.0) -> pd.DataFrame:
    return frames.records(
        ("cifar10",), (0.07, 0.3, 1.0), ("contrastive", "simple"),
        range(first, first + count), noise,
    )  # fmt: skip


def write(path: Path, frame: pd.DataFrame) -> str:
    path.write_text(records.table(named_rows(frame)), encoding="utf-8")
    return str(path)


def compared(
    a: pd.DataFrame,
    b: pd.DataFrame,
    name_a: str = "A",
    name_b: str = "B",
    measures: list[str] | None = None,
) -> Comparison:
    return compare(Side(name_a, "", a), Side(name_b, "", b), measures)


def of_files(a: str, b: str, datasets: tuple[str, str] | None = None) -> str:
    return markdown(compare(*read_sides(a, b, datasets)))


def test_a_tie_of_two_seeds_is_not_marked_in_the_table() -> None:
    ours, theirs = table(2), table(2)
    theirs["linear_accuracy"] -= 0.5
    found = compared(ours, theirs, measures=["linear_accuracy"])
    assert not found.cells["excludes_zero"].any()
    assert "+0.50 ± 0.60 (p)" in markdown(found)
    assert "at least the noise margin / √n" in markdown(found)


def test_a_table_does_not_differ_from_itself() -> None:
    found = compared(table(), table())
    assert (found.cells["difference"] == 0).all()
    assert not found.cells["excludes_zero"].any()
    assert not any(pair.changed for pair in found.verdicts)
    assert f"Verdicts that change: 0 of {len(found.compared)}" in markdown(found)


def test_a_shift_of_every_seed_is_marked_in_its_cell_alone() -> None:
    other = table()
    cell = (other["loss"] == "contrastive") & (other["temperature"] == 0.3)
    shift = other["linear_accuracy"] - 5 - 0.01 * other["seed"]
    other["linear_accuracy"] = other["linear_accuracy"].where(~cell, shift)
    found = compared(table(), other, "ours", "theirs")
    marked = found.cells[found.cells["excludes_zero"] == 1]
    assert len(marked) == 1
    row = marked.iloc[0]
    assert (row["loss"], row["temperature"], row["measure"]) == (
        "contrastive", "0.3", "linear_accuracy",
    )  # fmt: skip
    assert row["difference"] == pytest.approx(5.01)
    line = next(x for x in markdown(found).splitlines() if "+5.01" in x)
    assert line.startswith("| CIFAR10 | contrastive | 0.3 |")
    # The seeds scatter by 0.02, the author's runs by 0.85 / sqrt 3.
    assert "+5.01 ± 0.49 (p) | **\\*** |" in line


def test_a_verdict_that_changes_is_shown_with_both_numbers() -> None:
    other = table()
    reverse = other["loss"] == "contrastive"
    other.loc[reverse, "uniformity"] = 5 - other.loc[reverse, "uniformity"]
    found = compared(table(), other, "ours", "theirs")
    changed = {change.claim: change for change in found.verdicts if change.changed}
    assert (changed["C1"].a.verdict, changed["C1"].b.verdict) == ("supported", "contradicted")
    line = next(x for x in markdown(found).splitlines() if x.startswith("| **C1**"))
    assert f"supported: {changed['C1'].a.headline} | contradicted: " in line


def test_cells_of_one_side_are_listed_and_not_compared() -> None:
    other = table()
    found = compared(table(), other[other["temperature"] != 1.0], "ours", "theirs")
    assert found.only_a == [Key("cifar10", "contrastive", 1.0)]
    assert found.only_b == []
    assert "1.0" not in set(found.cells["temperature"])
    line = "Compared: the 3 cells that both tables have. Only in ours: CIFAR10 contrastive at 1.0."
    assert line in markdown(found).splitlines()


def test_a_dataset_of_one_side_is_named_with_the_number_of_its_cells() -> None:
    more = frames.records(("cifar10", "svhn"), (0.07, 0.3, 1.0), ("contrastive", "simple"))
    said = markdown(compared(table(), more, "ours", "theirs"))
    line = "Compared: the 4 cells that both tables have. Only in theirs: SVHN (4 cells)."
    assert line in said.splitlines()


def test_no_verdict_changes_because_a_side_lacks_cells() -> None:
    """The verdicts of a part are those of the whole where it is judged by the part's cells."""
    whole = table()
    part = whole[(whole["temperature"] != 1.0) & (whole["loss"] != "simple")]
    for found in (compared(whole, part), compared(part, whole)):
        assert found.compared
        assert not any(pair.changed for pair in found.verdicts)
        title = f"## Verdicts that change: 0 of {len(found.compared)}"
        assert title in markdown(found).splitlines()


def test_what_one_side_did_not_measure_is_no_verdict_that_changes() -> None:
    found = compared(table(), table().drop(columns="uniformity"), "ours", "theirs")
    lacking = [pair.claim for pair in found.verdicts if pair.lacking == "b"]
    assert "C1" in lacking
    assert not any(pair.changed for pair in found.compared)
    claims = ", ".join(dict.fromkeys(lacking))
    assert f"Measured only in ours: {claims}." in markdown(found).splitlines()


def test_runs_that_are_not_complete_are_counted_and_left_out() -> None:
    other = frames.mark(table(), "diverged", loss="simple", seed=1)
    other = frames.mark(other, "missing", loss="contrastive", temperature=0.07)
    found = compared(table(), other)
    simple = found.cells[found.cells["loss"] == "simple"].iloc[0]
    assert (simple["n_a"], simple["n_b"], simple["lacking_b"]) == (3, 2, 1)
    assert simple["method"] == "Welch"
    gone = found.cells[found.cells["temperature"] == "0.07"].iloc[0]
    assert gone["n_b"] == 0
    assert math.isnan(gone["difference"])
    text = markdown(found)
    assert "(2), 1 not complete" in text
    assert "–, 3 not complete | – |" in text


def test_the_published_numbers_are_a_side(tmp_path: Path) -> None:
    ours = write(tmp_path / "records.csv", table())
    text = of_files(ours, "published")
    assert text.startswith("# synthetic against published\n")
    row = published.records().query("dataset == 'cifar10' and temperature == 0.3").iloc[0]
    printed = f"{row['linear_accuracy']:.2f} (1)"
    lines = [line for line in text.splitlines() if line.startswith("| CIFAR10 | contrastive | 0.3")]
    assert printed in lines[0]
    assert not [line for line in text.splitlines() if line.startswith("|") and "(p)" in line]
    assert "Only in published: CIFAR10 contrastive at 0.05, 0.1, 0.2" in text


def test_verdicts_are_those_of_the_common_cells() -> None:
    ours = frames.records(("cifar10", "svhn"), (0.07, 0.3, 1.0), ("contrastive", "simple"))
    theirs = published.records()
    found = compared(ours, theirs)
    assert {pair.dataset for pair in found.verdicts} == {"cifar10", "svhn", None}
    key = ["dataset", "loss", "temperature"]
    shared = theirs.merge(ours[key].drop_duplicates(), on=key)
    overall = {
        v.claim: v.verdict for v in judging.judge(shared, run_noise=True) if v.dataset is None
    }
    assert {p.claim: p.b.verdict for p in found.verdicts if p.dataset is None} == overall


def test_tables_without_a_common_cell_say_so() -> None:
    other = frames.records(("svhn",), (0.3,), ("contrastive",))
    found = compared(table(), other)
    assert found.verdicts == []
    assert len(found.cells) == 0
    assert "The tables have no cell in common. Only in A: CIFAR10 (4 cells)." in markdown(found)


def test_the_csv_has_every_cell_exactly() -> None:
    found = compared(table(), table(3, first=5), measures=["uniformity"])
    read = pd.read_csv(io.StringIO(found.csv()))
    assert set(read["measure"]) == {"uniformity"}
    assert read["low"].tolist() == found.cells["low"].tolist()
    assert (read["method"] == "Welch").all()


def test_equal_names_are_told_apart_and_paths_named(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.csv", table()), write(tmp_path / "b.csv", table())
    text = of_files(a, b)
    assert text.startswith("# synthetic (A) against synthetic (B)\n")
    assert f"synthetic (A): `{a}`; synthetic (B): `{b}`." in text


def test_the_same_tables_give_the_same_text_in_any_order_of_rows() -> None:
    first = compared(table(), table(3, first=5))
    shuffled = compared(table().sample(frac=1, random_state=1), table(3, first=5))
    assert markdown(shuffled) == markdown(first)
    assert shuffled.csv() == first.csv()


def test_an_unknown_measure_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(StudyError, match=r"--measure uniformty: .* did you mean uniformity"):
        compared(table(), table(), measures=["uniformty"])
    with pytest.raises(StudyError, match="not a column of numbers in both"):
        compared(table(), published.records(), measures=["knn_accuracy"])


def test_what_is_no_table_of_one_study_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nothing\.csv: there is no such table"):
        of_files(str(tmp_path / "nothing.csv"), "published")
    two = pd.concat([table(), table().assign(study="other")])
    with pytest.raises(StudyError, match=r"two\.csv: .*only one study can be judged"):
        of_files(write(tmp_path / "two.csv", two), "published")
    twice = pd.concat([table(), table()])
    with pytest.raises(StudyError, match=r"twice\.csv: .*is listed twice"):
        of_files(write(tmp_path / "twice.csv", twice), "published")


def test_two_datasets_of_one_study_are_set_side_by_side(tmp_path: Path) -> None:
    headline, seed_effect = table(), np.tile([0.3, -0.1, 0.2], 4)
    option = headline.assign(
        dataset="cifar10_flip", linear_accuracy=headline["linear_accuracy"] - 5 - seed_effect
    )
    ours = write(tmp_path / "records.csv", pd.concat([headline, option]))
    found = compare(*read_sides(ours, ours, ("cifar10", "cifar10_flip")))
    assert markdown(found).startswith("# synthetic: cifar10 against synthetic: cifar10_flip\n")
    cells = found.cells.groupby("measure")
    accuracy = cells.get_group("linear_accuracy")
    assert len(accuracy) == 4
    assert accuracy["difference"].tolist() == pytest.approx([5 + seed_effect[:3].mean()] * 4)
    assert (accuracy["method"] == "paired").all()
    assert (accuracy["excludes_zero"] == 1).all()
    assert (cells.get_group("uniformity")["difference"] == 0).all()
    # The option against the published numbers of what it stands for.
    published_side = of_files(ours, "published", ("cifar10_flip", "cifar10"))
    assert "synthetic: cifar10_flip against published: cifar10" in published_side
    with pytest.raises(StudyError, match=r"--datasets cifar10_flop: .* did you mean cifar10_flip"):
        of_files(ours, ours, ("cifar10", "cifar10_flop"))
