"""What is kept of a study, finished or not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tausweep import study as studies
from tausweep.commands import partial
from tausweep.commands.collect import collect
from tausweep.results import records
from tausweep.storage.atomic import write_json, write_text
from tausweep.storage.layout import Layout
from tausweep.study import Run, StudyError
from tiny_run import study_file

KEEP = Path(__file__).parents[2] / "benchmarks/measured/keep.py"
LOSSES = {"losses": {"contrastive": {"temperature": [0.1, 0.3]}, "simple": {}}}


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, which keeps in a folder of the test."""
    spec = importlib.util.spec_from_file_location("keep", KEEP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path / "kept")

    def collected(file: str, results: Path) -> str:
        """The partial table alone: figures take seconds."""
        study, layout = studies.load(file), Layout(results)
        table = layout.study(study.study) / "partial/records.csv"
        return partial.collect(study, layout, table)

    monkeypatch.setattr(partial, "partial", collected)
    return module


def pretrained(run: Run, layout: Layout) -> dict[str, Any]:
    """What pretraining leaves of a run, and one measure."""
    described = {
        "hardware": {"device": "cpu", "threads": 1}, "train_loss": 1.5, "data_digest": "d",
        "images_per_second": 10.0, "bank_size": 130, "hard_set_size": None, "seconds": 1.0,
        "code_version": "c", "settings_digest": run.settings.pretrain_digest,
    }  # fmt: skip
    write_json(layout.run(run) / "pretrain.json", described)
    write_json(layout.run(run) / "knn.json", {"made_of": "m", "values": {"accuracy": 70.0}})
    write_text(layout.run(run) / "encoder.safetensors", "weights")
    return described


def finished(run: Run, layout: Layout) -> None:
    """The same with a record."""
    content = records.record(
        run, status="diverged", measured={}, pretrain=pretrained(run, layout), evaluate={},
        code_version="c-e",
    )  # fmt: skip
    write_json(layout.run(run) / "record.json", content)


def kept(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_unfinished_study_is_kept_with_what_there_is_and_a_later_call_adds(
    keep: ModuleType, tmp_path: Path
) -> None:
    file, layout = study_file(tmp_path, **LOSSES), Layout(tmp_path / "results")
    first, second, third = studies.load(file).runs()
    with pytest.raises(StudyError, match="there is nothing to keep yet"):
        keep.keep(file, layout.root)
    finished(first, layout)
    pretrained(second, layout)
    write_text(tmp_path / "kept/tiny/README.md", "by hand")
    keep.keep(file, layout.root)
    there = {
        "tiny/README.md",
        "tiny/partial/records.csv",
        f"tiny/runs/{first.id}/record.json",
        f"tiny/runs/{second.id}/pretrain.json",
        f"tiny/runs/{second.id}/knn.json",
    }
    assert kept(tmp_path / "kept") == there
    table = records.read_table(tmp_path / "kept/tiny/partial/records.csv")
    assert list(table["status"]) == ["diverged", "pretrained", "missing"]
    # What is kept is a results folder: the same table comes of it.
    rows = partial.rows(studies.load(file), Layout(tmp_path / "kept"))
    assert [row["status"] for row in rows] == ["diverged", "pretrained", "missing"]
    # The second ends elsewhere, where the first is not.
    other = Layout(tmp_path / "elsewhere")
    finished(second, other)
    with pytest.raises(StudyError, match=f"{first.id}: its record is kept but is not in"):
        keep.keep(file, other.root)
    assert kept(tmp_path / "kept") == there
    finished(first, other)
    keep.keep(file, other.root)
    assert kept(tmp_path / "kept") == {
        "tiny/README.md",
        "tiny/partial/records.csv",
        f"tiny/runs/{first.id}/record.json",
        f"tiny/runs/{second.id}/record.json",
    }
    # Finished, it is kept as a whole.
    finished(third, other)
    with pytest.raises(StudyError, match="is missing; the study is not complete"):
        keep.keep(file, other.root)
    collect(file, other.root, other.study("tiny") / "records.csv")
    keep.keep(file, other.root)
    assert "tiny/partial/records.csv" not in kept(tmp_path / "kept")
    assert {"tiny/README.md", "tiny/records.csv"} <= kept(tmp_path / "kept")
