"""`tausweep fetch`: from a published archive to image folders that a study can read."""

from __future__ import annotations

import http.server
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cifar_archive import NAMES, md5, packed
from tausweep.cli import main
from tausweep.data.archives import Published
from tausweep.data.sources import cifar, folder
from tausweep.study import Source

pytest.importorskip("torchvision")

FOLDER = "cifar-10-batches-py"
"""As it is in the archive."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in ``tmp_path/served``."""
    (tmp_path / "served").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        serve = partial(running.serve_forever, poll_interval=0.01)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, altered: bool = False
) -> np.ndarray:
    """Have a tiny archive stand for CIFAR-10's; returns the pixels of its training images."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 3072), dtype=np.uint8)
    labels = {"labels": [2, 0, 1, 0, 2, 1]}
    files = {
        "data_batch_1": pickle.dumps({"data": pixels, **labels}, protocol=2),
        "test_batch": pickle.dumps({"data": pixels[::-1], **labels}, protocol=2),
        "batches.meta": pickle.dumps({"label_names": NAMES}, protocol=2),
    }
    tar = packed(FOLDER, files)
    (tmp_path / "served/cifar.tar.gz").write_bytes(tar[:-1] + b"?" if altered else tar)

    def listed(name: str) -> Published:
        return Published(name, md5(files[name]))

    archive = cifar.Archive(
        Published("cifar.tar.gz", md5(tar), f"{url}/cifar.tar.gz"), FOLDER,
        (listed("data_batch_1"),), (listed("test_batch"),), listed("batches.meta"), "label_names",
    )  # fmt: skip
    monkeypatch.setitem(cifar.ARCHIVES, "cifar10", archive)
    monkeypatch.chdir(tmp_path)
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def test_the_archive_is_downloaded_checked_and_laid_out(
    tmp_path: Path,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pixels = publish(tmp_path, monkeypatch, server)
    assert main(["fetch", "cifar10", "images"]) == 0
    said = "6 training and 6 test images of cifar10 in images\n"
    assert capsys.readouterr().out == said
    assert (tmp_path / "data/cifar10/cifar.tar.gz").is_file()
    found = folder.read(Source(kind="folder", path="images"), "train")
    assert found.classes == NAMES
    for place, original in zip(range(6), (1, 3, 2, 5, 0, 4), strict=True):
        np.testing.assert_array_equal(np.asarray(found.images[place]), pixels[original])
    assert main(["fetch", "cifar10", "images"]) == 2
    assert "images: is there already" in capsys.readouterr().err


def test_an_archive_that_is_not_as_published_leaves_no_images(
    tmp_path: Path,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(tmp_path, monkeypatch, server, altered=True)
    assert main(["fetch", "cifar10", "images"]) == 2
    assert "is truncated or altered (MD5 " in capsys.readouterr().err
    assert not (tmp_path / "images").exists()


def test_without_a_network_one_sentence_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "served").mkdir()
    # No server listens on a port that needs root.
    publish(tmp_path, monkeypatch, "http://127.0.0.1:1")
    assert main(["fetch", "cifar10", "images"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "data/cifar10/cifar.tar.gz: cannot be downloaded or unpacked from http://" in said
    assert "put a copy with MD5 " in said


def test_only_datasets_that_can_be_downloaded_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fetch", "imagenet100", "images"])
    assert "cifar10" in capsys.readouterr().err
