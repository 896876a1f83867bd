"""Views of originals are cut from the whole image, and depend on nothing but image and numbers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import tolerance
from pictures import each, needs_eight_bit_kernel, originals, tree
from tausweep import data as datasets
from tausweep.data.prepared import Prepared
from tausweep.study import DatasetSettings, Source, StudyError, ViewSettings
from tausweep.views import batches as module
from tausweep.views import rendering
from tausweep.views.batches import OriginalPixels, Pixels, SquarePixels, pixels, resident
from tausweep.views.parameters import ViewParameters

pytestmark = pytest.mark.numerical

# A GPU machine has not got it.
reference = pytest.importorskip("torchvision.transforms.v2.functional")

CPU = torch.device("cpu")
IMAGENET = ViewSettings(hue=0.1, jitter_probability=0.8, flip=True, blur_probability=0.5)
CROP = ViewSettings(jitter_probability=0.0, grayscale=0.0)
SIZE = 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Ten training and four test images of six sizes."""
    folder = tmp_path_factory.mktemp("originals")
    source = Source(kind="folder", path=str(tree(folder / "in", 5)))
    datasets.prepare(DatasetSettings(source=source, form="originals"), folder / "out")
    return datasets.load(folder / "out")


@pytest.fixture(scope="module")
def wholes(data: Prepared) -> list[Tensor]:
    """The training images, uint8 3 x H x W."""
    path = originals(data.train_images).path.parent.parent / "in"
    read = datasets.read(Source(kind="folder", path=str(path)), "train")
    return [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in each(read.images)]


def of(data: Prepared, size: int = SIZE) -> Pixels:
    return pixels(data.train_images, size, data.mean, data.std, CPU)


def normalised(squares: list[Tensor], data: Prepared) -> Tensor:
    mean, std = (torch.tensor(c)[:, None, None] for c in (data.mean, data.std))
    return torch.stack([(s.float() / 255 - mean) / std for s in squares])


def rendered(found: Pixels, drawn: ViewParameters, *sizes: int) -> Tensor:
    order = torch.arange(len(found))
    return torch.cat([*found.views(order.split(list(sizes) or len(found)), drawn)])


def boxes(drawn: ViewParameters) -> Iterator[tuple[int, ...]]:
    return zip(
        *(getattr(drawn, side).tolist() for side in ("top", "left", "height", "width")), strict=True
    )


def rounded(wholes: list[Tensor], data: Prepared) -> float:
    """Allowed between two ways of resizing and normalising these images."""
    extent = max(max(image.shape[1:]) for image in wholes)
    return 2 * tolerance.view(extent, 1, 0) / min(data.std)


def test_crops_are_drawn_from_each_images_own_extent(data: Prepared, wholes: list[Tensor]) -> None:
    """Boxes fit, differ from those of squares, and have the drawn share of the original's area."""
    extents = [image.shape[1:] for image in wholes]
    assert len(set(extents)) >= 5
    shares = []
    for epoch in range(200):
        drawn = of(data).draw(CROP, 0, epoch)
        for (top, left, height, width), (h, w) in zip(boxes(drawn), extents, strict=True):
            assert 0 <= top <= h - height
            assert 0 <= left <= w - width
            shares.append(height * width / (h * w))
    assert min(shares) < 0.25
    assert max(shares) > 0.9
    assert np.mean(shares) == pytest.approx(0.55, abs=0.08)


@needs_eight_bit_kernel
def test_a_view_is_torchvisions_crop_of_the_original(data: Prepared, wholes: list[Tensor]) -> None:
    drawn = of(data).draw(CROP, 0, 3)
    expected = [
        reference.resized_crop(image, *box, [SIZE, SIZE], antialias=True)
        for image, box in zip(wholes, boxes(drawn), strict=True)
    ]
    tolerance.check(rendered(of(data), drawn), normalised(expected, data), rounded(wholes, data))


@needs_eight_bit_kernel
def test_flip_jitter_grayscale_and_blur_follow_the_crop(
    data: Prepared, wholes: list[Tensor]
) -> None:
    """The same as cropping first and then drawing from the square, whatever is switched on."""
    drawn = of(data).draw(IMAGENET, 1, 0)
    assert drawn.blur.any()
    assert not drawn.blur.all()
    assert not drawn.jitter.all()
    squares = torch.stack(
        [
            reference.resized_crop(image, *box, [SIZE, SIZE], antialias=True).permute(1, 2, 0)
            for image, box in zip(wholes, boxes(drawn), strict=True)
        ]
    )
    settings = IMAGENET.model_copy(update={"crop_scale": None})
    same = rendering.draw(settings, SIZE, SIZE, len(squares), 1, 0)
    expected = rendering.render(squares, same, SIZE, data.mean, data.std)
    assert torch.equal(rendered(of(data), drawn), expected)


@pytest.mark.parametrize("sizes", [(1,) * 10, (3, 3, 3, 1), (7, 3)])
def test_views_do_not_depend_on_the_groups(data: Prepared, sizes: tuple[int, ...]) -> None:
    drawn = of(data).draw(IMAGENET, 0, 0)
    # Jitter, blur and normalisation in batches of other sizes; the crop is the same.
    allowed = 2 * tolerance.view(1, 3, 0.4) / min(data.std)
    tolerance.check(rendered(of(data), drawn, *sizes), rendered(of(data), drawn), allowed)


def test_cropped_squares_are_the_same_bytes_with_any_groups_and_threads(
    data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = of(data).draw(CROP, 0, 0)
    whole = rendered(of(data), drawn)
    for threads, ahead in ((1, 1), (4, 256)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setattr(module, "IMAGES_AHEAD", ahead)
        assert torch.equal(rendered(of(data), drawn, 4, 1, 5), whole)


@needs_eight_bit_kernel
def test_evaluation_takes_the_centre_of_the_resized_original(
    data: Prepared, wholes: list[Tensor]
) -> None:
    """28 of 32 pixels, as 224 of 256."""
    expected = [
        reference.center_crop(reference.resize(image, [32], antialias=True), [28, 28])
        for image in wholes
    ]
    (found,) = of(data, 28).plain([torch.arange(len(wholes))])
    tolerance.check(found, normalised(expected, data), rounded(wholes, data))


def test_groups_are_taken_ahead_but_not_all(
    data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two groups are under way behind the one that is asked for, and no more."""
    monkeypatch.setattr(module, "IMAGES_AHEAD", 2)
    asked: list[int] = []

    def groups() -> Iterator[Tensor]:
        for row in range(10):
            asked.append(row)
            yield torch.tensor([row])

    found = of(data).plain(groups())
    for place in range(10):
        next(found)
        assert len(asked) == min(10, place + 3)


def test_squares_are_rendered_as_before(data: Prepared) -> None:
    """The resident tensor and the mapped array give what ``views`` gives."""
    squares = np.random.default_rng(0).integers(0, 256, (9, 20, 20, 3), dtype=np.uint8)
    index, drawn = torch.tensor([4, 0, 8]), rendering.draw(IMAGENET, 20, 20, 9, 0, 0)
    expected = rendering.render(
        torch.from_numpy(squares)[index], drawn.take(index), 16, data.mean, data.std
    )
    for images in (squares, resident(squares, CPU)):
        found = pixels(images, 16, data.mean, data.std, CPU)
        assert isinstance(found, SquarePixels)
        assert torch.equal(next(found.views([index], found.draw(IMAGENET, 0, 0))), expected)


def test_originals_stay_on_disk(data: Prepared) -> None:
    assert resident(data.train_images, CPU) is data.train_images
    assert isinstance(of(data), OriginalPixels)


@pytest.mark.parametrize("damage", ["zeros", "another image"])
def test_damage_on_the_way_is_named(tmp_path: Path, damage: str) -> None:
    source = Source(kind="folder", path=str(tree(tmp_path / "in", 2)))
    datasets.prepare(DatasetSettings(source=source, form="originals"), tmp_path / "out")
    found = datasets.load(tmp_path / "out")
    path = tmp_path / "out" / "train_images.bin"
    content = bytearray(path.read_bytes())
    if damage == "zeros":
        content[-500:] = bytes(500)
        content[: len(content) // 4] = bytes(len(content) // 4)
    else:
        originals(found.train_images).heights[1] += 1
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"train_images\.bin: image \d: it .*; remove .*manifest"):
        list(of(found).plain([torch.arange(4)]))
