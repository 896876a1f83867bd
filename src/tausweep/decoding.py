"""Encoded images -> pixels: decode, crop, resize, as views and evaluation at 224 pixels need it.

By torchvision's decoder and torch's antialiased bilinear interpolation of 8-bit pixels, both of
which release the interpreter's lock, so that threads decode side by side. Measured on originals of
ImageNet (docs/data.md), a thread makes half as many crops again as with Pillow.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.io import ImageReadMode, decode_image

CENTRAL = 0.875
"""Side of the evaluated square as a share of the resized shorter side: 224 of 256."""


def decode(content: bytearray) -> Tensor:
    """Pixels of a JPEG or PNG image: uint8 3 x H x W, RGB, whatever its EXIF orientation says.

    Raises:
        ValueError: The image is truncated or cannot be decoded.
    """
    if not content:
        raise ValueError("it is empty")
    try:
        return decode_image(torch.frombuffer(content, dtype=torch.uint8), ImageReadMode.RGB)
    except RuntimeError as error:
        # "decode_jpeg, <file>:<line>, <reason>" or the reason alone.
        raise ValueError(f"it cannot be decoded: {str(error).splitlines()[0]}") from error


def crop(pixels: Tensor, top: int, left: int, height: int, width: int, size: int) -> Tensor:
    """Cut out a box and resize it, like torchvision's ``resized_crop`` of 8-bit pixels.

    Args:
        pixels: uint8 3 x H x W.
        top: First row of the box; the box lies within the image.
        left: First column.
        height: Rows of the box, 1 or more.
        width: Columns.
        size: Side S of the result in pixels.

    Returns:
        uint8 S x S x 3, perhaps a view of ``pixels``.
    """
    return _resized(pixels[:, top : top + height, left : left + width], size, size).permute(1, 2, 0)


def centre(pixels: Tensor, size: int) -> Tensor:
    """The centre that is evaluated: shorter side resized to S / 0.875, the central S x S cut out.

    For S = 224 these are 256 and 224 (paper, sec. 5.1's source; docs/protocol.md), with
    torchvision's roundings.

    Args:
        pixels: uint8 3 x H x W.
        size: Side S of the result in pixels.

    Returns:
        uint8 S x S x 3, perhaps a view of ``pixels``.
    """
    _, height, width = pixels.shape
    short, target = min(height, width), round(size / CENTRAL)
    resized = _resized(pixels, target * height // short, target * width // short)
    top, left = (round((extent - size) / 2) for extent in resized.shape[1:])
    return resized[:, top : top + size, left : left + size].permute(1, 2, 0)


def _resized(pixels: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bilinear resizing of uint8 3 x H x W."""
    if pixels.shape[1:] == (height, width):
        return pixels
    return interpolate(pixels[None], (height, width), mode="bilinear", antialias=True)[0]
