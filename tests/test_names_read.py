"""Names that pandas would guess to be something else are read as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tausweep.records import ALONG, ALONG_IDENTITY, COLUMNS, read_along, read_table


@pytest.mark.parametrize("name", ["NA", "None", "NULL", "NaN", "null", "true", "2024-01-01", "010"])
def test_a_name_is_read_as_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "table.csv"
    for columns, read in (([*ALONG_IDENTITY, *ALONG], read_along), (list(COLUMNS), read_table)):
        cells = [name if c in ("dataset", "loss") else "" for c in columns]
        path.write_text(",".join(columns) + "\n" + ",".join(cells) + "\n", encoding="utf-8")
        frame = read(path)
        assert frame is not None
        assert list(frame["dataset"]) == list(frame["loss"]) == [name]
