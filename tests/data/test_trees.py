"""Which files of a tree are images, which may lie beside them, and which are named and refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tausweep.data import trees
from tausweep.study import StudyError

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A class's folder with one image."""
    (tmp_path / "a.png").write_bytes(b"x")
    return tmp_path


def put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README", b"What these are.\n"),
        ("LICENCE", "Müller".encode("latin-1")),
        ("_SUCCESS", b""),
        ("Icon\r", b""),
        ("labels.csv.gz", b"\x1f\x8b\x00"),
        ("originals.tar.gz", b"\x1f\x8b\x00"),
        ("train-images-idx3-ubyte.gz", b"\x1f\x8b\x00"),
        ("desktop.ini", b"\xff\xfe\x00"),
        (".hidden", JPEG),
        ("@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", JPEG),
        ("__MACOSX/a.png", b"\x00"),
    ],
)
def test_what_nobody_takes_for_an_image_is_passed_over(
    folder: Path, name: str, content: bytes
) -> None:
    put(folder, name, content)
    assert [file.path for file in trees.images(folder)] == ["a.png"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("img_0001", JPEG),
        ("photo.", JPEG),
        ("b.npy", b"\x93NUMPY\x01\x00"),
        ("b.npz", b"PK\x03\x04"),
        ("b.mat", b"MATLAB 5.0 MAT-file"),
        ("scan.nii.gz", b"\x1f\x8b\x00"),
        ("b.png.gz", b"\x1f\x8b\x00"),
        ("deep/b.HEIC", b"x"),
    ],
)
def test_what_may_be_an_image_is_not_left_out_in_silence(
    folder: Path, name: str, content: bytes
) -> None:
    put(folder, name, content)
    with pytest.raises(StudyError) as caught:
        trees.images(folder)
    assert f"1 of 2 files are of a kind that is not read ({name})" in str(caught.value)
    assert trees.files(folder)[-1].path == name


@pytest.mark.parametrize("name", ["labels.npy", "meta.mat"])
def test_arrays_beside_the_folders_of_classes_are_lists(folder: Path, name: str) -> None:
    put(folder, name, b"\x00")
    assert [file.path for file in trees.images(folder, deep=False)] == ["a.png"]


@pytest.mark.parametrize("name", ["pipe.png", "pipe"])
def test_a_pipe_is_refused_and_not_read_for_ever(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)
    with pytest.raises(StudyError, match=rf"{name}: is a pipe, a socket or a device, not a file"):
        trees.images(folder)


def test_sizes_and_times_come_with_the_names(folder: Path) -> None:
    os.utime(folder / "a.png", ns=(1, 1_234_567_891))
    assert trees.images(folder) == [trees.ListedFile("a.png", 1, 1_234_567_891)]
