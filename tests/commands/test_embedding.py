"""Images through an encoder: the right pixels, in their order, whatever the batches are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pictures import tree
from tausweep.commands import embedding, image_tree
from tausweep.commands.loaded_encoder import LoadedEncoder
from tausweep.data import pictures
from tausweep.study import StudyError, ViewSettings

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
CPU = torch.device("cpu")


def encoder(module: nn.Module, size: int = 16, crop: float = 1.0) -> LoadedEncoder:
    return LoadedEncoder(module, "test", size, crop, MEAN, STD, ViewSettings())


def silent(line: str) -> None:
    pass


@pytest.mark.parametrize("crop", [1.0, 0.8])
def test_pixels_are_those_of_the_image_s_centre(
    crop: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = image_tree.read(tree(tmp_path, per_class=4))
    monkeypatch.setattr(embedding, "PIXELS_AT_ONCE", 3 * 20**2)
    got = embedding.embed(found, encoder(nn.Flatten(), 16, crop), "x", CPU, 2, silent)
    outer, edge = (20, 2) if crop < 1 else (16, 0)
    for row, path in zip(got.x, found.paths, strict=True):
        square = pictures.square(pictures.read(path), outer)[edge : edge + 16, edge : edge + 16]
        expected = (square / 255 - np.array(MEAN)) / np.array(STD)
        np.testing.assert_allclose(row.numpy(), expected.transpose(2, 0, 1).reshape(-1), atol=1e-5)
    assert got.labels is not None
    assert got.labels.tolist() == [0, 0, 1, 1]
    assert got.train_labels is not None
    assert got.train_labels.tolist() == [0] * 4 + [1] * 4
    assert got.views is not None
    first, second = got.views
    assert first.shape == second.shape == got.x.shape
    assert not torch.equal(first, second)


def test_views_do_not_depend_on_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = image_tree.read(tree(tmp_path, per_class=4))
    whole = embedding.embed(found, encoder(nn.Flatten()), "x", CPU, 1, silent)
    monkeypatch.setattr(embedding, "PIXELS_AT_ONCE", 1)
    parts = embedding.embed(found, encoder(nn.Flatten()), "x", CPU, 1, silent)
    assert whole.views is not None
    assert parts.views is not None
    for a, b in zip(whole.views, parts.views, strict=True):
        torch.testing.assert_close(a, b)


class Wrong(nn.Module):
    def __init__(self, answer: str) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, views: Tensor) -> object:
        if self.answer == "error":
            raise RuntimeError("no such size\nand more")
        return {"maps": views, "text": "nothing", "nan": views.flatten(1) * torch.nan}[self.answer]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("maps", r"the encoder gives \(4, 3, 16, 16\) for 4 images; B x d is needed"),
        ("text", "the encoder gives str for 4 images"),
        ("error", "the encoder fails on 4 x 3 x 16 x 16 images: no such size$"),
        ("nan", "4 of 4 rows hold NaN"),
    ],
)
def test_encoders_that_fail_are_told(answer: str, said: str, tmp_path: Path) -> None:
    found = image_tree.read(tree(tmp_path, per_class=4))
    with pytest.raises(StudyError, match=said):
        embedding.embed(found, encoder(Wrong(answer)), "x", CPU, 1, silent)


def test_a_few_damaged_images_are_left_out_and_named(tmp_path: Path) -> None:
    found = image_tree.read(tree(tmp_path, per_class=4))
    whole = embedding.embed(found, encoder(nn.Flatten()), "x", CPU, 2, silent)
    found.paths[2].write_bytes(b"no image")
    found.train_paths[1].write_bytes(b"")
    said: list[str] = []
    got = embedding.embed(found, encoder(nn.Flatten()), "x", CPU, 2, said.append)
    assert "x: 2 damaged images are left out: " in "\n".join(said)
    assert got.what is not None
    assert f"{found.paths[2]}: cannot be read as an image" in got.what
    assert whole.train is not None
    assert whole.labels is not None
    assert whole.train_labels is not None
    assert got.train is not None
    assert got.labels is not None
    assert got.train_labels is not None
    kept, kept_train = [0, 1, 3], [0, *range(2, 8)]
    assert torch.equal(got.x, whole.x[kept])
    assert torch.equal(got.labels, whole.labels[kept])
    assert torch.equal(got.train, whole.train[kept_train])
    assert torch.equal(got.train_labels, whole.train_labels[kept_train])
    assert got.views is not None
    assert len(got.views[0]) == 3


def test_many_damaged_images_are_an_error(tmp_path: Path) -> None:
    found = image_tree.read(tree(tmp_path, per_class=4))
    for path in found.train_paths[:4]:
        path.write_bytes(b"no image")
    with pytest.raises(StudyError, match=r"^4 of 12 images are damaged; .*cannot be read"):
        embedding.embed(found, encoder(nn.Flatten()), "x", CPU, 1, silent)
    for path in found.paths:
        path.write_bytes(b"no image")
    with pytest.raises(StudyError, match=r"^no image can be read; the first: .*cannot be read"):
        embedding.embed(found, encoder(nn.Flatten()), "x", CPU, 1, silent)
