"""A user's own file is a source like any other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pictures import array
from tausweep import data as datasets
from tausweep.study import DatasetSettings, Source, StudyError

PLUGIN = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from tausweep.data import SourceSplit

@dataclass
class Shade:
    grey: int

def read(source, split):
    count = source.options["count"]
    images = np.full((count, 6, 6, 3), Shade(9).grey, np.uint8)
    classes = ["b", "a"] if split == "train" else ["a", "b"]
    return SourceSplit(images, np.arange(count) % 2, classes)
"""


def plugin(tmp_path: Path, text: str = PLUGIN, **options: Any) -> Source:
    path = tmp_path / "my_source.py"
    path.write_text(text)
    return Source(kind="plugin", module=str(path), options={"count": 4} | options)


def test_a_plugin_is_read_prepared_and_loaded(tmp_path: Path) -> None:
    settings = DatasetSettings(source=plugin(tmp_path), image_size=6)
    datasets.prepare(settings, tmp_path / "out")
    data = datasets.load(tmp_path / "out")
    assert array(data.train_images).shape == (4, 6, 6, 3)
    assert (array(data.train_images) == 9).all()


def test_test_labels_are_translated_to_the_training_splits_ids(tmp_path: Path) -> None:
    datasets.prepare(DatasetSettings(source=plugin(tmp_path), image_size=6), tmp_path / "out")
    data = datasets.load(tmp_path / "out")
    assert data.classes == ["b", "a"]
    assert data.train_labels.tolist() == [0, 1, 0, 1]
    assert data.test_labels.tolist() == [1, 0, 1, 0]


def test_code_and_options_decide_the_fingerprint(tmp_path: Path) -> None:
    first = datasets.fingerprint(plugin(tmp_path))
    assert first == datasets.fingerprint(plugin(tmp_path))
    assert first != datasets.fingerprint(plugin(tmp_path, count=5))
    assert first != datasets.fingerprint(plugin(tmp_path, PLUGIN + "\n# more\n"))


def test_the_tree_that_a_plugin_names_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    source = plugin(tmp_path).model_copy(update={"path": str(tmp_path / "images")})
    (tmp_path / "images").mkdir()
    before = datasets.fingerprint(source)
    Image.new("RGB", (2, 2)).save(tmp_path / "images" / "a.png")
    assert datasets.fingerprint(source) != before


def test_fingerprint_does_not_run_the_plugin(tmp_path: Path) -> None:
    assert len(datasets.fingerprint(plugin(tmp_path, "raise RuntimeError"))) == 64


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import nothing_of_that_name", "line 1: ModuleNotFoundError"),
        ("def read(", "line 1: SyntaxError"),
        ("x = 1", "has no function read"),
        ("def read(source, split): return 3", "returned a int without images"),
    ],
)
def test_a_broken_plugin_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(StudyError, match=rf"source\.module: .*my_source\.py.*{sentence}"):
        datasets.read(plugin(tmp_path, text), "train")


def test_a_missing_plugin_is_named(tmp_path: Path) -> None:
    source = Source(kind="plugin", module=str(tmp_path / "none.py"))
    for ask in (datasets.fingerprint, lambda s: datasets.read(s, "train")):
        with pytest.raises(StudyError, match=r"source\.module: there is no file .*none\.py"):
            ask(source)


@pytest.mark.parametrize(
    ("replacement", "sentence"),
    [
        (("np.arange(count) % 2", "np.arange(count)"), "label 2 is not allowed; there are 2"),
        (("np.arange(count) % 2", "np.arange(count) - 2"), "label -2 is not allowed"),
        (("np.arange(count) % 2", "np.arange(3)"), "4 images and labels of shape"),
        (("np.arange(count) % 2", "np.ones(count)"), "labels must be integers, not float64"),
        (('["b", "a"]', '["b", "b"]'), "a class name is listed twice"),
        (('["a", "b"]', '["a", "c"]'), "class 'c' is in the test split but not in"),
        (("6, 6, 3", "6, 6"), "image 0 of the train split: an H x W x 3 uint8 array is needed"),
        (("np.uint8)", "float)"), r"image 0 of the train split: .* float64"),
    ],
)
def test_what_a_plugin_returns_is_checked(
    tmp_path: Path, replacement: tuple[str, str], sentence: str
) -> None:
    source = plugin(tmp_path, PLUGIN.replace(*replacement))
    with pytest.raises(StudyError, match=sentence):
        datasets.prepare(DatasetSettings(source=source, image_size=6), tmp_path / "out")


def test_pil_images_of_any_mode_and_size_are_taken(tmp_path: Path) -> None:
    text = """
from PIL import Image
class Split:
    images = [Image.new("RGBA", (9, 5), (1, 2, 3, 0)), Image.new("L", (5, 20), 7)]
    labels = [0, 1]
    classes = ["clear", "grey"]
def read(source, split):
    return Split
"""
    datasets.prepare(DatasetSettings(source=plugin(tmp_path, text), image_size=5), tmp_path / "o")
    images = array(datasets.load(tmp_path / "o").train_images)
    assert np.unique(images[0]).tolist() == [255]
    assert np.unique(images[1]).tolist() == [7]


@pytest.mark.parametrize(
    ("images", "classes", "says"),
    [
        ("Lazy()", "['a', 'b']", "line 7: KeyError: 3"),
        ("[0] * (1 // 0)", "['a', 'b']", "line 10: ZeroDivisionError"),
        ("(x for x in 'ab')", "['a', 'b']", "line 9: its images are a generator; a list of them"),
        ("None", "['a', 'b']", "line 9: it returned a SimpleNamespace without images"),
        ("[]", "None", "line 9: it returned a SimpleNamespace without classes"),
        ("[]", "'ab'", "line 9: its classes are a str; a list of names is needed"),
        ("exit(0)", "['a']", "line 10: SystemExit: 0"),
    ],
)
def test_what_a_plugin_does_wrong_is_told_with_its_line(
    images: str, classes: str, says: str, tmp_path: Path
) -> None:
    text = f"""from types import SimpleNamespace

class Lazy:
    def __len__(self):
        return 4
    def __getitem__(self, row):
        raise KeyError(3)

def read(source, split):
    return SimpleNamespace(images={images}, labels=[0, 1, 0, 1], classes={classes})
"""
    settings = DatasetSettings(source=plugin(tmp_path, text), image_size=6)
    with pytest.raises(StudyError) as raised:
        datasets.prepare(settings, tmp_path / "out")
    assert f"{tmp_path / 'my_source.py'}, {says}" in str(raised.value)
    assert not (tmp_path / "out/manifest.json").exists()


def test_an_image_without_pixels_is_named(tmp_path: Path) -> None:
    text = PLUGIN.replace("(count, 6, 6, 3)", "(count, 0, 6, 3)")
    settings = DatasetSettings(source=plugin(tmp_path, text), image_size=6)
    with pytest.raises(StudyError, match=r"image 0 of the train split: .* not \(0, 6, 3\) uint8"):
        datasets.prepare(settings, tmp_path / "out")
