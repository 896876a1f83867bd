"""What `tausweep show` prints as JSON: the numbers of the tables that are kept of the demo."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from tausweep.cli import main

REPOSITORY = Path(__file__).parents[2]
KEPT = REPOSITORY / "benchmarks/measured"


def test_json_has_every_cell_and_verdict_as_values(capsys: pytest.CaptureFixture[str]) -> None:
    study = str(REPOSITORY / "benchmarks/demo.yaml")
    assert main(["show", study, "--results", str(KEPT), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["document"], document["version"]) == ("tausweep show", 1)
    assert (document["study"], document["miniature"], document["kept"]) == ("demo", True, None)
    frame = pd.read_csv(KEPT / "demo/records.csv")
    cells = {(c["loss"], c["temperature"]): c for c in document["cells"]}
    groups = {
        (str(loss), None if math.isnan(tau := float(str(temperature))) else tau): rows
        for (loss, temperature), rows in frame.groupby(["loss", "temperature"], dropna=False)
    }
    assert cells.keys() == groups.keys()
    for key, cell in cells.items():
        for name, found in cell["measures"].items():
            values = groups[key][name]
            assert found["n"] == values.notna().sum()
            assert found["mean"] == (pytest.approx(values.mean()) if found["n"] else None)
    verdicts = json.loads((KEPT / "demo/claims.json").read_text(encoding="utf-8"))
    kept = [(v["claim"], v["dataset"], v["verdict"]) for v in verdicts]
    assert [(v["claim"], v["dataset"], v["verdict"]) for v in document["verdicts"]] == kept
    assert document["files"]["table1"].endswith("demo/tables/table1.md")
