"""Image files of every common kind -> 8-bit RGB -> squares of one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tausweep.study import StudyError

FEW_DAMAGED = 0.01
"""Share of damaged images that may be left out, or ``FEW``; more are an error."""
FEW = 3
_NAMED = 5
"""Damaged images that a message names."""


class Pictures(Sequence[Image.Image]):
    """Image files as a sequence of RGB images that are decoded on access."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        """Decode one image; see ``read``."""
        return read(self.paths[index])


def read(path: Path) -> Image.Image:
    """Decode an image file to 8-bit RGB, turned upright by its EXIF orientation; see ``to_rgb``.

    Animations and files of several pages give their first image. Colour profiles are not applied.

    Raises:
        StudyError: The file cannot be read, is truncated, or has a mode without a clear meaning in
            8 bits. The message names the file.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    # On damaged files Pillow's decoders raise OSError, SyntaxError, struct.error,
    # DecompressionBombError and others.
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.errno else error
        text = "no image format recognises it" if "cannot identify" in str(reason) else reason
        raise StudyError(f"{path}: cannot be read as an image: {text}") from error


def left_out(damaged: Sequence[str], count: int) -> str:
    """What to say of a few images that cannot be read and are left out.

    Args:
        damaged: What ``read`` says of each of them, at least one.
        count: Number of all images.

    Raises:
        StudyError: They are more than a few: ``FEW``, or the share ``FEW_DAMAGED``.
    """
    shown = "; ".join(damaged[:_NAMED]) + (" ..." if damaged[_NAMED:] else "")
    if len(damaged) > max(FEW, FEW_DAMAGED * count):
        raise StudyError(
            f"{len(damaged):,} of {count:,} images are damaged; repair them or take them out: "
            f"{shown}"
        )
    if len(damaged) == 1:
        return f"1 damaged image is left out: {shown}"
    return f"{len(damaged)} damaged images are left out: {shown}"


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB.

    Grey becomes three equal channels. 16-bit pixels are scaled to 8 bits by 255/65535 and rounded,
    unless none is above 255: those are 8 bits in a wider file and stay unchanged. Transparency is
    put on white. Pillow converts palettes, CMYK and others.

    Raises:
        ValueError: The pixels are floating-point numbers, or integers of more than 16 bits.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray(_from_16_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        if image.mode == "La":
            image = image.convert("LA")
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, "white")
        return Image.alpha_composite(white, colour).convert("RGB")
    return image.convert("RGB")


def as_image(given: Any) -> Image.Image:
    """Convert an image of a source (a PIL image, or an H x W x 3 uint8 array) to 8-bit RGB.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(given, np.ndarray):
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or given.size == 0:
            raise ValueError(f"an H x W x 3 uint8 array is needed, not {given.shape} {given.dtype}")
        return Image.fromarray(given)
    if not isinstance(given, Image.Image):
        raise ValueError(f"a PIL image or an array is needed, not {type(given).__name__}")
    return to_rgb(given)


def square(image: Image.Image | NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """An image as a size x size x 3 uint8 array.

    The shorter side is resized to ``size`` (bilinear, antialiased) and the centre is cut out, with
    torchvision's rounding. An image that already has this size is not changed.

    Raises:
        ValueError: See ``as_image``.
    """
    given, image = image, as_image(image)
    if isinstance(given, np.ndarray) and image.size == (size, size):
        return given
    if min(image.size) != size:
        short = min(image.size)
        image = image.resize(
            (size * image.width // short, size * image.height // short),
            Image.Resampling.BILINEAR,
        )
    if image.size != (size, size):
        left, top = round((image.width - size) / 2), round((image.height - size) / 2)
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image)


def _from_16_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"its pixels range from {pixels.min()} to {pixels.max()}, past 16 bits")
    if pixels.max() <= 255:
        return pixels.astype(np.uint8)
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
