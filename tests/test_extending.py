"""A loss, a dataset, a measure are one file each: those of CONTRIBUTING.md, as they stand."""

import re
from pathlib import Path

import pytest

from tausweep import records
from tausweep.cli import main
from tausweep.study import load

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = {
    name: block
    for block in re.findall(r"```(?:python|yaml)\n(.*?)```", TEXT, re.DOTALL)
    for name in re.findall(r"\A# (\S+\.(?:py|yaml))", block)
}


@pytest.mark.usefixtures("no_network")
def test_the_files_of_the_contributing_page_make_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sorted(FILES) == ["centre.py", "decoupled.py", "extended.yaml", "stripes.py"]
    for name, content in FILES.items():
        Path(name).write_text(content)
    assert main(["plan", "extended.yaml"]) == 0
    assert main(["prepare", "extended.yaml"]) == 0
    for run in load("extended.yaml").runs():
        assert main(["pretrain", "extended.yaml", "--run", run.id]) == 0
        assert main(["evaluate", "extended.yaml", "--run", run.id]) == 0
    table = Path("results/extended/records.csv")
    assert main(["collect", "extended.yaml", str(table)]) == 0
    frame = records.read_table(table)
    assert set(frame["loss"]) == {"contrastive", "decoupled"}
    assert frame["centre_length"].between(0, 1).all()
    assert (frame["status"] == "complete").all()
    assert main(["tables", "extended.yaml"]) == 0
    assert main(["claims", "extended.yaml"]) == 0
    full = Path("results/extended/tables/full.csv").read_text()
    assert "centre_length" in full
    assert "decoupled" in full
