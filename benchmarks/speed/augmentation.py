"""The batch augmentation against torchvision's per image and kornia's on the batch.

All turn 2,048 uint8 images of 32 pixels into normalised float32 views by the paper's settings for
CIFAR: crop, jitter in random order, grayscale. Ours includes drawing the parameters, as do they.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from statistics import median
from typing import Any

import measure
import patches
import torch
from measure import Row
from torch import Tensor

from tausweep.study import ViewSettings
from tausweep.views import rendering

COUNT, SIZE, WORKERS_BATCH = 2048, 32, 128
SETTINGS = ViewSettings()
MEAN, STD = patches.CIFAR_MEAN, patches.CIFAR_STD
JITTER = (SETTINGS.brightness, SETTINGS.contrast, SETTINGS.saturation, SETTINGS.hue)


def ours(images: Tensor) -> Callable[[], Tensor]:
    """Draw and render, an epoch a call."""
    epochs = count()

    def call() -> Tensor:
        parameters = rendering.draw(SETTINGS, SIZE, SIZE, COUNT, seed=0, epoch=next(epochs))
        return rendering.render(images, parameters, SIZE, MEAN, STD)

    return call


def torchvision_of(pil: bool) -> Callable[[Tensor], Tensor]:
    """Torchvision v2 of one image, H x W x 3 uint8; by PIL or on a tensor."""
    from PIL import Image
    from torchvision.transforms import v2

    convert = [v2.ToImage()] if pil else []
    chain = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, SETTINGS.crop_scale, SETTINGS.crop_ratio),
            v2.ColorJitter(*JITTER),
            v2.RandomGrayscale(SETTINGS.grayscale),
            *convert,
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def of(image: Tensor) -> Tensor:
        given = Image.fromarray(image.numpy()) if pil else image.permute(2, 0, 1)
        view: Tensor = chain(given)
        return view

    return of


def one_by_one(images: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """Views of images that are handled one by one."""
    return torch.stack([of(image) for image in images])


class Views(torch.utils.data.Dataset[Tensor]):
    """Views one by one, for a DataLoader."""

    def __init__(self, images: Tensor, of: Callable[[Tensor], Tensor]) -> None:
        self.images, self.of = images, of

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.of(self.images[i])


def kornia_on(images: Tensor, cropping: str) -> Callable[[], Tensor]:
    """Kornia's transforms of the batch, from uint8 on; ColorJitter has torchvision's formulas."""
    import kornia.augmentation as K

    transforms: list[Any] = [
        K.RandomResizedCrop(
            (SIZE, SIZE), SETTINGS.crop_scale, SETTINGS.crop_ratio, align_corners=False,
            cropping_mode=cropping,
        ),
        K.ColorJitter(*JITTER, p=SETTINGS.jitter_probability),
        K.RandomGrayscale(p=SETTINGS.grayscale),
        K.Normalize(MEAN, STD),
    ]  # fmt: skip
    chain = K.AugmentationSequential(*transforms, data_keys=["input"])

    def call() -> Tensor:
        pixels = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        view: Tensor = chain(pixels.div_(255))
        return view

    return call


def faster(cells: dict[str, Callable[[], Tensor]], rounds: int) -> str:
    """Name of the fastest cell."""
    times = measure.interleave(dict(cells), rounds)
    return min(times, key=lambda name: median(times[name]))


def check(found: Tensor, expected: Tensor, name: str) -> None:
    """Refuse views that are not what ours are: shape, range, and every channel's mean and spread.

    Raises:
        ValueError: They differ by more than other random numbers explain.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ValueError(f"{name}: views of {tuple(found.shape)} {found.dtype}")
    for what in (torch.mean, torch.std):
        difference = what(found, (0, 2, 3)) - what(expected, (0, 2, 3))
        if not difference.abs().max() < 0.1:
            raise ValueError(f"{name}: {what.__name__} differs by {difference.tolist()}")
    least, most = (found.amin((0, 2, 3)), found.amax((0, 2, 3)))
    lowest, highest = (torch.tensor(edge) for edge in ranges())
    if (least < lowest - 1e-4).any() or (most > highest + 1e-4).any():
        raise ValueError(f"{name}: values from {least.tolist()} to {most.tolist()}")


def ranges() -> tuple[list[float], list[float]]:
    """What 0 and 1 become in each channel."""
    pairs = list(zip(MEAN, STD, strict=True))
    return [-mean / std for mean, std in pairs], [(1 - mean) / std for mean, std in pairs]


def rows(threads: int) -> Iterator[Row]:
    """Aim 6."""
    torch.manual_seed(0)
    images = torch.from_numpy(patches.patches(COUNT, SIZE))
    of = {"PIL image": torchvision_of(True), "uint8 tensor": torchvision_of(False)}
    kind = faster({name: partial(one_by_one, images[:200], of[name]) for name in of}, rounds=3)
    crops = {name: kornia_on(images, name) for name in ("resample", "slice")}
    cropping = faster(crops, rounds=3)
    loader = torch.utils.data.DataLoader(
        Views(images, of[kind]), WORKERS_BATCH, num_workers=threads, persistent_workers=True
    )
    cells: dict[str, Callable[[], Tensor]] = {
        "ours": ours(images),
        "torchvision": partial(one_by_one, images, of[kind]),
        "loader": lambda: torch.cat(list(loader)),
        "kornia": crops[cropping],
    }
    for name in cells:
        check(cells[name](), cells["ours"](), name)
    few = ("ours", "torchvision", "loader")
    peers = measure.interleave({name: cells[name] for name in few}, rounds=5)
    batched = measure.interleave({name: cells[name] for name in ("ours", "kornia")}, rounds=15)
    what = f"views of {COUNT:,} images, {SIZE} px, with drawing"
    for times, name, against, aim, note in (
        (peers, "torchvision", f"torchvision v2 per image ({kind}, the faster)", ">= 10", ""),
        (
            peers, "loader", f"the same in a DataLoader with {threads} workers", "",
            "the workers' cores then do nothing else",
        ),
        (
            batched, "kornia", "kornia AugmentationSequential on the batch", ">= 2",
            f"one jitter order a batch; its crop by {cropping}, the faster",
        ),
    ):  # fmt: skip
        mine, theirs = median(times["ours"]), median(times[name])
        speeds = f"{COUNT / mine:,.0f} against {COUNT / theirs:,.0f} images/s"
        yield Row(
            "6", what, against, mine, theirs, measure.ratio(times, name, "ours"), aim,
            f"{speeds}; {note}" if note else speeds,
        )  # fmt: skip


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    options = measure.arguments(__doc__)
    measure.show("augmentation", list(rows(options.threads)))
