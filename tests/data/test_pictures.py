"""Every kind of image file becomes 8-bit RGB, and every RGB image a square."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tausweep.data.pictures import Pictures, read, square, to_rgb
from tausweep.study import StudyError

# A GPU machine has not got it.
tv = pytest.importorskip("torchvision.transforms.functional")

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)


def saved(tmp_path: Path, image: Image.Image, name: str, **options: Any) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm", "a.tif", "a.webp", "a.PNG"])
def test_lossless_rgb_files_come_back_exactly(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, Image.fromarray(COLOUR), name, **options)
    image = read(path)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), COLOUR)


def test_greyscale_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = COLOUR[..., 0]
    for name in ("a.png", "a.pgm", "a.tif"):
        array = np.asarray(read(saved(tmp_path, Image.fromarray(grey), name)))
        assert np.array_equal(array, np.repeat(grey[..., None], 3, axis=2))


def test_greyscale_jpeg_has_equal_channels(tmp_path: Path) -> None:
    array = np.asarray(read(saved(tmp_path, Image.fromarray(COLOUR[..., 0]), "a.jpg")))
    assert array.shape == (9, 7, 3)
    assert np.array_equal(array[..., 0], array[..., 2])


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, name: str) -> None:
    deep = np.array([[0, 128, 129, 257], [32767, 32768, 65406, 65535]], dtype=np.uint16)
    array = np.asarray(read(saved(tmp_path, Image.fromarray(deep), name)))
    exact = np.floor(deep.astype(np.float64) / 257 + 0.5)
    assert np.array_equal(array[..., 1], exact)


def test_8_bits_in_a_16_bit_file_stay_what_they_are(tmp_path: Path) -> None:
    """Scaled like 16 bits, the whole picture would be black."""
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "wide.png")
    assert np.array_equal(np.asarray(read(tmp_path / "wide.png"))[..., 0], grey)


def test_one_bit_images_become_black_and_white(tmp_path: Path) -> None:
    bits = COLOUR[..., 0] > 127
    array = np.asarray(read(saved(tmp_path, Image.fromarray(bits), "a.png")))
    assert np.array_equal(array, np.repeat((bits * np.uint8(255))[..., None], 3, axis=2))


def test_palettes_become_their_colours(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    for name in ("a.png", "a.gif"):
        assert np.array_equal(np.asarray(read(saved(tmp_path, palette, name))), expected)


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert np.array_equal(np.asarray(read(path))[0, 0], [255, 0, 0])


@pytest.mark.parametrize("alpha", [0, 51, 255])
def test_transparency_lies_over_white(tmp_path: Path, alpha: bool) -> None:
    image = Image.new("RGBA", (3, 3), (10, 200, 30, alpha))
    array = np.asarray(read(saved(tmp_path, image, "a.png")))
    exact = np.array([10, 200, 30]) * alpha / 255 + 255 * (1 - alpha / 255)
    assert np.abs(array[0, 0] - exact).max() <= 1


def test_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    array = np.asarray(read(saved(tmp_path, image, "a.png", transparency=0)))
    assert array.tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_grey_with_transparency_lies_over_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[100, 0], [100, 255]]], dtype=np.uint8), "LA")
    array = np.asarray(read(saved(tmp_path, image, "a.png")))
    assert array.tolist() == [[[255] * 3, [100] * 3]]


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "LA", "La", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"]
)
def test_every_8_bit_mode_becomes_rgb(mode: str) -> None:
    image = to_rgb(Image.new(mode, (3, 2)))
    assert (image.mode, image.size) == ("RGB", (3, 2))


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    array = np.asarray(read(saved(tmp_path, image, "a.jpg", quality=100)))
    assert np.abs(array[4, 4].astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    turns = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(COLOUR), "a.png", exif=exif)
    assert np.array_equal(np.asarray(read(path)), turns[orientation](COLOUR))


def test_damaged_exif_does_not_lose_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOUR).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read(path).size == (7, 9)


def test_content_and_not_the_suffix_decides_the_format(tmp_path: Path) -> None:
    path = tmp_path / "a.JPEG"
    Image.fromarray(COLOUR).save(path, format="PNG")
    assert np.array_equal(np.asarray(read(path)), COLOUR)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF"])
def test_truncated_files_are_named(tmp_path: Path, form: str) -> None:
    whole = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole, form)
    path = tmp_path / "broken.img"
    for share in (0.3, 0.9):
        path.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * share)])
        with pytest.raises(StudyError, match=r"broken\.img: cannot be read as an image"):
            read(path)


def test_empty_file_text_and_missing_file_are_named(tmp_path: Path) -> None:
    for name, content in (("empty.png", b""), ("text.png", b"no image\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StudyError, match=f"{name}.*no image format recognises it"):
            read(tmp_path / name)
    with pytest.raises(StudyError, match=r"gone\.png.*No such file"):
        read(tmp_path / "gone.png")


def test_decompression_bomb_is_refused_by_name(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )
    with pytest.raises(StudyError, match=r"bomb\.png.*pixels"):
        read(path)


def test_floating_point_and_32_bit_pixels_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.ones((2, 2), np.float32)), "float.tif")
    with pytest.raises(StudyError, match=r"float\.tif.*floating-point"):
        read(path)
    path = saved(tmp_path, Image.fromarray(np.full((2, 2), 70000, np.int32)), "deep.tif")
    with pytest.raises(StudyError, match=r"deep\.tif.*70000.*past 16 bits"):
        read(path)


def test_pictures_decode_only_what_is_asked_for(tmp_path: Path) -> None:
    good = saved(tmp_path, Image.fromarray(COLOUR), "a.png")
    pictures = Pictures([good, tmp_path / "missing.png"])
    assert len(pictures) == 2
    assert np.array_equal(np.asarray(pictures[0]), COLOUR)
    with pytest.raises(StudyError):
        pictures[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40))
def test_square_is_torchvisions_resize_and_centre_crop(height: int, width: int, size: int) -> None:
    array = np.random.default_rng(height * 71 + width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    image = Image.fromarray(array)
    expected = tv.center_crop(tv.resize(image, size), [size, size])
    assert np.array_equal(square(image, size), np.asarray(expected))
    assert np.array_equal(square(array, size), np.asarray(expected))


def test_square_leaves_an_image_of_that_size_as_it_is() -> None:
    array = COLOUR[:7]
    assert square(array, 7) is array
    assert np.array_equal(square(Image.fromarray(array), 7), array)


def test_square_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = square(stripes, 16)[:, 1:-1].astype(int)
    assert np.abs(inner - 127).max() <= 2


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        "a.png",
    ],
)
def test_square_refuses_what_is_no_image(wrong: Any) -> None:
    with pytest.raises(ValueError, match="is needed, not"):
        square(wrong, 4)
