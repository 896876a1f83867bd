"""Names that pandas would guess to be something else are read as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

import frames
from frames import named_rows
from tausweep.report import tables
from tausweep.report.comparison import compare
from tausweep.report.comparison_page import markdown
from tausweep.report.sides import read_sides
from tausweep.results import published, records
from tausweep.results.records import ALONG_IDENTITY, read_along, read_table
from tausweep.study.columns import ALONG, COLUMNS


@pytest.mark.parametrize("name", ["NA", "None", "NULL", "NaN", "null", "true", "2024-01-01", "010"])
def test_a_name_is_read_as_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "table.csv"
    for columns, read in (([*ALONG_IDENTITY, *ALONG], read_along), (list(COLUMNS), read_table)):
        cells = [name if c in ("dataset", "loss") else "" for c in columns]
        path.write_text(",".join(columns) + "\n" + ",".join(cells) + "\n", encoding="utf-8")
        frame = read(path)
        assert frame is not None
        assert list(frame["dataset"]) == list(frame["loss"]) == [name]


def test_names_survive_from_records_to_tables_and_comparison(tmp_path: Path) -> None:
    names = ["NA", "None", "NULL", "NaN", "null", "nan", "True", "1e3", "2024-01-01", "007"]
    made = frames.records(names, (0.1, 1.0), ("contrastive",), (0, 1))
    path = tmp_path / "records.csv"
    path.write_text(records.table(named_rows(made)), encoding="utf-8")
    frame = read_table(path)
    assert list(frame["dataset"].unique()) == names
    found = compare(*read_sides(str(path), str(path), ("NA", "007")), ["uniformity"])
    assert "synthetic: NA against synthetic: 007" in markdown(found)
    assert [line.split(",")[0] for line in found.csv().splitlines()[1:]] == ["NA", "NA"]
    for make in (tables.table1, tables.full):
        table = make(frame, published.records(), scaled_down=None, flip=dict.fromkeys(names, True))
        for kind in tables.FORMATS:
            text = table.text(kind)
            assert [name for name in names if name not in text] == []
