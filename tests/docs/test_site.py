"""`make docs` builds a site without a broken link, which asks no other server for anything."""

from __future__ import annotations

import html
import importlib
import importlib.util
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tausweep

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    "CI" not in os.environ and importlib.util.find_spec("mkdocs") is None,
    reason="needs the packages of the extra docs: pip install 'tausweep[docs]'",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; a warning ends it."""
    folder = tmp_path_factory.mktemp("site")
    refused = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | refused,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def pages(site: Path) -> list[Path]:
    found = sorted(site.rglob("*.html"))
    assert len(found) > 20
    return found


def test_every_page_of_docs_is_on_the_site(site: Path) -> None:
    names = {path.stem for path in (ROOT / "docs").glob("*.md")}
    names |= {"index", "contributing", "changelog", "configuration"}
    assert names <= {path.stem for path in site.glob("*.html")}
    assert "Uniformity against tolerance" in (site / "index.html").read_text("utf-8")


def test_the_api_has_what_the_rooms_offer_with_their_docstrings(site: Path) -> None:
    page = (site / "api.html").read_text("utf-8")
    offered = {"tausweep": ["measure"]}
    for room in pkgutil.iter_modules(tausweep.__path__, "tausweep."):
        if room.ispkg:
            offered[room.name] = getattr(importlib.import_module(room.name), "__all__", [])
    for room_name, names in offered.items():
        for name in names:
            public = getattr(importlib.import_module(room_name), name)
            headings = (f"{room_name}.{name}", f"{public.__module__}.{public.__qualname__}")
            assert any(f'id="{heading}"' in page for heading in headings), headings
            first = (public.__doc__ or "").split("``")[0].split(".")[0].split("\n")[0]
            assert html.escape(first, quote=False) in page, f"{room_name}.{name}: {first}"


def test_no_page_asks_another_server_for_anything(site: Path) -> None:
    """Links may lead to other servers; what a browser loads by itself may not come from them."""
    loaded = re.compile(
        r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(?:https?:)?//[^"]*"'
        r'|<link\b(?=[^>]*rel="(?:stylesheet|preload|preconnect|icon)")[^>]*href="(?:https?:)?//'
    )
    for page in pages(site):
        assert not loaded.search(page.read_text("utf-8")), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text("utf-8")), sheet


def test_lists_are_lists(site: Path) -> None:
    """Python's Markdown wants an empty line before a list, and GitHub's does not."""
    for page in pages(site):
        text = re.sub(r"<pre.*?</pre>", "", page.read_text("utf-8"), flags=re.DOTALL)
        assert not re.search(r"<p>[^<]*(?:<(?!/p>)[^>]*>[^<]*)*\n- ", text), page
