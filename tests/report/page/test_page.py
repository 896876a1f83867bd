"""The page comes out whatever the records lack, is well formed, and loads nothing."""

from __future__ import annotations

import html as escaping
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import frames
from report_page import make_exhibits, page_of, records_of, study_of, text_of, write_record

VOID = {"meta", "link", "br", "img", "hr", "input", "use", "path", "circle", "rect"}

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def test_without_any_result_the_report_still_comes_out(tmp_path: Path) -> None:
    study = study_of()
    frame = frames.mark(records_of(study), "missing")
    text = text_of(page_of(study, frame, tmp_path, partial=True))
    assert "0 of 30 runs are complete. Nothing can be judged yet." in text
    assert "none of the paper's 14 empirical claims were supported, none contradicted" in text


def test_text_of_users_is_escaped(tmp_path: Path) -> None:
    study = study_of()
    run_id = study.runs()[0].id
    write_record(tmp_path / "synthetic", run_id, command="<script>alert(1)</script>")
    html = page_of(study, records_of(study), tmp_path)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    study = study_of()
    frame = frames.mark(records_of(study), "failed", loss="simple")
    make_exhibits(tmp_path / "synthetic", frame)
    write_record(tmp_path / "synthetic", study.runs()[0].id)
    first = page_of(study, frame, tmp_path)
    assert page_of(study, frame, tmp_path) == first
    assert page_of(study, frame.sample(frac=1, random_state=0), tmp_path) == first


class Outline(HTMLParser):
    """Balanced tags, headings, ids, references and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in given:
            self.ids.append(str(given["id"]))
        if tag == "a":
            self.links.append(str(given["href"]))
        for name in ("src", "srcset", "data", "poster", "action", "background"):
            if name in given:
                self.loads.append(str(given[name]))
        if tag in ("link", "use"):
            self.loads.append(str(given.get("href")))
        if tag == "th" and "scope" not in given:
            self.problems.append("th without scope")
        if tag == "img" and not given.get("alt"):
            self.problems.append("img without alt")
        if tag in ("script", "iframe", "object", "embed"):
            self.problems.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")


def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    found.close()
    return found


def full_of_everything(root: Path) -> str:
    """A page in which every section has content."""
    study = study_of(
        datasets={"cifar10": {"image_size": 16}, "cifar100": {}, "svhn": {}, "imagenet100": {}}
    )
    frame = frames.mark(records_of(study), "failed", loss="simple", seed=0, dataset="svhn")
    frame = frames.mark(frame, "missing", loss="hard_simple", dataset="cifar100")
    frame = frames.mark(frame, "diverged", temperature=0.07, dataset="cifar10", seed=1)
    frame.loc[0, "settings_digest"] = "0123456789abcdef"
    frame.loc[:4, "code_version"] = "a-b"
    folder = root / "synthetic"
    make_exhibits(folder, frame)
    (folder / "figures/training.svg").unlink()
    for run in study.runs()[:5]:
        write_record(folder, run.id, commit=str(run.seed) * 40 + "+")
    return page_of(study, frame, root)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    return full_of_everything(tmp_path_factory.mktemp("everything"))


def test_the_page_is_well_formed_and_accessible(everything: str) -> None:
    found = outline(everything)
    assert found.open == []
    assert found.problems == []
    assert len(found.ids) == len(set(found.ids))
    inside = {link[1:] for link in found.links if link.startswith("#")}
    assert inside <= set(found.ids)
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(found.headings, found.headings[1:], strict=False))
    assert '<html lang="en">' in everything


def test_the_outline_finds_what_is_broken() -> None:
    broken = outline('<h1>a<p></h1><th>b</th><img src="http://x/y.png"><script></script>')
    assert "</h1> closes nothing" in broken.problems
    assert {"th without scope", "img without alt", "script"} <= set(broken.problems)
    assert broken.loads == ["http://x/y.png"]


def test_the_page_loads_nothing_from_anywhere(everything: str) -> None:
    found = outline(everything)
    assert all(load.startswith(("data:", "#")) for load in found.loads)
    outside = {link for link in found.links if not link.startswith("#")}
    assert outside == {
        "https://arxiv.org/abs/2012.09740",
        "https://doi.org/10.1109/CVPR46437.2021.00252",
    }
    style = everything.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in everything


def browse(
    chromium: str, url: str, profile: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync",
        "--disable-background-networking", f"--user-data-dir={profile}", *options, url,
    ]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=dict(os.environ)
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_chromium_has_no_complaint(everything: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    pages = {"good": everything, "bad": "<script>console.error('heard')</script>"}
    said = {}
    for name, html in pages.items():
        path = tmp_path / f"{name}.html"
        path.write_text(html, encoding="utf-8")
        options = ("--enable-logging=stderr", "--dump-dom", "--window-size=390,900")
        done = browse(CHROMIUM, path.as_uri(), tmp_path / name, *options)
        said[name] = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert len(done.stdout) > 0
    assert "heard" in said["bad"][0]
    assert said["good"] == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_is_never_wider_than_the_window(
    everything: str, tmp_path: Path, width: int
) -> None:
    assert CHROMIUM is not None
    # The page forbids scripts and windows have a least width, so a copy is measured in a frame,
    # every detail open.
    measured = re.sub(r"<meta http-equiv[^>]+>", "", everything)
    measured = measured.replace(" open>", ">").replace("<details", "<details open")
    frame = f'<iframe width="{width}" height="900" srcdoc="{escaping.escape(measured)}"></iframe>'
    script = (
        "<script>onload = () => { const w = frames[0], e = w.document.documentElement;"
        "document.title = [w.innerWidth, e.scrollWidth, e.scrollHeight].join(' ') }</script>"
    )
    path = tmp_path / "measured.html"
    path.write_text(f"<title>not measured</title>{frame}{script}", encoding="utf-8")
    done = browse(CHROMIUM, path.as_uri(), tmp_path / "profile", "--dump-dom")
    title = re.search(r"<title>(\d+) (\d+) (\d+)</title>", done.stdout)
    assert title is not None
    inner, scroll, height = map(int, title.groups())
    assert inner == width
    assert scroll <= inner
    assert height > 5000


def test_figures_follow_the_dark_mode_of_the_page(tmp_path: Path) -> None:
    """What is drawn on white is turned round in the dark, on screen and not on paper."""
    study = study_of()
    html = page_of(study, records_of(study), tmp_path)
    rules = re.search(
        r"@media screen and \(prefers-color-scheme: dark\) \{(.*?)\n\}", html, re.DOTALL
    )
    assert rules is not None
    assert ".card { background: var(--raised); }" in rules[1]
    assert re.search(r"\.card img \{ filter: invert\(1\) hue-rotate\(180deg\)", rules[1])
    assert "(dark)" not in html
