"""Encode images of a source at their original size, without loss."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import ExifTags, Image

from tausweep.data.decoding import decode
from tausweep.data.pictures import Pictures, as_image
from tausweep.data.sources import Images

Encoded = tuple[bytes, int, int]
"""Content of an image file, and its height and width in pixels."""


def encoded(images: Images, row: int) -> Encoded:
    """Encode one image so that ``decoding.decode`` gives the pixels of ``pictures.read``.

    An upright RGB or grey JPEG file is kept byte for byte. Everything else (another format, CMYK,
    an EXIF orientation, an array) becomes a PNG of its RGB pixels.

    Raises:
        StudyError: A file cannot be read as an image; see ``pictures.read``.
        ValueError: It is not an image; see ``pictures.as_image``.
    """
    if isinstance(images, Pictures):
        kept = _as_it_is(images.paths[row])
        if kept is not None:
            return kept
    image = as_image(images[row])
    stream = io.BytesIO()
    # Level 1: higher levels take several times as long and do not decode any faster.
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue(), image.height, image.width


def _as_it_is(path: Path) -> Encoded | None:
    """The content of an upright RGB or grey JPEG file; none for any other or a damaged file."""
    try:
        with Image.open(path) as image:
            upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            if not (image.format == "JPEG" and image.mode in ("RGB", "L") and upright):
                return None
        content = path.read_bytes()
        size = decode(content).size
    # The caller tries `pictures.read` next, which reports what is wrong.
    except Exception:
        return None
    return content, size[1], size[0]
