"""A replaced image is noticed; what only looks changed is not, and what is trusted is not read."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tausweep import data as datasets
from tausweep.commands import plan
from tausweep.data import contents
from tausweep.storage.layout import File, Layout
from tausweep.study import DatasetSettings, Source


def image(path: Path, colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(path, "BMP")  # one size whatever the colour


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            for i in range(3):
                image(tmp_path / "in" / split / name / f"{i}.bmp", i)
    return tmp_path / "in"


def settings(root: Path, **options: int) -> DatasetSettings:
    source = Source(kind="folder", path=str(root))
    return DatasetSettings(source=source, image_size=8, **options)


def now(wanted: DatasetSettings, folder: Path) -> str:
    return contents.fingerprint(wanted.source, folder)


def test_an_image_replaced_by_one_of_the_same_size_is_noticed_and_prepared(
    tree: Path, tmp_path: Path
) -> None:
    wanted, out = settings(tree), tmp_path / "out"
    first = datasets.prepare(wanted, out)
    assert first["source"]["fingerprint"] == now(wanted, out) == datasets.fingerprint(wanted.source)
    image(tree / "train" / "ant" / "0.bmp", 200)
    changed = now(wanted, out)
    assert changed != first["source"]["fingerprint"]
    second = datasets.prepare(wanted, out)
    assert second["source"]["fingerprint"] == changed == now(wanted, out)
    assert second["digest"] != first["digest"]
    image(tree / "train" / "ant" / "0.bmp", 0)
    assert datasets.prepare(wanted, out)["digest"] == first["digest"]


@pytest.mark.parametrize("change", ["touched", "copied", "moved"])
def test_another_time_or_place_changes_nothing_and_is_looked_into_once(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    wanted, out = settings(tree), tmp_path / "out"
    first = datasets.prepare(wanted, out)
    if change == "touched":
        os.utime(tree / "train" / "bee" / "1.bmp", (1, 1))
    else:
        copy = shutil.copy if change == "copied" else shutil.copy2
        shutil.copytree(tree, tmp_path / "there", copy_function=copy)
        shutil.rmtree(tree)
        (tmp_path / "there").rename(tree)
    assert now(wanted, out) == first["source"]["fingerprint"]
    assert datasets.prepare(wanted, out) == first
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("it was read"))
    assert now(wanted, out) == first["source"]["fingerprint"]


def test_what_is_trusted_is_not_looked_at_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing has sizes and times; 130,000 further questions, in threads, took 13 s."""
    wanted, out = settings(tree), tmp_path / "out"
    first = datasets.prepare(wanted, out)
    asked, known = [], Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        asked.append(path)
        return known(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert now(wanted, out) == first["source"]["fingerprint"]
    assert not [path for path in asked if path.suffix == ".bmp"]


def test_datasets_of_one_folder_read_a_touched_image_once(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "results")
    wanted = [settings(tree), settings(tree, test_limit=4), settings(tree, train_limit=4)]
    made = [datasets.prepare(one, layout.prepared(one)) for one in wanted]
    os.utime(tree / "test" / "ant" / "0.bmp", (1, 1))
    os.utime(tree / "train" / "bee" / "1.bmp", (1, 1))
    read, known = [], hashlib.file_digest

    def digest(file: Any, name: str) -> Any:
        read.append(file.name)
        return known(file, name)

    monkeypatch.setattr(hashlib, "file_digest", digest)
    plan.look_again()
    found = [plan.source_fingerprint(one, layout) for one in wanted]
    assert found == [one["source"]["fingerprint"] for one in made]
    assert sorted(Path(name).name for name in read) in (["0.bmp", "1.bmp"], ["1.bmp"])


def test_an_image_outside_of_the_subset_may_change(tree: Path, tmp_path: Path) -> None:
    wanted, out = settings(tree, train_limit=2, test_limit=2), tmp_path / "out"
    first = datasets.prepare(wanted, out)
    kept = json.loads((out / File.SOURCE_CONTENTS).read_text(encoding="ascii"))
    assert len(kept["files"]) == 4
    for path in sorted(tree.rglob("*.bmp")):
        if path.relative_to(tree).as_posix() not in kept["files"]:
            image(path, 99)
    assert now(wanted, out) == first["source"]["fingerprint"]


@pytest.mark.parametrize("damage", ["absent", "not JSON", "of another form"])
def test_what_was_prepared_without_contents_goes_by_names_and_sizes_until_it_is_looked_at(
    tree: Path, tmp_path: Path, damage: str
) -> None:
    wanted, out = settings(tree), tmp_path / "out"
    first = datasets.prepare(wanted, out)
    place = out / File.SOURCE_CONTENTS
    if damage == "absent":
        place.unlink()
    else:
        place.write_text("[" if damage == "not JSON" else '{"files": {}}')
    assert now(wanted, out) == first["source"]["fingerprint"]
    assert datasets.prepare(wanted, out) == first
    image(tree / "test" / "ant" / "0.bmp", 200)
    assert now(wanted, out) != first["source"]["fingerprint"]


def test_a_folder_that_cannot_be_written_is_no_error(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, out = settings(tree), tmp_path / "out"
    first = datasets.prepare(wanted, out)
    os.utime(tree / "train" / "bee" / "1.bmp", (1, 1))

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(contents, "write_text", refuse)
    assert now(wanted, out) == first["source"]["fingerprint"]
    assert datasets.prepare(wanted, out) == first
    (out / File.SOURCE_CONTENTS).unlink()
    assert datasets.prepare(wanted, out) == first


def test_a_plug_in_s_files_count_whatever_their_kind(tree: Path, tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text(
        "import numpy as np\n"
        "from tausweep.data import SourceSplit\n"
        "def read(source, split):\n"
        "    images = np.load(f'{source.path}/images.npy')\n"
        "    return SourceSplit(images, np.arange(4) % 2, ['a', 'b'])\n"
    )
    for path in tree.rglob("*.bmp"):
        path.rename(path.with_suffix(".dcm"))
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    np.save(tree / "images.npy", pixels)
    source = Source(kind="plugin", module=str(module), path=str(tree))
    wanted, out = DatasetSettings(source=source, image_size=8), tmp_path / "out"
    first = datasets.prepare(wanted, out)
    np.save(tree / "images.npy", pixels + 9)
    assert now(wanted, out) != first["source"]["fingerprint"]
    assert datasets.prepare(wanted, out)["digest"] != first["digest"]


def test_a_plug_in_s_images_count_where_it_names_their_folder(tree: Path, tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text(
        "from tausweep import data as datasets\n"
        "from tausweep.study import Source\n"
        "def read(source, split):\n"
        "    return datasets.read(Source(kind='folder', path=source.path), split)\n"
    )
    source = Source(kind="plugin", module=str(module), path=str(tree))
    wanted, out = DatasetSettings(source=source, image_size=8), tmp_path / "out"
    first = datasets.prepare(wanted, out)
    assert now(wanted, out) == first["source"]["fingerprint"]
    image(tree / "train" / "ant" / "0.bmp", 200)
    assert datasets.prepare(wanted, out)["digest"] != first["digest"]
