"""Crop, resize and blur a batch as two batched matrix products, with one matrix per image.

Bilinear resizing is linear and separable: a view is R X C^T. Each row of R (size x H) holds the
weights of the image's rows in one row of the view; C does the same for columns. The weights include
the crop box, antialiasing and mirroring, so these cost nothing extra.

The products use the ``out`` variants, which autocast leaves in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tausweep.machine.precision import full_products


def weights(
    start: Tensor,
    length: Tensor,
    extent: int,
    size: int,
    mirror: Tensor | None = None,
    antialias: bool = True,
) -> Tensor:
    """Weights that resize the pixels start .. start + length - 1 of a line to ``size`` pixels.

    The same as torch's bilinear interpolation of the cropped line, ``align_corners=False``.

    Args:
        start: int64 B, first pixel of the crop.
        length: int64 B, pixels of the crop, 1 or more; ``start + length <= extent``.
        extent: Pixels of the whole line.
        size: Pixels of the result.
        mirror: bool B, whether to mirror the result; none mirrors nothing.
        antialias: If the line shrinks, widen the triangle to the step of the result.

    Returns:
        float32 B x size x extent; every row sums to 1.
    """
    position = torch.arange(size, device=start.device) + 0.5
    if mirror is not None:
        position = torch.where(mirror[:, None], size - position, position)
    step = (length / size)[:, None]
    centre = position * step
    pixel = torch.arange(extent, device=start.device) - start[:, None] + 0.5
    if extent <= size or not antialias:
        # Without shrinking, repeating the edge pixel is the same as leaving out pixels beyond it
        # and renormalising the weights.
        last = length[:, None] - 0.5
        centre = torch.minimum(centre.clamp_(min=0.5), last)
        distance = (pixel[:, None, :] - centre[:, :, None]).abs_()
        return distance.neg_().add_(1).relu_()
    distance = (pixel[:, None, :] - centre[:, :, None]).abs_()
    distance /= step.clamp(min=1)[:, :, None]
    triangle = distance.neg_().add_(1).relu_()
    triangle *= ((pixel > 0) & (pixel < length[:, None]))[:, None, :]
    return triangle.div_(triangle.sum(2, keepdim=True))


@full_products()
def crop(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Crop and resize: R X C^T for every image and channel.

    Args:
        images: uint8 B x H x W x 3.
        rows: float32 B x S x H, from ``weights``.
        columns: float32 B x S x W, likewise.

    Returns:
        float32 3 x B x S x S in [0, 1]. Planes are contiguous, so that colour operations run over
        long stretches of memory.
    """
    batch, height, width, _ = images.shape
    size = rows.shape[1]
    pixels = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    resized = pixels.new_empty(batch, 3 * height, size)
    torch.bmm(pixels.view(batch, 3 * height, width), columns.mT, out=resized)
    planes = pixels.new_empty(3, batch, size, size)
    for channel, plane in enumerate(planes):
        by_column = resized.view(batch, 3, height, size)[:, channel]
        torch.baddbmm(plane, rows, by_column, beta=0, alpha=1 / 255, out=plane)
    return planes


def blur_kernel_size(size: int) -> int:
    """Size of the blur kernel in pixels: a tenth of the view, made odd (SimCLR), at least 3."""
    return max(3, size // 10 | 1)


@full_products()
def blur(planes: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with reflected edges, each image with its own sigma: K X K^T.

    Args:
        planes: float32 3 x B x S x S.
        sigma: float32 B, in pixels, above 0.

    Returns:
        float32 3 x B x S x S, new.
    """
    _, batch, size, _ = planes.shape
    kernel = _blur_matrices(sigma, size)
    blurred, half = torch.empty_like(planes), planes.new_empty(batch, size, size)
    for plane, result in zip(planes, blurred, strict=True):
        torch.bmm(kernel, plane, out=half)
        torch.bmm(half, kernel.mT, out=result)
    return blurred


def _blur_matrices(sigma: Tensor, size: int) -> Tensor:
    """float32 B x S x S: row i holds the weights of pixels j in pixel i."""
    radius = min(blur_kernel_size(size) // 2, size - 1)
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    density = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    density /= density.sum(1, keepdim=True)
    # Weights by distance, 0 beyond the radius.
    by_distance = torch.nn.functional.pad(density[:, radius:], (0, 1))
    i = torch.arange(size, device=sigma.device)[:, None]
    j = torch.arange(size, device=sigma.device)
    matrices = sigma.new_zeros(len(sigma), size * size)
    # Pixel j itself, its reflection at the first pixel and at the last; edges have none.
    for distance, there in (
        (abs(i - j), j >= 0),
        (i + j, j > 0),
        (2 * (size - 1) - i - j, j < size - 1),
    ):
        index = torch.where(there, distance, radius + 1).clamp(max=radius + 1)
        matrices += by_distance.index_select(1, index.flatten())
    return matrices.view(-1, size, size)
