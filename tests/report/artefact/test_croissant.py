"""Croissant metadata, validated and read by MLCommons' own library."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

import exported
from tausweep.data import prepare
from tausweep.report.artefact.croissant import ORIGINS, croissant
from tausweep.study import Source
from tiny_run import run_settings

MANIFESTS = sorted((exported.MEASURED / "data").glob("*/manifest.json"))


def written(folder: Path, content: dict[str, Any]) -> mlcroissant.Dataset:
    path = folder / "croissant.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return mlcroissant.Dataset(jsonld=path)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_it_is_valid_and_says_what_the_manifest_says(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = json.loads(path.read_text(encoding="utf-8"))
    with caplog.at_level(logging.WARNING):
        dataset = written(tmp_path, croissant(path.parent.name, manifest, "2026-11-27"))
    assert not dataset.metadata.issues.errors
    # Only of a user's own images, about which nobody has said more.
    unsaid = ("citeAs", "license") if manifest["source"]["kind"] not in ORIGINS else ()
    warnings = dataset.metadata.issues.warnings
    assert len(warnings) == len(unsaid)
    assert all(any(name in warning for warning in warnings) for name in unsaid)
    assert not [record for record in caplog.records if "@context" in record.message]
    files = {file.name: file.sha256 for file in dataset.metadata.distribution}
    assert files == {name: facts["sha256"] for name, facts in manifest["files"].items()}
    classes = [row["classes/name"] for row in dataset.records(record_set="classes")]
    assert classes == manifest["classes"]
    splits = {
        row["splits/split"]: row["splits/images"] for row in dataset.records(record_set="splits")
    }
    assert splits == {name: split["images"] for name, split in manifest["splits"].items()}


def test_prepared_files_beside_it_have_its_digests(tmp_path: Path) -> None:
    """The library itself compares a file with its digest when it reads it."""
    import hashlib

    folder = tmp_path / "data"
    prepare(run_settings().dataset, folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    dataset = written(folder, croissant("digits-0", manifest, "2026-11-27"))
    for file in dataset.metadata.distribution:
        content = (folder / file.content_url).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_every_published_source_has_its_page_and_citation() -> None:
    kinds = {*Source.model_fields["kind"].annotation.__args__}  # type: ignore[union-attr]
    assert ORIGINS.keys() == kinds - {"folder", "plugin"}
