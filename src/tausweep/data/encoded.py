"""Images of a source as they are kept at their original size: encoded, without loss."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import ExifTags, Image

from tausweep.data.decoding import decode
from tausweep.data.pictures import Pictures, as_image
from tausweep.data.sources import Images

Encoded = tuple[bytes, int, int]
"""Content of an image file, height and width of its pixels."""


def encoded(images: Images, row: int) -> Encoded:
    """One image, encoded such that ``decoding.decode`` gives the pixels of ``pictures.read``.

    A JPEG file that is RGB or grey and upright stays byte for byte what it is. Everything else
    (another format, CMYK, an EXIF orientation, an array) becomes a PNG of its RGB pixels.

    Raises:
        StudyError: A file cannot be read as an image; see ``pictures.read``.
        ValueError: Something else than an image; see ``pictures.as_image``.
    """
    if isinstance(images, Pictures):
        kept = _as_it_is(images.paths[row])
        if kept is not None:
            return kept
    image = as_image(images[row])
    stream = io.BytesIO()
    # Level 1: smaller files would be decoded no faster, and take several times as long to make.
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue(), image.height, image.width


def _as_it_is(path: Path) -> Encoded | None:
    """An upright RGB or grey JPEG file; none if it is another file, or damaged."""
    try:
        with Image.open(path) as image:
            upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            if not (image.format == "JPEG" and image.mode in ("RGB", "L") and upright):
                return None
        content = path.read_bytes()
        size = decode(content).size
    # Whatever is wrong with it, `pictures.read` is asked next and says it in words.
    except Exception:
        return None
    return content, size[1], size[0]
