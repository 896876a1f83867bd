"""Random views of instances: an epoch's random numbers, and batches of pixels on any device.

A view is, in this order: random resized crop, colour jitter, grayscale, blur, mirror image (paper
sec. 5.1; the author's code). ``draw`` decides, ``render`` computes::

    parameters = draw(settings, 32, 32, len(images), seed, epoch)
    index = order(len(images), seed, epoch)[:2048]
    views = render(images[index], parameters.take(index), 32, mean, std)

The result equals torchvision's operations on float images with the same parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tausweep.views import colour, crop
from tausweep.views.parameters import ViewParameters, draw, order

__all__ = ["ViewParameters", "draw", "flip", "order", "plain", "render"]

_PIXELS_AT_ONCE = 2**17
"""128 images of 32 x 32 fit in a CPU's cache and are enough to hide the cost of a call."""
_IMAGES_AT_ONCE = 2048
"""On an accelerator, so that many images share the launch of sixty small kernels."""
_DEVICE_PIXELS_AT_ONCE = 2**21
"""2,048 images of 32 x 32; at 224 pixels kernels are large and memory is the limit."""


def render(
    images: Tensor,
    parameters: ViewParameters,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    antialias: bool = True,
    by_masks: bool | None = None,
) -> Tensor:
    """Compute one view of every image.

    Args:
        images: uint8 B x H x W x 3, on any device.
        parameters: B rows on the same device, drawn for images of H x W.
        size: Side S of the views in pixels.
        mean: Means of red, green and blue, in [0, 1].
        std: Their standard deviations, above 0.
        antialias: If a crop shrinks, average over all pixels that a view pixel covers.
        by_masks: Compute every operation for every image and select on the device, so that the
            host never waits for values; otherwise only compute what is needed. Both agree to
            rounding. By default accelerators use masks.

    Returns:
        float32 B x 3 x S x S in channels_last memory, normalised.

    Raises:
        ValueError: The images are not uint8 B x H x W x 3; their number or device is not the
            parameters'; a crop box reaches beyond its image (checked on the CPU); ``size``,
            ``mean`` or ``std`` is not allowed.
    """
    _check(images, size, mean, std)
    _check_parameters(parameters, images)
    masks = images.device.type != "cpu" if by_masks is None else by_masks
    views = images.new_empty(len(images), size, size, 3, dtype=torch.float32)
    for rows in _chunks(images, size):
        planes = _crop(images[rows], parameters.take(rows), size, antialias)
        planes = _recolour(planes, parameters.take(rows), masks)
        _normalise(planes, mean, std, out=views[rows])
    return views.permute(0, 3, 1, 2)


def plain(images: Tensor, size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The images without augmentation, for evaluation: the central square, resized if needed.

    Args:
        images: uint8 B x H x W x 3, on any device.
        size: Side S of the result in pixels.
        mean: Means of red, green and blue, in [0, 1].
        std: Their standard deviations, above 0.

    Returns:
        float32 B x 3 x S x S in channels_last memory, normalised.

    Raises:
        ValueError: The images are not uint8 B x H x W x 3, or ``size``, ``mean`` or ``std`` is not
            allowed.
    """
    _check(images, size, mean, std)
    batch, height, width, _ = images.shape
    side = min(height, width)
    top, left = round((height - side) / 2), round((width - side) / 2)
    square = images[:, top : top + side, left : left + side]
    views = images.new_empty(batch, size, size, 3, dtype=torch.float32)
    for rows in _chunks(square, size):
        part = square[rows]
        if side == size:
            planes = part.permute(3, 0, 1, 2) / 255
        else:
            start = torch.zeros(len(part), dtype=torch.int64, device=images.device)
            weights = crop.weights(start, start + side, side, size)
            planes = crop.crop(part, weights, weights)
        _normalise(planes, mean, std, out=views[rows])
    return views.permute(0, 3, 1, 2)


def flip(images: Tensor) -> Tensor:
    """Mirror images B x 3 x S x S horizontally, keeping channels_last memory.

    Raises:
        ValueError: The images are not B x 3 x S x S.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images: a shape of {tuple(images.shape)} is not B x 3 x S x S")
    return images.flip(-1)


def images_at_once(height: int, width: int, size: int, device: torch.device) -> int:
    """How many images of H x W to render together to S x S views on a device."""
    pixels = max(size * size, height * width)
    if device.type != "cpu":
        return max(1, min(_IMAGES_AT_ONCE, _DEVICE_PIXELS_AT_ONCE // pixels))
    return max(1, _PIXELS_AT_ONCE // pixels)


def _crop(images: Tensor, parameters: ViewParameters, size: int, antialias: bool) -> Tensor:
    """Planes 3 x B x S x S in [0, 1] of the crop boxes, mirrored if flipped.

    Mirroring can come first because later operations treat both directions alike.
    """
    _, height, width, _ = images.shape
    box = parameters
    rows = crop.weights(box.top, box.height, height, size, None, antialias)
    columns = crop.weights(box.left, box.width, width, size, box.flip, antialias)
    return crop.crop(images, rows, columns)


def _recolour(planes: Tensor, parameters: ViewParameters, masks: bool) -> Tensor:
    """Jitter, grayscale and blur of planes 3 x B x S x S, which may be overwritten."""
    flat = planes.flatten(2)
    if parameters.may_jitter:
        flat = colour.jitter(flat, parameters, masks)
    planes = colour.grayscale(flat, parameters.grayscale, masks).view_as(planes)
    if not parameters.may_blur:
        return planes
    if masks:
        blurred = crop.blur(planes, parameters.sigma)
        return torch.where(parameters.blur[:, None, None], blurred, planes)
    rows = parameters.blur.nonzero()[:, 0]
    blurred = crop.blur(planes.index_select(1, rows), parameters.sigma[rows])
    return planes.index_copy_(1, rows, blurred)


def _normalise(planes: Tensor, mean: Sequence[float], std: Sequence[float], out: Tensor) -> None:
    """Write (x - mean) / std of planes 3 x B x S x S, which are overwritten, to B x S x S x 3."""
    for channel, plane in enumerate(planes):
        plane.mul_(1 / std[channel])
        torch.sub(plane, mean[channel] / std[channel], out=out[..., channel])


def _chunks(images: Tensor, size: int) -> Iterator[slice]:
    """Ranges of images that are computed together."""
    batch, height, width, _ = images.shape
    at_once = images_at_once(height, width, size, images.device)
    for start in range(0, batch, at_once):
        yield slice(start, start + at_once)


def _check(images: Tensor, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"images: {images.dtype} of shape {tuple(images.shape)} is not allowed; it should be "
            "uint8 of shape B x H x W x 3"
        )
    if size < 1 or 0 in images.shape[1:]:
        raise ValueError(f"size: {size} from images of {tuple(images.shape[1:3])} is not allowed")
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError(
            f"mean and std: {tuple(mean)} and {tuple(std)} are not allowed; they should be three "
            "numbers each, std above 0"
        )


def _check_parameters(parameters: ViewParameters, images: Tensor) -> None:
    batch, height, width, _ = images.shape
    if len(parameters) != batch or parameters.device != images.device:
        raise ValueError(
            f"parameters: {len(parameters)} rows on {parameters.device} do not fit {batch} images "
            f"on {images.device}"
        )
    # Not checked on an accelerator, because the host would have to wait.
    if parameters.device.type == "cpu" and batch:
        lowest = int((parameters.top + parameters.height).max())
        rightmost = int((parameters.left + parameters.width).max())
        if lowest > height or rightmost > width:
            raise ValueError(
                f"parameters: a crop box reaches to {lowest} x {rightmost} in images of "
                f"{height} x {width}"
            )
