"""CIFAR's pickled batches: read as published, and never opened if they are not."""

import http.server
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cifar_archive import NAMES, md5, packed
from pictures import array
from tausweep import data as datasets
from tausweep.data.archives import Published
from tausweep.data.sources import SPLITS, cifar, root
from tausweep.study import DatasetSettings, Source, StudyError

# A GPU machine has not got it.
torchvision = pytest.importorskip("torchvision")

Tiny = tuple[Source, cifar.Archive, dict[str, bytes], dict[str, Any], bytes]


def batch(count: int, seed: int, key: str) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
        key: [i % 3 for i in range(count)],
        "batch_label": "tiny",
    }


def contents(kind: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files of a tiny archive in the exact layout, and its tables of batches."""
    key, meta, train, test = {
        "cifar10": (
            "labels",
            "batches.meta",
            [f"data_batch_{i}" for i in range(1, 6)],
            "test_batch",
        ),
        "cifar100": ("fine_labels", "meta", ["train"], "test"),
    }[kind]
    tables = {name: batch(4, i, key) for i, name in enumerate([*train, test])}
    if kind == "cifar100":
        for table in tables.values():
            table["coarse_labels"] = [9] * 4
    tables[meta] = {("label_names" if kind == "cifar10" else "fine_label_names"): NAMES}
    return {name: pickle.dumps(table, protocol=2) for name, table in tables.items()}, tables


@pytest.fixture(params=["cifar10", "cifar100"])
def tiny(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tiny:
    """A tiny archive's source, whose own digests stand in for the published ones."""
    real = cifar.ARCHIVES[request.param]
    files, tables = contents(request.param)
    tar = packed(real.folder, files)

    def listed(published: tuple[Published, ...]) -> tuple[Published, ...]:
        return tuple(Published(file.name, md5(files[file.name])) for file in published)

    archive = cifar.Archive(
        Published(real.file.name, md5(tar), real.file.url),
        real.folder,
        listed(real.train),
        listed(real.test),
        listed((real.meta,))[0],
        real.class_names,
    )
    monkeypatch.setitem(cifar.ARCHIVES, request.param, archive)
    source = Source(kind=request.param, path=str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return source, archive, files, tables, tar


def unpack(source: Source, archive: cifar.Archive, files: dict[str, bytes]) -> Path:
    folder = root(source) / archive.folder
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def expected(tables: dict[str, Any], published: tuple[Published, ...]) -> NDArray[np.uint8]:
    rows = np.concatenate([tables[file.name]["data"] for file in published])
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def test_published_digests_are_torchvisions() -> None:
    for kind, theirs in (
        ("cifar10", torchvision.datasets.CIFAR10),
        ("cifar100", torchvision.datasets.CIFAR100),
    ):
        ours = cifar.ARCHIVES[kind]
        assert (ours.file.name, ours.file.md5) == (theirs.filename, theirs.tgz_md5)
        assert (ours.file.url, ours.folder) == (theirs.url, theirs.base_folder)
        assert [[f.name, f.md5] for f in ours.train] == theirs.train_list
        assert [[f.name, f.md5] for f in ours.test] == theirs.test_list
        assert (ours.meta.name, ours.class_names, ours.meta.md5) == (
            theirs.meta["filename"],
            theirs.meta["key"],
            theirs.meta["md5"],
        )


def test_batches_are_read_in_order_with_their_labels_and_names(tiny: Tiny) -> None:
    source, archive, files, tables, _ = tiny
    unpack(source, archive, files)
    for split, published in zip(SPLITS, (archive.train, archive.test), strict=True):
        read = datasets.read(source, split)
        assert np.array_equal(array(read.images), expected(tables, published))
        assert read.labels.tolist() == [0, 1, 2, 0] * len(published)
        assert read.classes == NAMES


def test_an_archive_on_disk_is_unpacked_without_a_download(tiny: Tiny) -> None:
    source, archive, _, tables, tar = tiny
    (root(source) / archive.file.name).write_bytes(tar)
    assert np.array_equal(
        array(datasets.read(source, "test").images), expected(tables, archive.test)
    )


def test_a_damaged_batch_is_restored_from_an_intact_archive(tiny: Tiny) -> None:
    source, archive, files, tables, tar = tiny
    folder = unpack(source, archive, files)
    (folder / archive.test[0].name).write_bytes(b"broken")
    (root(source) / archive.file.name).write_bytes(tar)
    assert np.array_equal(
        array(datasets.read(source, "test").images), expected(tables, archive.test)
    )


def test_a_truncated_archive_is_named_and_not_unpacked(tiny: Tiny) -> None:
    source, archive, _, _, tar = tiny
    path = root(source) / archive.file.name
    path.write_bytes(tar[: len(tar) // 2])
    with pytest.raises(StudyError, match=rf"{archive.file.name} is truncated or altered \(MD5"):
        datasets.read(source, "train")
    assert not (root(source) / archive.folder).exists()


class Payload:
    """Unpickling it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("which", ["train", "test", "meta"])
def test_a_pickle_that_is_not_as_published_is_never_opened(
    tiny: Tiny, tmp_path: Path, which: str
) -> None:
    source, archive, files, _, _ = tiny
    folder = unpack(source, archive, files)
    name = archive.meta.name if which == "meta" else getattr(archive, which)[0].name
    (folder / name).write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    for split in ("train", "test"):
        with pytest.raises(StudyError, match=rf"{archive.folder}/{name} is truncated or altered"):
            datasets.read(source, split)
    assert not (tmp_path / "ran").exists()


def test_torchvision_itself_checks_each_digest_before_it_unpickles(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, archive, files, _, _ = tiny
    folder = unpack(source, archive, files)
    (folder / archive.train[0].name).write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    monkeypatch.setattr(cifar, "_provide", lambda *_: None)
    with pytest.raises(RuntimeError, match="corrupted"):
        datasets.read(source, "train")
    assert not (tmp_path / "ran").exists()


def test_a_missing_batch_and_a_missing_archive_are_named(tiny: Tiny) -> None:
    source, archive, files, _, _ = tiny
    with pytest.raises(StudyError, match=rf"{archive.file.name} is missing; .*source\.download"):
        datasets.read(source, "train")
    (unpack(source, archive, files) / archive.train[-1].name).unlink()
    with pytest.raises(StudyError, match=rf"{archive.train[-1].name} is missing"):
        datasets.read(source, "train")


def test_preparation_keeps_torchvisions_order(tiny: Tiny, tmp_path: Path) -> None:
    source, archive, files, tables, _ = tiny
    unpack(source, archive, files)
    datasets.prepare(DatasetSettings(source=source), tmp_path / "out")
    data = datasets.load(tmp_path / "out", verify=True)
    assert np.array_equal(array(data.train_images), expected(tables, archive.train))
    assert np.array_equal(array(data.test_images), expected(tables, archive.test))
    assert data.classes == NAMES


def test_a_damaged_archive_leaves_no_manifest(tiny: Tiny, tmp_path: Path) -> None:
    source, archive, files, _, _ = tiny
    folder = unpack(source, archive, files)
    (folder / archive.test[0].name).write_bytes(b"")
    with pytest.raises(StudyError, match="truncated or altered"):
        datasets.prepare(DatasetSettings(source=source), tmp_path / "out")
    assert not [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A local server and its folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def moved(archive: cifar.Archive, url: str) -> cifar.Archive:
    file = Published(archive.file.name, archive.file.md5, f"{url}/{archive.file.name}")
    fields = ("folder", "train", "test", "meta", "class_names")
    return cifar.Archive(file, *(getattr(archive, field) for field in fields))


@pytest.mark.parametrize("before", ["nothing", "half an archive", "bad meta"])
def test_download_fetches_and_checks(tiny: Tiny, served: tuple[Path, str], before: str) -> None:
    source, archive, files, tables, tar = tiny
    folder, url = served
    (folder / archive.file.name).write_bytes(tar)
    if before == "half an archive":
        (root(source) / archive.file.name).write_bytes(tar[:50])
    elif before == "bad meta":
        (unpack(source, archive, files) / archive.meta.name).write_bytes(b"x")
    source = source.model_copy(update={"download": True})
    read = cifar.read(source, "train", moved(archive, url))
    assert np.array_equal(array(read.images), expected(tables, archive.train))


@pytest.mark.parametrize("what", ["absent", "altered"])
def test_a_failed_download_says_what_to_fetch_by_hand(
    tiny: Tiny, served: tuple[Path, str], what: str
) -> None:
    source, archive, _, _, tar = tiny
    folder, url = served
    if what == "altered":
        (folder / archive.file.name).write_bytes(tar + b"x")
    source = source.model_copy(update={"download": True})
    sentence = (
        rf"{archive.file.name}: cannot be downloaded or unpacked from {url}.*put a copy with MD5"
    )
    with pytest.raises(StudyError, match=sentence):
        cifar.read(source, "train", moved(archive, url))
