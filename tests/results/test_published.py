"""The published numbers: complete, sourced, and found wherever the package runs from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tausweep.results import published


def test_table_1_has_its_forty_cells_and_every_row_a_source() -> None:
    table = published.load(published.TABLE1)
    assert len(table) == 40
    assert table.groupby("dataset").size().to_dict() == dict.fromkeys(
        ["cifar10", "cifar100", "imagenet100", "svhn"], 10
    )
    assert table["source"].str.contains("Table 1").all()
    assert published.load(published.AUTHOR_SWEEP)["source"].notna().all()


def test_both_sources_merge_without_doubling_a_cell() -> None:
    records = published.records()
    # 40 cells of Table 1, 22 of the sweep; CIFAR10 shares 4 temperatures, CIFAR100 three.
    assert len(records) == 40 + 22 - 7
    assert not records.duplicated(published.CELL).any()
    assert set(records["seed"]) == {0}
    assert set(records["status"]) == {"complete"}
    finer = records[records["uniformity"].isna()]
    assert len(finer) == 15
    assert finer["source"].str.contains("UnsupervisedLearningCodes").all()


@pytest.mark.parametrize(
    ("cell", "accuracy", "uniformity", "tolerance"),
    [
        (("cifar10", "contrastive", 0.3), 83.27, 3.60, 0.178),
        (("svhn", "hard_contrastive", 1.0), 95.26, 3.88, 0.023),
        (("imagenet100", "simple", None), 48.09, 1.742, 0.528),
    ],
)
def test_cells_keep_their_printed_numbers(
    cell: tuple[str, str, float | None], accuracy: float, uniformity: float, tolerance: float
) -> None:
    records = published.records()
    same = records["temperature"].isna() if cell[2] is None else records["temperature"] == cell[2]
    row = records[(records["dataset"] == cell[0]) & (records["loss"] == cell[1]) & same]
    measured = row[["linear_accuracy", "uniformity", "tolerance"]].to_numpy().tolist()
    assert measured == [[accuracy, uniformity, tolerance]]


def test_every_number_stands_beside_its_text_in_the_source() -> None:
    records = published.records()
    for name in ("linear_accuracy", "uniformity", "tolerance"):
        text = records[published.printed_column(name)]
        assert (text == "").equals(records[name].isna())
        known = text[text != ""]
        assert known.astype(float).equals(records.loc[known.index, name])
    cell = records.query(
        "dataset == 'imagenet100' and loss == 'contrastive' and temperature == 0.3"
    )
    assert cell[published.printed_column("tolerance")].tolist() == ["0.380"]
    assert cell[published.printed_column("linear_accuracy")].tolist() == ["75.10"]


def test_sources_that_disagree_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = published.load

    def altered(name: str) -> pd.DataFrame:
        table = genuine(name)
        if name == published.AUTHOR_SWEEP:
            table["accuracy"] = table["accuracy"] + 0.01 * (table.index == 1)
        return table

    monkeypatch.setattr(published, "load", altered)
    with pytest.raises(ValueError, match=r"cifar10.*contrastive.*0\.07"):
        published.records()


def test_files_are_found_from_any_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(published.records()) == 55


def test_sweeps_of_others_have_source_and_caveat_and_are_no_part_of_the_papers() -> None:
    others = published.of_others()
    assert others.groupby("dataset").size().to_dict() == {
        "cifar10_lt_0.01": 5,
        "cifar100_lt_0.1": 5,
    }
    best = others.loc[others.groupby("dataset")["linear_accuracy"].idxmax()]
    assert dict(zip(best["dataset"], best["temperature"], strict=True)) == {
        "cifar10_lt_0.01": 0.1,
        "cifar100_lt_0.1": 0.07,
    }
    assert others["source"].str.contains("thesis").all()
    assert others["caveat"].str.contains("second-hand").all()
    assert not set(others["dataset"]) & set(published.records()["dataset"])
