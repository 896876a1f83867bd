"""`tausweep classes`: it reads embeddings that are there, and says how many are not."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tausweep import study as studies
from tausweep.cli import main
from tausweep.measures import geometry, same_class
from tausweep.results import records
from tausweep.storage.atomic import write_json
from tausweep.storage.layout import Layout
from tausweep.study import Run
from tausweep.training.checkpoints import save_tensors
from tiny_run import study_file

LOSSES = {
    "contrastive": {"temperature": [0.07, 1.0]},
    "hard_contrastive": {"temperature": [0.3], "negatives": 20},
    "simple": {},
}


def embeddings(run: Run) -> dict[str, torch.Tensor]:
    """Clusters of three classes, as the runs' files hold them."""
    rng = np.random.default_rng([run.seed, int(100 * (run.temperature or 0))])
    labels = {"train": np.arange(130) % 3, "test": np.arange(60) % 3}
    found: dict[str, torch.Tensor] = {}
    for split, own in labels.items():
        rows = np.eye(16)[own] + 0.4 * rng.standard_normal((len(own), 16))
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        found[split] = torch.from_numpy(unit.astype(np.float32))
        found[f"{split}_labels"] = torch.from_numpy(own.astype(np.int64))
    return found | {"bank": found["train"].clone()}


def finished(run: Run, layout: Layout, *, embedded: bool = True) -> None:
    """A run with a record, and perhaps its embeddings."""
    described = {
        "hardware": {"device": "cpu", "threads": 1}, "train_loss": 1.5, "data_digest": "d",
        "images_per_second": 10.0, "bank_size": 130, "hard_set_size": None, "seconds": 1.0,
        "code_version": "c", "settings_digest": run.settings.pretrain_digest,
    }  # fmt: skip
    folder = layout.run(run)
    write_json(folder / "pretrain.json", described)
    made = records.record(
        run, status="complete", measured={"knn": {"accuracy": 70.0}}, pretrain=described,
        evaluate={}, code_version="c-e",
    )  # fmt: skip
    write_json(folder / "record.json", made)
    if embedded:
        save_tensors(folder / "embeddings.safetensors", embeddings(run), {"made_of": "m"})


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Layout, list[Run]]:
    monkeypatch.chdir(tmp_path)
    file = study_file(tmp_path, losses=LOSSES, seeds=[0, 1])
    return file, Layout(Path("results")), studies.load(file).runs()


def test_every_finished_run_is_measured_and_drawn_and_no_record_changes(
    given: tuple[str, Layout, list[Run]], capsys: pytest.CaptureFixture[str]
) -> None:
    file, layout, runs = given
    for run in runs[:-1]:
        finished(run, layout, embedded=run is not runs[1])
    before = {path: path.read_bytes() for path in layout.root.rglob("record.json")}
    assert main(["classes", file]) == 0
    folder = layout.study("tiny") / "partial"
    said = f"6 of 8 runs of losses measured (2 unfinished or without embeddings); written: {folder}"
    assert capsys.readouterr().out.startswith(said)
    assert before == {path: path.read_bytes() for path in layout.root.rglob("record.json")}
    drawn = sorted(path.name for path in (folder / "figures").glob("*.svg"))
    assert drawn == ["penalty_by_class.svg", "tolerance_by_class.svg"]
    found = json.loads((folder / "classes.json").read_text(encoding="utf-8"))["runs"]
    measured = [run for run in runs[:-1] if run is not runs[1]]
    assert [(f["loss"], f["temperature"], f["seed"]) for f in found] == [
        (run.loss, run.temperature, run.seed) for run in measured
    ]
    hard = next(f for f in found if f["loss"] == "hard_contrastive" and f["seed"] == 0)
    check(hard, next(run for run in runs if run.loss == "hard_contrastive"), 0.3, 20)
    simple = next(f for f in found if f["loss"] == "simple")
    assert simple["share"] is simple["by_similarity"] is None

    with (folder / "classes.csv").open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert [float(row["share"]) if row["share"] else None for row in rows] == [
        f["share"] for f in found
    ]
    assert rows[0]["temperature"] == "0.07"
    assert float(rows[0]["share_at_0.07"]) == found[0]["shares"][1]


def check(found: dict[str, Any], run: Run, tau: float, size: int) -> None:
    """Its own share is that of its hard set, on a sample that is half of both splits or more."""
    tensors = embeddings(run)
    index = torch.arange(130)
    whole = same_class.same_class_share(
        tensors["train"], tensors["bank"], index, tensors["train_labels"], (tau,), size
    )
    # All 130 are anchors, whatever their order.
    assert found["anchors"] == 130
    assert found["share"] == pytest.approx(float(whole.mean()))
    own = geometry.tolerance(tensors["test"], tensors["test_labels"])
    assert np.mean(found["tolerance_by_class"]) == pytest.approx(own)


def test_without_embeddings_one_sentence_says_so(
    given: tuple[str, Layout, list[Run]], capsys: pytest.CaptureFixture[str]
) -> None:
    file, layout, runs = given
    finished(runs[0], layout, embedded=False)
    assert main(["classes", file]) == 2
    said = capsys.readouterr().err
    assert "study tiny: no finished run has its embeddings.safetensors in results/tiny" in said


def test_damaged_embeddings_are_named(
    given: tuple[str, Layout, list[Run]], capsys: pytest.CaptureFixture[str]
) -> None:
    file, layout, runs = given
    finished(runs[0], layout)
    path = layout.run(runs[0]) / "embeddings.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    assert main(["classes", file]) == 2
    assert f"{path}: is damaged" in capsys.readouterr().err
