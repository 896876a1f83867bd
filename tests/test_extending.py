"""A loss, a dataset, a measure are one file each: those of CONTRIBUTING.md, as they stand."""

import re
from pathlib import Path

import pytest

from tausweep.cli import main
from tausweep.results import records
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
    assert sorted(FILES) == ["centre.py", "extended.yaml", "stripes.py", "weighted.py"]
    for name, content in FILES.items():
        Path(name).write_text(content)
    assert main(["plan", "extended.yaml", "--no-measure"]) == 0
    assert main(["prepare", "extended.yaml"]) == 0
    for run in load("extended.yaml").runs():
        assert main(["pretrain", "extended.yaml", "--run", run.id]) == 0
        assert main(["evaluate", "extended.yaml", "--run", run.id]) == 0
    table = Path("results/extended/records.csv")
    assert main(["collect", "extended.yaml", str(table)]) == 0
    frame = records.read_table(table)
    assert set(frame["loss"]) == {"contrastive", "weighted"}
    assert frame["centre_length"].between(0, 1).all()
    assert (frame["status"] == "complete").all()
    assert main(["tables", "extended.yaml"]) == 0
    assert main(["claims", "extended.yaml"]) == 0
    full = Path("results/extended/tables/full.csv").read_text()
    assert "centre_length" in full
    assert "weighted" in full
    assert "weighted" in Path("results/extended/tables/table1.csv").read_text()
    for run in load("extended.yaml").runs():
        if run.loss == "weighted":
            history = Path(f"results/extended/runs/{run.id}/history.csv").read_text()
            assert history.splitlines()[0].endswith(",loss.log_weight")


@pytest.mark.parametrize("place", ["make", "loss"])
def test_an_own_loss_that_raises_is_told_in_one_sentence(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own file, line and words; not 25 lines of ours."""
    module = tmp_path / "mine.py"
    body = "    raise KeyError('beta')\n"
    if place == "loss":
        body = (
            "    def loss(anchors, bank, index):\n        return anchors / None\n    return loss\n"
        )
    module.write_text(f"def make(temperature, negatives):\n{body}")
    file = tmp_path / "s.yaml"
    file.write_text(
        "study: s\nseeds: [0]\nbaselines: false\ndatasets: {digits: {train_limit: 60}}\n"
        f"losses: {{mine: {{module: {module}}}}}\nencoder: {{trunk: resnet10, width: 8, dim: 8}}\n"
        "knn: {k: 5}\npretrain: {batch_size: 20}\n"
    )
    run = ["pretrain", str(file), "--run", "digits/mine/none/seed0"]
    assert main([*run, "--results", str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err.splitlines()
    where, what = {"make": ("line 2", "KeyError: 'beta'"), "loss": ("line 3", "TypeError")}[place]
    assert f"losses.mine.module: {module}, {where}: {what}" in said[-1]
    assert not [line for line in said if "Traceback" in line]
