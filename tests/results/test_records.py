"""Records read back exactly, and a damaged one is named."""

import json
from pathlib import Path

import pytest

from tausweep.results import records
from tausweep.study import StudyError
from tausweep.study.columns import COLUMNS
from tiny_run import of_the_paper

STUDY = of_the_paper(losses={"contrastive": {"temperature": [0.07, 1]}, "simple": {}})


def rows() -> list[dict[str, object]]:
    made = []
    for i, run in enumerate(STUDY.runs()):
        content = records.record(
            run,
            status="complete" if i else "diverged",
            measured={},
            pretrain={
                "hardware": {"device": "cpu", "threads": 1},
                "train_loss": 0.1 + i / 3,
                "images_per_second": 5.0,
                "seconds": 2.0,
                "bank_size": 1437,
                "hard_set_size": None,
                "data_digest": "1234567890123456",
            },
            evaluate={},
            code_version="123456789012-00000000e123",
        )
        made.append(content["columns"] | {"own_measure": 1 / 7})
    return made


def test_table_has_the_promised_columns_first_and_plugins_after() -> None:
    head = records.table(rows()).splitlines()[0].split(",")
    assert head == [*COLUMNS, "own_measure"]
    assert head[:6] == ["study", "dataset", "loss", "temperature", "seed", "status"]


def test_table_reads_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_text(records.table(rows()))
    frame = records.read_table(path)
    assert frame["train_loss"].tolist() == [row["train_loss"] for row in rows()]
    assert frame["own_measure"].tolist() == [1 / 7] * 3
    assert frame["temperature"].isna().tolist() == [False, False, True]
    assert frame["temperature"][:2].tolist() == [0.07, 1.0]
    # A digest of digits alone, or one that looks like 0e123, must not become a number.
    assert set(frame["data_digest"]) == {"1234567890123456"}
    assert set(frame["code_version"]) == {"123456789012-00000000e123"}
    assert frame["uniformity"].isna().all()


def test_a_table_is_that_of_its_rows_in_any_order_and_no_others() -> None:
    made, text = rows(), records.table(rows())
    assert records.is_table_of(text, made)
    assert records.is_table_of(text, reversed(made))
    assert not records.is_table_of(text, made[:-1])
    assert records.is_table_of(text, made[:-1], part=True)
    assert not records.is_table_of(text, [*made, made[0]], part=True)
    assert not records.is_table_of(text, [made[0] | {"train_loss": 0.2}, *made[1:]])
    lacking = [{k: v for k, v in row.items() if k != "own_measure"} for row in made]
    assert not records.is_table_of(records.table(lacking), made)
    assert records.is_table_of(records.table(lacking), made, older=True)
    assert not records.is_table_of(text, lacking, older=True)


def test_temperature_is_written_in_canonical_form() -> None:
    assert [line.split(",")[3] for line in records.table(rows()).splitlines()[1:]] == [
        "0.07",
        "1.0",
        "",
    ]


@pytest.mark.parametrize("text", ["", "{", '{"columns": {}}', "[]", '{"columns": 3}'])
def test_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(StudyError, match=r"record\.json: is damaged or not a record"):
        records.read(tmp_path / "record.json")


def test_record_holds_settings_and_provenance(tmp_path: Path) -> None:
    run = STUDY.runs()[0]
    pretrain = {
        "hardware": {"device": "cpu", "threads": 1},
        "train_loss": None,
        "images_per_second": None,
        "seconds": 0.0,
        "bank_size": 50_000,
        "hard_set_size": 4095,
        "data_digest": "d",
        "packages": {"torch": "x"},
    }
    content = records.record(
        run, status="diverged", measured={}, pretrain=pretrain, evaluate={}, code_version="c"
    )
    records.write(tmp_path / "record.json", content)
    found = records.read(tmp_path / "record.json")
    assert found["settings"]["loss"] == {"name": "contrastive", "temperature": 0.07}
    # Table 1's alpha for CIFAR: 4,095 of 49,999 negatives.
    sizes = [found["columns"][name] for name in ("bank_size", "hard_set_size", "alpha")]
    assert sizes == [50_000, 4095, 4095 / 49_999]
    assert round(found["columns"]["alpha"], 4) == 0.0819
    assert found["pretrain"]["packages"] == {"torch": "x"}
    assert found["columns"]["settings_digest"] == run.settings.digest
    json.dumps(found, allow_nan=False)


def test_missing_or_foreign_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such table"):
        records.read_table(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match="it has no column study"):
        records.read_table(tmp_path / "other.csv")
    table = records.table(rows()).replace(",", ";")
    (tmp_path / "semicolons.csv").write_text(table)
    with pytest.raises(StudyError, match="separated by ';' and should be by commas"):
        records.read_table(tmp_path / "semicolons.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(StudyError, match="not a table of records"):
        records.read_table(tmp_path / "empty.csv")


def test_records_from_before_a_column_existed_still_read(tmp_path: Path) -> None:
    newer = ("test_images", "common_mean", "tolerance_gap", "nearest_interclass_similarity")
    older = [{k: v for k, v in row.items() if k not in newer} for row in rows()]
    path = tmp_path / "records.csv"
    path.write_text(records.table(older))
    assert records.read_table(path)[list(newer)].isna().all(axis=None)
    # So does a table that was written then: without the columns.
    lines = [line.split(",") for line in records.table(older).splitlines()]
    kept = [place for place, name in enumerate(lines[0]) if name not in newer]
    path.write_text("".join(",".join(line[place] for place in kept) + "\n" for line in lines))
    frame = records.read_table(path)
    assert frame[list(newer)].isna().all(axis=None)
    assert frame["train_loss"].tolist() == [row["train_loss"] for row in rows()]
