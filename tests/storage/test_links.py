"""Two names of one file, or two files where there are no links."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tausweep.storage import links
from tausweep.storage.run_lock import RunLockedError, held_by, run_lock


def refuse(code: int) -> None:
    """Stands for ``os.link`` where the system has no links."""
    raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("code", sorted(links.NOT_HERE))
def test_where_links_are_refused_it_is_a_copy(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text("content")
    (tmp_path / "two").write_text("older")
    monkeypatch.setattr(os, "link", lambda *paths: refuse(code))
    assert not links.link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "content"
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_a_link_replaces_what_has_the_name_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("content")
    (tmp_path / "two").write_text("older")
    for _ in range(2):  # the second time both are one file already
        assert links.link_or_copy(tmp_path / "one", tmp_path / "two")
        assert (tmp_path / "two").samefile(tmp_path / "one")
        assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_another_error_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        links.link_or_copy(tmp_path / "absent", tmp_path / "two")


def test_a_run_has_one_writer_without_links_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", lambda *paths: refuse(errno.EPERM))
    with run_lock(tmp_path, run="a/b of one"):
        held = held_by(tmp_path)
        assert held is not None
        assert held["pid"] == os.getpid()
        with pytest.raises(RunLockedError, match=r"this run \(a/b of one\)"), run_lock(tmp_path):
            pass
    assert not any(tmp_path.iterdir())
