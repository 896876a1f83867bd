"""The tables of benchmarks/many-classes.yaml."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from tausweep import study as studies
from tausweep.study import StudyError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, for a tenth of the classes and images."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "class_tables", raising=False)
    import class_tables as module  # type: ignore[import-not-found]

    monkeypatch.setattr(module, "CLASSES", 20)
    monkeypatch.setattr(module, "IMAGES", 50)
    monkeypatch.setattr(module, "SIZES", {1: (40, 10), 10: (4, 4)})
    found: ModuleType = module
    return found


def images(folder: Path, inside: str) -> None:
    for label in range(20):
        place = folder / "train" / f"n{label:02d}" / inside
        place.mkdir(parents=True)
        for image in range(50):
            (place / f"{image:04d}.JPEG").touch()


def test_images_are_in_the_order_of_their_numbers(tables: ModuleType, tmp_path: Path) -> None:
    images(tmp_path / "tiny", "")
    for path in (tmp_path / "tiny/train").rglob("*.JPEG"):
        path.rename(path.with_name(f"{path.parent.name}_{int(path.stem)}.JPEG"))
    tables.main(tmp_path / "tiny")
    found = [row["path"] for row in rows(tmp_path / "tiny-1.csv")]
    assert found[:3] == [f"train/n00/n00_{number}.JPEG" for number in (0, 1, 2)]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("inside", ["", "images"])
def test_few_and_many_classes_have_as_many_training_images_and_share_test_images(
    tables: ModuleType, tmp_path: Path, inside: str
) -> None:
    images(tmp_path / "tiny", inside)
    tables.main(tmp_path / "tiny")
    few, many = rows(tmp_path / "tiny-1.csv"), rows(tmp_path / "tiny-10.csv")
    assert Counter(row["split"] for row in few) == {"train": 40, "test": 10}
    assert Counter(row["split"] for row in many) == {"train": 40, "test": 40}
    assert {row["label"] for row in few} < {row["label"] for row in many}
    assert all((tmp_path / "tiny" / row["path"]).is_file() for row in few + many)
    shared = {row["path"] for row in many if row["label"] == few[0]["label"]}
    split = {row["path"]: row["split"] for row in few}
    assert all(split[row["path"]] == row["split"] for row in many if row["path"] in split)
    assert len(shared & split.keys()) == 8


def test_a_folder_of_other_images_is_refused(tables: ModuleType, tmp_path: Path) -> None:
    images(tmp_path / "tiny", "")
    (tmp_path / "tiny/train/n02/0000.JPEG").unlink()
    with pytest.raises(StudyError, match=r"n02: 50 images are needed, it has 49"):
        tables.main(tmp_path / "tiny")
    (tmp_path / "tiny/train/n20").mkdir()
    with pytest.raises(StudyError, match=r"train: 20 classes are needed, it has 21"):
        tables.main(tmp_path / "tiny")


def test_the_study_reads_the_tables_that_the_program_writes() -> None:
    study = studies.load(ROOT / "benchmarks/many-classes.yaml")
    read = {run.settings.dataset.source.table for run in study.runs()}
    assert read == {f"data/tiny-imagenet-{classes}.csv" for classes in (10, 100)}
