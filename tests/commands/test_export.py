"""An archive has a study's results, in bytes that repeat, and is read like a results folder."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

import tiny_run
from tausweep.commands import archive, export
from tausweep.results import records
from tausweep.storage.atomic import write_json, write_text
from tausweep.storage.layout import Layout
from tausweep.study import Study, StudyError

SUFFIXES = pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])


@pytest.fixture
def study() -> Study:
    return tiny_run.study(seeds=[0, 1], losses={"simple": None})


@pytest.fixture
def layout(tmp_path: Path, study: Study) -> Layout:
    layout = Layout(tmp_path / "results")
    rows = []
    for run in study.runs():
        folder = layout.run(run)
        rows.append({"study": "tiny", "dataset": "digits", "loss": "simple", "seed": run.seed,
                     "status": "complete", "linear_accuracy": 90.5})  # fmt: skip
        write_json(folder / "record.json", {"columns": rows[-1]})
        write_text(folder / "encoder.safetensors", "weights")
        write_text(folder / "checkpoint.safetensors", "state")
        write_json(layout.prepared(run.settings.dataset) / "manifest.json", {"digest": "d"})
    root = layout.study("tiny")
    write_text(root / "records.csv", records.table(rows))
    write_text(root / "tables/table1.md", "| τ |")
    write_text(root / "figures/fig1.svg", "<svg/>")
    write_text(root / "report.html", "<html/>")
    return layout


@SUFFIXES
def test_same_results_give_the_same_bytes(
    suffix: str, study: Study, layout: Layout, tmp_path: Path
) -> None:
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    export.export(study, layout, one)
    for path in layout.root.rglob("*"):
        os.utime(path, (1e9, 1e9))
    (layout.study("tiny") / "report.html").chmod(0o600)
    export.export(study, layout, two)
    assert one.read_bytes() == two.read_bytes()


@SUFFIXES
@pytest.mark.parametrize("weights", [False, True])
def test_archive_is_read_like_a_results_folder(
    suffix: str, weights: bool, study: Study, layout: Layout, tmp_path: Path
) -> None:
    path = tmp_path / f"tiny{suffix}"
    said = export.export(study, layout, path, weights=weights)
    assert ("with weights" in said) == weights
    assert archive.is_archive(path)
    with archive.opened(path) as root:
        assert archive.study_of(root) == study
        table = records.read_table(root / "tiny/records.csv")
        assert list(table["linear_accuracy"]) == [90.5, 90.5]
        run = Layout(root).run(study.runs()[0])
        assert (run / "record.json").exists()
        assert (run / "encoder.safetensors").exists() == weights
        assert not (run / "checkpoint.safetensors").exists()
        assert (root / "tiny/tables/table1.md").read_text(encoding="utf-8") == "| τ |"
        assert (Layout(root).prepared(study.runs()[0].settings.dataset) / "manifest.json").exists()
    assert not root.exists()


def test_study_that_is_not_collected_cannot_be_exported(
    study: Study, layout: Layout, tmp_path: Path
) -> None:
    (layout.study("tiny") / "records.csv").unlink()
    with pytest.raises(StudyError, match=r"records\.csv: is missing"):
        export.export(study, layout, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_unknown_suffix_is_refused(study: Study, layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"should be one of \.tar\.gz"):
        export.export(study, layout, tmp_path / "x.rar")


@SUFFIXES
def test_damaged_archive_is_refused_in_a_sentence(
    suffix: str, study: Study, layout: Layout, tmp_path: Path
) -> None:
    path = tmp_path / f"tiny{suffix}"
    export.export(study, layout, path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive"):
        path.write_bytes(damaged)
        with (
            pytest.raises(StudyError, match="is damaged or not an archive of tausweep"),
            archive.opened(path),
        ):
            pass
    path.unlink()
    with pytest.raises(StudyError, match="there is no such file"), archive.opened(path):
        pass


def test_altered_file_is_named(study: Study, layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "tiny.zip"
    export.export(study, layout, path)
    with zipfile.ZipFile(path) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    files["tiny/records.csv"] += b"\n"
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    with (
        pytest.raises(StudyError, match=r"tiny/records\.csv was altered"),
        archive.opened(path),
    ):
        pass


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_nothing_is_written_outside_of_the_folder(name: str, tmp_path: Path) -> None:
    import hashlib

    data = b"x"
    index = {"files": {name: {"bytes": 1, "sha256": hashlib.sha256(data).hexdigest()}}}
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file, content in ((archive.CONTENTS, json.dumps(index).encode()), (name, data)):
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(StudyError, match="outside of the folder"), archive.opened(path):
        pass


def test_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("tiny/records.csv")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(entry)
    with pytest.raises(StudyError, match="not a plain file"), archive.opened(path):
        pass
