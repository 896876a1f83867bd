"""Runs on images without labels, or with some: what needs labels is left out or uses those."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tiny_run
from pictures import picture
from tausweep import study as studies
from tausweep.commands import collect, evaluate, prepare, pretrain
from tausweep.results import records
from tausweep.storage.layout import File, Layout
from tausweep.study import Run, StudyError

SIZE = 60
OF_LABELS = ("linear_accuracy", "knn_accuracy", "tolerance", "train_tolerance", "tolerance_gap")
OF_ALL = ("uniformity", "alignment", "rankme", "train_uniformity", "positive_similarity")


def said(line: str) -> None:
    """Progress is not looked at."""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(SIZE):
        picture(i, (12, 12)).save(folder / f"{i:02}.png")
    return folder


def measured(folder: Path, source: dict[str, str]) -> tuple[Run, Path, str]:
    """A study on a source, trained and measured; its run, results and file."""
    study = tiny_run.study_file(
        folder,
        datasets={"photos": {"source": {"kind": "folder", **source}, "image_size": 8}},
        evaluate_at=[0.5, 1.0],
        knn={"k": 5},
        baselines=False,
    )
    results, run = folder / "results", studies.load(study).runs()[0]
    prepare.prepare(study, None, results, 1, said)
    pretrain.pretrain(
        study, run.id, results, device="cpu", say=said, stop=lambda: False, checkpoint_seconds=60
    )
    evaluate.evaluate(study, run.id, results, device="cpu", say=said)
    return run, results, study


def columns(run: Run, results: Path) -> dict[str, object]:
    found: dict[str, object] = records.read(Layout(results).run(run) / File.RECORD)["columns"]
    return found


def test_without_labels_only_what_needs_none_is_measured(tmp_path: Path, pictures: Path) -> None:
    run, results, study = measured(tmp_path, {"path": str(pictures)})
    found = columns(run, results)
    assert found["status"] == "complete"
    assert all(found[name] is None for name in OF_LABELS)
    assert all(isinstance(found[name], float) for name in OF_ALL)
    collect.collect(study, results, results / run.study / File.RECORDS)
    along = json.loads((Layout(results).run(run) / File.ALONG).read_text())["rows"]
    assert [row["share"] for row in along] == [0.5, 1.0]
    assert all(row["values"]["knn_accuracy"] is None for row in along)
    assert all(row["values"]["uniformity"] > 0 for row in along)


def test_with_some_labels_classifiers_learn_from_those(
    tmp_path: Path, pictures: Path, label: Callable[[int], str]
) -> None:
    rows = ["path,label"] + [f"{i:02}.png,{label(i)}" for i in range(SIZE)]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    run, results, _ = measured(tmp_path, {"path": str(pictures), "table": str(tmp_path / "t.csv")})
    found = columns(run, results)
    assert all(isinstance(found[name], float) for name in (*OF_LABELS, *OF_ALL))
    data = np.load(next((results / "data").glob("*/train_labels.npy")))
    assert (data == -1).sum() == SIZE - 40
    assert found["bank_size"] == len(data)


@pytest.fixture
def label() -> Callable[[int], str]:
    """Two classes of 20, and no label for the rest."""
    return lambda i: "ab"[i % 2] if i < 40 else ""


def test_knn_has_enough_neighbours_with_a_label(
    tmp_path: Path, pictures: Path, label: Callable[[int], str]
) -> None:
    rows = ["path,label"] + [f"{i:02}.png,{label(i)}" for i in range(SIZE)]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    source = {"kind": "folder", "path": str(pictures), "table": str(tmp_path / "t.csv")}
    study = tiny_run.study_file(
        tmp_path, datasets={"photos": {"source": source, "image_size": 8}}, knn={"k": 40}
    )
    with pytest.raises(StudyError, match="40 is more than the 32 training images with a label"):
        prepare.prepare(study, None, tmp_path / "results", 1, said)


def test_a_supervised_loss_needs_labels(tmp_path: Path, pictures: Path) -> None:
    source = {"kind": "folder", "path": str(pictures)}
    study = tiny_run.study_file(
        tmp_path,
        datasets={"photos": {"source": source, "image_size": 8}},
        losses={"supcon": {"temperature": 0.3}},
        knn={"k": 5},
    )
    run = studies.load(study).runs()[0]
    with pytest.raises(StudyError, match="label"):
        pretrain.pretrain(
            study, run.id, tmp_path / "results", device="cpu", say=said, stop=lambda: False,
            checkpoint_seconds=60,
        )  # fmt: skip
