"""Checks of an export as such: its files against its list, its metadata against its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tausweep.commands import archive
from tausweep.commands.check import Check, counted
from tausweep.report.artefact import codecheck, crate
from tausweep.storage.layout import File, Folder


def check_contents(root: Path, index: dict[str, Any]) -> list[Check]:
    """Whether every file is there with its digest.

    Args:
        root: The export's folder.
        index: Its list of contents (``archive.read_index``).
    """
    altered, unlisted = archive.differences(root, index)
    count = counted(len(index["files"]), "file")
    found = [
        Check.of(
            "contents",
            altered,
            f"{len(altered)} of {count} are not as {archive.CONTENTS} lists them",
            f"{count} have the SHA-256 that {archive.CONTENTS} lists",
        )
    ]
    if unlisted:
        said = f"{counted(len(unlisted), 'file')} not in {archive.CONTENTS} and not checked"
        found.append(Check("other files", "note", f"{said}: {', '.join(unlisted[:3])}"))
    return found


def check_metadata(root: Path, index: dict[str, Any]) -> Check:
    """Whether RO-Crate, Croissant and CODECHECK metadata say what the files are."""
    if crate.METADATA not in index["files"]:
        return Check("metadata", "note", f"no {crate.METADATA}: the export is older than it")
    try:
        wrong = [*_crate(root, index), *_croissants(root), *_manifest(root)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        wrong = [f"cannot be read: {type(error).__name__} {error}"]
    return Check.of(
        "metadata",
        wrong,
        "the metadata do not match the files",
        "RO-Crate (Provenance Run Crate 0.5), Croissant and CODECHECK match the files",
    )


def _crate(root: Path, index: dict[str, Any]) -> list[str]:
    graph = json.loads((root / crate.METADATA).read_text(encoding="utf-8"))["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    stated = entities["./"]["conformsTo"]
    wrong = [
        f"{crate.METADATA}: does not conform to {profile}"
        for profile in crate.PROFILES
        if {"@id": profile} not in stated
    ]
    for name, facts in index["files"].items():
        if name == crate.METADATA:
            continue
        entity = entities.get(name)
        if entity is None:
            wrong.append(f"{crate.METADATA}: does not describe {name}")
        elif entity["sha256"] != facts["sha256"]:
            wrong.append(f"{crate.METADATA}: has another digest of {name}")
    return wrong


def _croissants(root: Path) -> list[str]:
    wrong = []
    for path in sorted((root / Folder.DATA).glob(f"*/{crate.CROISSANT}")):
        described = json.loads(path.read_text(encoding="utf-8"))
        made = json.loads((path.parent / File.MANIFEST).read_text(encoding="utf-8"))
        stated = {file["name"]: file["sha256"] for file in described["distribution"]}
        if stated != {name: facts["sha256"] for name, facts in made["files"].items()}:
            name = path.relative_to(root)
            wrong.append(f"{name}: has other digests of the data than {File.MANIFEST}")
    return wrong


def _manifest(root: Path) -> list[str]:
    text = (root / codecheck.FILE).read_text(encoding="utf-8")
    return [
        f"{codecheck.FILE}: {name} is missing"
        for name in codecheck.listed(text)
        if not (root / name).is_file()
    ]
