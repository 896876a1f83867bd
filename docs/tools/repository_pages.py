"""What of the repository, besides docs/, is on the site.

mkdocs calls the functions whose names begin with ``on_`` (``hooks`` in mkdocs.yml). The README is
the first page. A file that a page links to is a page of its own, and a folder a list of files,
so every link works on the site as it does in the repository.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "config/README.md": "configuration.md",
}
"""Pages that are not in docs/: their place in the repository, and on the site."""

PICTURES = (".svg", ".png")

LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml", ".json": "json", ".csv": "text"}

_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(?=[)#])")
"""Where a link of Markdown leads, without its anchor; not to another server."""

_REFERENCE = re.compile(r"^(\[[^\]]+\]: )(?!\w+:)([^#\s]+)", flags=re.MULTILINE)
"""The same of a link by reference, ``[text]: place``."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, and all that is linked to."""
    waiting = list(PAGES)
    for file in files.documentation_pages():
        waiting += linked(f"docs/{file.src_uri}", file.content_string)
    known: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in known or path.startswith("docs/") or not (ROOT / path).exists():
            continue  # mkdocs itself says which links lead nowhere
        known.add(path)
        name = site_name(path)
        if path.endswith(PICTURES):
            files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
            continue
        text = shown(path)
        files.append(File.generated(config, name, content=text))
        if path.endswith(".md"):
            waiting += linked(path, text)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to where their targets are on the site."""
    places = {site_name(path): path for path in PAGES}
    uri = page.file.src_uri
    if uri in places:
        path = places[uri]
    elif uri.startswith("repository/"):
        path = uri.removeprefix("repository/")
    else:
        path = f"docs/{uri}"
    here = posixpath.dirname(uri)
    return relinked(
        path, markdown, lambda target: posixpath.relpath(site_name(target), here or ".")
    )


def linked(page: str, text: str) -> list[str]:
    """Where the links of a page lead, as paths of the repository."""
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return target

    relinked(page, text, note)
    return found


def relinked(page: str, text: str, place: Callable[[str], str]) -> str:
    """A page with each link, given as a path of the repository, replaced by its place."""
    here = posixpath.dirname(page)

    def replace(link: re.Match[str]) -> str:
        return place(posixpath.normpath(posixpath.join(here, link[1])))

    def replace_reference(link: re.Match[str]) -> str:
        return link[1] + place(posixpath.normpath(posixpath.join(here, link[2])))

    # Not in code, of which every second part is.
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if number % 2 else _REFERENCE.sub(replace_reference, _LINK.sub(replace, part))
        for number, part in enumerate(parts)
    )


def site_name(path: str) -> str:
    """The name on the site of a file or folder of the repository."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.endswith((*PICTURES, ".md")):
        return f"repository/{path}"
    return f"repository/{path}.md"


def shown(path: str) -> str:
    """A file or folder of the repository as a page."""
    place = ROOT / path
    if path.endswith(".md"):
        return place.read_text(encoding="utf-8")
    if place.is_dir():
        names = sorted(
            f"- `{entry.name}{'/' if entry.is_dir() else ''}`"
            for entry in place.iterdir()
            if not entry.name.startswith((".", "__pycache__"))
        )
        return f"# {path}/\n\nIn the repository:\n\n" + "\n".join(names) + "\n"
    language = LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"# {path}\n\n`````{language}\n{place.read_text(encoding='utf-8')}\n`````\n"
