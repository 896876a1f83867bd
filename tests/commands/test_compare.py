"""What `tausweep compare` prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import frames
from frames import named_rows
from tausweep.cli import main
from tausweep.results import records


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """Two tables of one study, of which the second lacks a temperature."""
    made = frames.records(("cifar10",), (0.07, 0.3, 1.0), ("contrastive", "simple"), range(3))
    paths = []
    for name, frame in (("a", made), ("b", made[made["temperature"] != 1.0])):
        path = tmp_path / f"{name}.csv"
        path.write_text(records.table(named_rows(frame)), encoding="utf-8")
        paths.append(str(path))
    return paths


def test_json_has_the_cells_as_numbers(
    tables: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *tables, "--json", "--measure", "uniformity"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["document"], document["version"]) == ("tausweep compare", 1)
    assert document["a"] == {"name": "synthetic (A)", "source": tables[0]}
    only = {"dataset": "cifar10", "loss": "contrastive", "temperature": 1.0}
    assert (document["only_a"], document["only_b"]) == ([only], [])
    frame = pd.read_csv(tables[0])
    assert [cell["temperature"] for cell in document["cells"]] == [0.07, 0.3, None]
    for cell in document["cells"]:
        rows = frame[(frame["loss"] == cell["loss"])]
        if cell["temperature"] is not None:
            rows = rows[rows["temperature"] == cell["temperature"]]
        assert cell["a"]["mean"] == pytest.approx(rows["uniformity"].mean())
        assert (cell["a"]["n"], cell["b"]["n"], cell["difference"]["mean"]) == (3, 3, 0)
    assert {pair["changed"] for pair in document["verdicts"]} == {False, None}


def test_csv_is_written_beside_the_text(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "cells.csv"
    assert main(["compare", *tables, "--csv", str(out)]) == 0
    assert capsys.readouterr().out.startswith("# synthetic (A) against synthetic (B)\n")
    assert len(pd.read_csv(out)) == 3 * 4
