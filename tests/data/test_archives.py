"""Downloads go on where they stopped, and nothing counts that is not as published."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tausweep import data as datasets
from tausweep.data import archives
from tausweep.data.archives import Published
from tausweep.data.sources import svhn
from tausweep.study import Source, StudyError

CONTENT = bytes(i * i % 251 for i in range(50_000))
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under any name; ``asked`` are the ranges, ``breaks`` where it hangs up."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.breaks: list[int] = []
        self.content, self.ranges = CONTENT, True


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        start = start if self.server.ranges else 0
        if start >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        end = self.server.breaks.pop(0) - start if self.server.breaks else len(body)
        self.wfile.write(body[:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def file(server: Server) -> Published:
    return Published("file.bin", MD5, f"http://127.0.0.1:{server.server_port}/file.bin")


def there(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_broken_download_goes_on_where_it_broke(
    server: Server, file: Published, tmp_path: Path
) -> None:
    server.breaks = [20_000, 35_000]
    archives.fetch(file, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=20000-", "bytes=35000-"]
    assert there(tmp_path) == ["file.bin"]


def test_a_later_process_goes_on_with_what_an_earlier_one_left(
    server: Server, file: Published, tmp_path: Path
) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:30_000])
    archives.fetch(file, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == ["bytes=30000-"]


def test_a_download_that_was_whole_but_not_moved_is_moved(
    server: Server, file: Published, tmp_path: Path
) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    archives.fetch(file, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_what_is_there_as_published_is_not_fetched(
    server: Server, file: Published, tmp_path: Path
) -> None:
    (tmp_path / "file.bin").write_bytes(CONTENT)
    used = []
    archives.fetch(file, tmp_path, lambda: used.append(1))
    assert (server.asked, used) == ([], [1])


def test_a_server_without_ranges_starts_again(
    server: Server, file: Published, tmp_path: Path
) -> None:
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:30_000])
    archives.fetch(file, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("beginning", [b"another file", bytes(60_000)])
def test_a_beginning_of_another_file_is_thrown_away(
    server: Server, file: Published, tmp_path: Path, beginning: bytes
) -> None:
    (tmp_path / "file.bin.part").write_bytes(beginning)
    archives.fetch(file, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(beginning)}-", None]


def test_another_content_is_refused_and_leaves_nothing(
    server: Server, file: Published, tmp_path: Path
) -> None:
    server.content = CONTENT + b"x"
    with pytest.raises(StudyError, match=rf"truncated or altered .*put a copy with MD5 {MD5}"):
        archives.fetch(file, tmp_path)
    assert there(tmp_path) == []


def test_a_connection_that_gives_nothing_more_ends_with_what_came_kept(
    server: Server, file: Published, tmp_path: Path
) -> None:
    server.breaks = [20_000, 20_000]
    with pytest.raises(StudyError, match="cannot be downloaded"):
        archives.fetch(file, tmp_path)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:20_000]


def test_svhn_is_downloaded_and_checked(
    server: Server, file: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is no .mat file: reading it fails, after it was fetched whole."""
    monkeypatch.setitem(svhn.FILES, "test", Published("test_32x32.mat", MD5, file.url))
    server.breaks = [9_000]
    with pytest.raises(Exception, match="mat"):
        datasets.read(Source(kind="svhn", path=str(tmp_path), download=True), "test")
    assert (tmp_path / "test_32x32.mat").read_bytes() == CONTENT
