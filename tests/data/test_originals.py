"""Originals: files are kept as they are where that is exact, and memory holds none of them."""

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from damage import DAMAGES, do_damage
from pictures import each, needs_real_images, originals, paths_of, picture, real_tree, tree
from tausweep import data as datasets
from tausweep.data.decoding import decode
from tausweep.data.encoded import encoded
from tausweep.data.originals import Originals
from tausweep.data.pictures import Pictures, read
from tausweep.data.prepared import FORMS
from tausweep.study import DatasetSettings, Source, StudyError, ViewSettings
from tausweep.views.batches import pixels as views_of

SQUARES, ORIGINALS = FORMS["squares"].files, FORMS["originals"].files


def settings(root: Path, **options: Any) -> DatasetSettings:
    source = Source(kind="folder", path=str(root))
    return DatasetSettings(source=source, **({"form": "originals", "image_size": 16} | options))


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (*ORIGINALS, "manifest.json")}


def pixels(images: Originals, row: int) -> np.ndarray:
    return np.asarray(decode(images.encoded(row)))


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def cases(folder: Path) -> dict[str, Path]:
    image = picture(0, (40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = image.convert("P")
    return {
        "RGB": save(image, folder / "a.jpg"),
        "grey": save(image.convert("L"), folder / "b.JPEG"),
        "progressive": save(image, folder / "c.jpg", progressive=True),
        "CMYK": save(image.convert("CMYK"), folder / "d.jpg"),
        "turned": save(image, folder / "e.jpg", exif=exif),
        "PNG": save(image, folder / "f.png"),
        "PNG in name only": save(image, folder / "g.png", format="JPEG"),
        "palette": save(palette, folder / "h.png"),
        "transparent": save(image.convert("RGBA"), folder / "i.png"),
        "WebP": save(image, folder / "j.webp", lossless=True),
    }


def test_decoded_pixels_are_those_of_the_file_and_plain_jpegs_stay_as_they_are(
    tmp_path: Path,
) -> None:
    files = cases(tmp_path)
    kept = {"RGB", "grey", "progressive", "PNG in name only"}
    for row, (name, path) in enumerate(files.items()):
        found, height, width = encoded(Pictures([*files.values()]), row)
        expected = np.asarray(read(path))
        assert np.array_equal(np.asarray(decode(found)), expected), name
        assert (height, width) == expected.shape[:2], name
        assert (found == path.read_bytes()) == (name in kept), name


def test_arrays_become_lossless_files() -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    found, height, width = encoded([array], 0)
    assert (height, width) == (5, 7)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found))), array)
    with pytest.raises(ValueError, match="uint8 array is needed"):
        encoded([array.astype(np.float32)], 0)


def test_originals_stand_in_source_order_with_their_sizes(tmp_path: Path) -> None:
    wanted = settings(tree(tmp_path / "in"))
    manifest = datasets.prepare(wanted, tmp_path / "out", threads=3)
    data = datasets.load(tmp_path / "out", verify=True)
    assert manifest["format"] == "tausweep originals 1"
    assert manifest["preparation"].keys() == {"train_limit", "test_limit", "subset_seed"}
    for split in ("train", "test"):
        source = datasets.read(wanted.source, split)
        images = getattr(data, f"{split}_images")
        assert len(images) == len(source.images)
        assert np.array_equal(getattr(data, f"{split}_labels"), source.labels)
        for row, image in enumerate(each(source.images)):
            assert np.array_equal(pixels(images, row), np.asarray(image))
            assert (images.widths[row], images.heights[row]) == image.size


def test_the_bytes_depend_on_neither_threads_nor_place(tmp_path: Path) -> None:
    root = tree(tmp_path / "in")
    shutil.copytree(root, tmp_path / "copy")
    datasets.prepare(settings(root), tmp_path / "a", threads=1)
    datasets.prepare(settings(tmp_path / "copy", image_size=224), tmp_path / "b", threads=4)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_the_files_are_plain(tmp_path: Path) -> None:
    """docs/data.md's words: lengths, heights and widths lead to every image."""
    datasets.prepare(settings(tree(tmp_path / "in")), tmp_path / "out")
    sizes = np.load(tmp_path / "out" / "train_sizes.npy", allow_pickle=False)
    blob = (tmp_path / "out" / "train_images.bin").read_bytes()
    assert sizes[:, 0].sum() == len(blob)
    start = 0
    for length, height, width in sizes.tolist():
        image = Image.open(io.BytesIO(blob[start : start + length]))
        assert image.size == (width, height)
        start += length


@pytest.mark.parametrize("name", [*ORIGINALS, "manifest.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    wanted = settings(tree(tmp_path / "in", 2))
    datasets.prepare(wanted, tmp_path / "out")
    whole, path = content(tmp_path / "out"), tmp_path / "out" / name
    do_damage(path, damage)
    datasets.prepare(wanted, tmp_path / "out")
    assert content(tmp_path / "out") == whole


def test_sizes_that_do_not_fit_the_images_are_noticed_at_once(tmp_path: Path) -> None:
    datasets.prepare(settings(tree(tmp_path / "in", 2)), tmp_path / "out")
    path = tmp_path / "out" / "train_sizes.npy"
    altered = bytearray(path.read_bytes())
    altered[-24] ^= 1
    path.write_bytes(altered)
    with pytest.raises(StudyError, match=r"train_sizes\.npy: its sizes are not those of train_im"):
        datasets.load(tmp_path / "out")


def test_another_form_replaces_what_is_there(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", 2)
    for form, there, gone in (
        ("squares", SQUARES, ORIGINALS),
        ("originals", ORIGINALS, SQUARES),
        ("squares", SQUARES, ORIGINALS),
    ):
        datasets.prepare(settings(root, form=form), tmp_path / "out")
        found = {path.name for path in (tmp_path / "out").iterdir()}
        assert found >= {*there}
        assert not found & ({*gone} - {*there})


def test_the_data_digest_tells_the_forms_apart(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", 2)
    digests = {
        datasets.prepare(settings(root, form=form), tmp_path / form)["digest"]
        for form in ("squares", "originals")
    }
    assert len(digests) == 2


def test_damaged_files_are_named_together(tmp_path: Path) -> None:
    root = tree(tmp_path / "in")
    for name in ("ant/001", "bee/004"):
        path = root / "train" / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(StudyError) as caught:
        datasets.prepare(settings(root), tmp_path / "out")
    for name in ("ant/001.jpg", "bee/004.jpg"):
        assert f"{root}/train/{name}: cannot be read as an image" in str(caught.value)
    assert not [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]


def test_a_file_cut_short_while_it_is_in_use_is_named(tmp_path: Path) -> None:
    datasets.prepare(settings(tree(tmp_path / "in", 2)), tmp_path / "out")
    images = originals(datasets.load(tmp_path / "out").train_images)
    path = tmp_path / "out" / "train_images.bin"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(StudyError, match=r"train_images\.bin: image 3: the file ends before it"):
        images.encoded(len(images) - 1)


MEMORY = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tausweep import data as datasets
from tausweep.views import rendering as views
from tausweep.views.batches import pixels
from tausweep.study import DatasetSettings, Source, ViewSettings
import tausweep.data.encoded

def peak():
    # Not ru_maxrss, which a process inherits from the one that started it.
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def work(root):
    settings = DatasetSettings(source=Source(kind="folder", path=root), form="originals")
    out = Path(root) / "prepared"
    datasets.prepare(settings, out, 2)
    data = datasets.load(out)
    found = pixels(data.train_images, 32, data.mean, data.std, torch.device("cpu"))
    drawn = found.draw(ViewSettings(), 0, 0)
    for _ in found.views(views.order(len(found), 0, 0).split(32), drawn):
        pass
    for _ in found.plain(torch.arange(len(found)).split(32)):
        pass
    return data.manifest["files"]["train_images.bin"]["bytes"]

few, many = sys.argv[1:]
work(few)
before = peak()
print(work(many), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Preparing and passing over 400 images of 40 MB encoded takes no more than 40 of them."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (192, 192, 3), dtype=np.uint8) for _ in range(2)]
    for name, count in (("few", 40), ("many", 400)):
        for split in ("train", "test"):
            for label, array in zip(("a", "b"), noise, strict=True):
                folder = tmp_path / name / split / label
                folder.mkdir(parents=True)
                first = folder / "0.jpg"
                Image.fromarray(array).save(first, quality=98, subsampling=0)
                for i in range(1, count // 2 if split == "train" else 2):
                    (folder / f"{i}.jpg").hardlink_to(first)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "few"), str(tmp_path / "many")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    encoded_bytes, grown = map(int, done.stdout.split())
    assert encoded_bytes > 30e6
    # Threads take memory of their own, 4 to 6 MB here.
    assert grown < encoded_bytes / 4


def test_descriptors_are_closed(tmp_path: Path) -> None:
    datasets.prepare(settings(tree(tmp_path / "in", 2)), tmp_path / "out")
    place = Path("/proc/self/fd")
    if not place.is_dir():
        pytest.skip("no /proc")
    before = len([*place.iterdir()])
    for _ in range(20):
        datasets.load(tmp_path / "out")
    assert len([*place.iterdir()]) <= before + 2


@needs_real_images
def test_real_originals_are_kept_byte_for_byte_and_cut_to_224(tmp_path: Path) -> None:
    wanted = settings(real_tree(tmp_path), image_size=224)
    datasets.prepare(wanted, tmp_path / "out")
    data, paths = (
        datasets.load(tmp_path / "out"),
        paths_of(datasets.read(wanted.source, "train")),
    )
    assert [bytes(originals(data.train_images).encoded(i)) for i in range(100)] == [
        path.read_bytes() for path in paths
    ]
    found = views_of(data.train_images, 224, data.mean, data.std, torch.device("cpu"))
    drawn = found.draw(ViewSettings(flip=True, blur_probability=0.5), 0, 0)
    for batch in (*found.views([torch.arange(100)], drawn), *found.plain([torch.arange(100)])):
        assert batch.shape == (100, 3, 224, 224)
        assert batch.std(dim=(1, 2, 3)).min() > 0.02
