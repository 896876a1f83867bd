"""Encoded images -> pixels: decode, crop and resize for views and evaluation at 224 pixels.

Pillow decodes; torch resizes 8-bit pixels by antialiased bilinear interpolation. Both release the
GIL, so other threads keep running. docs/data.md has the measurements behind this choice.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

CENTRAL = 0.875
"""Side of the evaluated square as a share of the resized shorter side: 224 of 256."""


def decode(content: bytes | bytearray) -> Image.Image:
    """Decode a JPEG or PNG image to 8-bit RGB, ignoring its EXIF orientation.

    Raises:
        ValueError: It is truncated or cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")
    # On damaged files Pillow's decoders raise many kinds of errors; see `pictures.read`.
    except Exception as error:
        raise ValueError(f"it cannot be decoded: {error}") from error


def crop(image: Image.Image, top: int, left: int, height: int, width: int, size: int) -> Tensor:
    """Cut out a box and resize it, like torchvision's ``resized_crop`` on 8-bit pixels.

    Args:
        image: RGB, H x W.
        top: First row of the box; the box is within the image.
        left: First column.
        height: Rows of the box, 1 or more.
        width: Columns.
        size: Side S of the result in pixels.

    Returns:
        uint8 S x S x 3.
    """
    box = (left, top, left + width, top + height)
    return _resized(image.crop(box), size, size)


def centre(image: Image.Image, size: int) -> Tensor:
    """The centre for evaluation: resize the shorter side to S / 0.875, cut out the central S x S.

    For S = 224 the shorter side becomes 256 (docs/protocol.md). Rounding is as in torchvision.

    Args:
        image: RGB, H x W.
        size: Side S of the result in pixels.

    Returns:
        uint8 S x S x 3.
    """
    short, target = min(image.size), round(size / CENTRAL)
    resized = _resized(image, target * image.height // short, target * image.width // short)
    top, left = (round((extent - size) / 2) for extent in resized.shape[:2])
    return resized[top : top + size, left : left + size]


def _resized(image: Image.Image, height: int, width: int) -> Tensor:
    """Antialiased bilinear resizing to uint8 height x width x 3."""
    pixels = torch.from_numpy(np.array(image))
    if pixels.shape[:2] == (height, width):
        return pixels
    batch = pixels.permute(2, 0, 1)[None]
    resized = interpolate(batch, (height, width), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0)
