"""The random numbers of an epoch, drawn before any pixel is touched: one view per instance.

Random numbers are functions of (seed, epoch, instance). Every kind of number has its own stream,
and instance i takes the i-th number of it. So a view does not depend on batch size, batch
composition, order, device or threads, and turning on one operation does not change the draws of the
others.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tausweep.study import ViewSettings

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Numbers of the colour operations in ``ViewParameters.jitter_order``, as in torchvision."""

_ORDERS = np.array(list(itertools.permutations((BRIGHTNESS, CONTRAST, SATURATION, HUE))))
_CROP_ATTEMPTS = 10


@dataclass(frozen=True)
class ViewParameters:
    """What happens to each of n images; every tensor has n rows, all on one device.

    Attributes:
        top, left, height, width: int64, the crop box in pixels of the stored image.
        brightness, contrast, saturation: float32 factors, 0 or more; 1 changes nothing.
        hue: float32 shift in turns, in [-0.5, 0.5].
        jitter_order: int64 n x 4, the colour operations in their order of application.
        jitter: bool, whether the four colour operations are applied.
        grayscale, flip, blur: bool, whether that operation is applied.
        sigma: float32, standard deviation of the blur in pixels of the view.
        may_jitter, may_blur: Whether any row may have ``jitter`` or ``blur`` set. These are known
            on the host, so that it need not wait for the device.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    jitter_order: Tensor
    jitter: Tensor
    grayscale: Tensor
    flip: Tensor
    blur: Tensor
    sigma: Tensor
    may_jitter: bool = True
    may_blur: bool = True

    def __len__(self) -> int:
        return len(self.top)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.top.device

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def take(self, index: Tensor | slice) -> ViewParameters:
        """The rows ``index``: int64 on the same device, in its order, or a slice."""
        return self._each(lambda value: value[index])

    def to(self, device: torch.device | str) -> ViewParameters:
        """The same parameters on ``device``, copied asynchronously from pinned memory."""
        return self._each(lambda value: value.to(device, non_blocking=value.is_pinned()))

    def pinned(self) -> ViewParameters:
        """The same parameters in pinned memory, for asynchronous copies to a GPU."""
        return self._each(lambda value: value.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> ViewParameters:
        changed: dict[str, Any] = {name: change(value) for name, value in self.tensors().items()}
        return replace(self, **changed)


def order(n: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits its n instances: a random permutation, int64.

    Raises:
        ValueError: ``n``, ``seed`` or ``epoch`` is negative.
    """
    keys = _uniform(_count(n), seed, epoch, "order", "position")
    return torch.from_numpy(np.argsort(keys, kind="stable").astype(np.int64))


def draw(
    settings: ViewSettings,
    height: int | Tensor,
    width: int | Tensor,
    n: int,
    seed: int,
    epoch: int,
    stream: str = "train",
) -> ViewParameters:
    """Draw the views of all n instances of an epoch.

    Distributions are torchvision's: RandomResizedCrop (ten attempts, then the central crop of the
    nearest allowed ratio), ColorJitter within RandomApply, RandomGrayscale, GaussianBlur within
    RandomApply, RandomHorizontalFlip.

    Args:
        settings: The distributions.
        height: Height of the stored images in pixels; an int, or int64 n if they differ in size.
        width: Their width, likewise.
        n: Number of instances.
        seed: The run's seed.
        epoch: Counted from 0.
        stream: Name of an independent sequence, so that evaluation does not affect training.

    Returns:
        Parameters of n rows on the CPU.

    Raises:
        ValueError: ``n``, ``seed`` or ``epoch`` is negative, or ``height`` or ``width`` is not
            one number or n, or below 1.
    """
    _count(n)

    def uniform(name: str) -> Floats:
        return _uniform(n, seed, epoch, stream, name)

    def between(name: str, low: float, high: float) -> Tensor:
        return torch.from_numpy(low + (high - low) * uniform(name)).float()

    def chosen(name: str, probability: float) -> Tensor:
        return torch.from_numpy(uniform(name) < probability)

    def factor(name: str, strength: float) -> Tensor:
        return between(name, max(0.0, 1.0 - strength), 1.0 + strength)

    rows, columns = _extent("height", height, n), _extent("width", width, n)
    box = (np.zeros(n, np.int64), np.zeros(n, np.int64), rows, columns)
    if settings.crop_scale is not None:
        box = _crop_box(settings.crop_scale, settings.crop_ratio, rows, columns, uniform)
    top, left, crop_height, crop_width = (torch.from_numpy(side) for side in box)
    orders = _ORDERS[_offset(np.full(n, len(_ORDERS) - 1), uniform("jitter order"))]
    strengths = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    return ViewParameters(
        top=top,
        left=left,
        height=crop_height,
        width=crop_width,
        brightness=factor("brightness", settings.brightness),
        contrast=factor("contrast", settings.contrast),
        saturation=factor("saturation", settings.saturation),
        hue=between("hue", -settings.hue, settings.hue),
        jitter_order=torch.from_numpy(orders),
        jitter=chosen("jitter", settings.jitter_probability),
        grayscale=chosen("grayscale", settings.grayscale),
        flip=chosen("flip", 0.5 if settings.flip else 0.0),
        blur=chosen("blur", settings.blur_probability),
        sigma=between("blur sigma", *settings.blur_sigma),
        may_jitter=settings.jitter_probability > 0 and any(strengths),
        may_blur=settings.blur_probability > 0,
    )


def _uniform(n: int, seed: int, epoch: int, stream: str, name: str) -> Floats:
    """The first n numbers in [0, 1) of the stream with this address."""
    if seed < 0 or epoch < 0:
        field, value = ("seed", seed) if seed < 0 else ("epoch", epoch)
        raise ValueError(f"{field}: {value} is not allowed; it should be 0 or more")
    # Hashed, so that neighbouring seeds are not related, and seed 1 in epoch 2 does not get the
    # stream of seed 2 in epoch 1.
    address = hashlib.sha256(repr((seed, epoch, stream, name)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(address, "big"))).random(n)


def _count(n: int) -> int:
    if n < 0:
        raise ValueError(f"n: {n} is not allowed; it should be 0 or more")
    return n


def _extent(name: str, pixels: int | Tensor, n: int) -> Integers:
    given = np.asarray(pixels, dtype=np.int64)
    if given.shape not in ((), (n,)):
        raise ValueError(f"{name}: a shape of {given.shape} is not one number, nor {n}")
    extent = np.broadcast_to(given, (n,)).copy()
    if n and extent.min() < 1:
        raise ValueError(f"{name}: {extent.min()} is not allowed; it should be 1 or more")
    return extent


def _offset(last: Integers, uniform: Floats) -> Integers:
    """A uniform integer from 0 to ``last``, inclusive."""
    # The product can round up to last + 1 if the number is within an ulp of 1.
    return np.minimum((uniform * (last + 1)).astype(np.int64), last)


def _crop_box(
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rows: Integers,
    columns: Integers,
    uniform: Callable[[str], Floats],
) -> tuple[Integers, Integers, Integers, Integers]:
    """Top, left, height and width of torchvision's RandomResizedCrop box for each image."""
    # The fallback if no attempt fits: the largest central box of an allowed ratio.
    aspect = np.clip(columns / rows, *ratio)
    height = np.minimum(rows, np.rint(columns / aspect)).astype(np.int64)
    width = np.minimum(columns, np.rint(rows * aspect)).astype(np.int64)
    top, left = (rows - height) // 2, (columns - width) // 2
    low, high = np.log(ratio)
    pending = np.arange(len(rows))
    for attempt in range(_CROP_ATTEMPTS):
        # Every attempt has its own streams, so its numbers do not depend on how many images need
        # it.
        share = scale[0] + (scale[1] - scale[0]) * uniform(f"crop scale {attempt}")[pending]
        aspect = np.exp(low + (high - low) * uniform(f"crop ratio {attempt}")[pending])
        area = share * (rows * columns)[pending]
        h = np.rint(np.sqrt(area / aspect)).astype(np.int64)
        w = np.rint(np.sqrt(area * aspect)).astype(np.int64)
        fits = (h > 0) & (h <= rows[pending]) & (w > 0) & (w <= columns[pending])
        hit = pending[fits]
        height[hit], width[hit] = h[fits], w[fits]
        top[hit] = _offset(rows[hit] - h[fits], uniform("crop top")[hit])
        left[hit] = _offset(columns[hit] - w[fits], uniform("crop left")[hit])
        pending = pending[~fits]
        if not len(pending):
            break
    return top, left, height, width
