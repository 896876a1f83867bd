"""Records as parquet are the records of the CSV, types included."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tausweep.results import parquet, read
from tausweep.study import StudyError

KEPT = Path(__file__).resolve().parents[2] / "benchmarks/measured/demo/records.csv"


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    table, path = read(KEPT), tmp_path / "records.parquet"
    path.write_bytes(parquet.to_parquet(table))
    pd.testing.assert_frame_equal(read(path), table, check_exact=True, check_dtype=False)
    assert parquet.to_parquet(read(path)) == path.read_bytes()


def test_what_is_no_table_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    with pytest.raises(StudyError, match="there is no such table"):
        read(path)
    path.write_bytes(b"PAR1 or not")
    with pytest.raises(StudyError, match="not a parquet file"):
        read(path)
    path.write_bytes(parquet.to_parquet(pd.DataFrame({"seed": [1]})))
    with pytest.raises(StudyError, match="no column study"):
        read(path)


def test_without_pyarrow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "available", lambda: False)
    with pytest.raises(StudyError, match=r"pip install tausweep\[parquet\]"):
        read(tmp_path / "records.parquet")
