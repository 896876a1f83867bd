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
from tausweep.cli import main
from tausweep.commands import archive, export
from tausweep.results import parquet, records
from tausweep.storage.atomic import write_json, write_text
from tausweep.storage.layout import Layout
from tausweep.study import Study, StudyError
from tausweep.study.columns import ORIGIN

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
        origin = dict.fromkeys(ORIGIN, "x") | {"threads": 1}
        rows.append({"study": "tiny", "dataset": "digits", "loss": "simple", "temperature": None,
                     "seed": run.seed, "status": "complete", "linear_accuracy": 90.5,
                     **origin})  # fmt: skip
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


def test_a_folder_has_what_an_archive_has(study: Study, layout: Layout, tmp_path: Path) -> None:
    folder, packed = tmp_path / "artefact", tmp_path / "tiny.zip"
    said = export.export(study, layout, folder)
    export.export(study, layout, packed)
    with zipfile.ZipFile(packed) as read:
        archived = {name: read.read(name) for name in read.namelist()}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {str(path.relative_to(folder)): path.read_bytes() for path in files} == archived
    assert said.startswith(f"{folder}: {len(archived) - 1} files")
    assert archive.study_of(folder) == study


def test_metadata_and_parquet_are_beside_the_results(
    study: Study, layout: Layout, tmp_path: Path
) -> None:
    folder = tmp_path / "artefact"
    export.export(study, layout, folder)
    for name in ("README.md", "codecheck.yml", "ro-crate-metadata.json", "workflow/Snakefile",
                 "tiny/records.parquet", "tiny/study.json"):  # fmt: skip
        assert (folder / name).is_file(), name
    rows = (records.read_table(folder / f"tiny/records.{kind}") for kind in ("csv", "parquet"))
    assert next(rows).equals(next(rows))


def test_without_pyarrow_the_parquet_is_left_out_and_said(
    study: Study, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "available", lambda: False)
    said = export.export(study, layout, tmp_path / "artefact")
    assert said.endswith("without records.parquet (it needs pyarrow)")
    assert not (tmp_path / "artefact/tiny/records.parquet").exists()


def test_what_is_there_is_not_overwritten(study: Study, layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "artefact"
    folder.mkdir()
    export.export(study, layout, folder)
    with pytest.raises(StudyError, match="is not empty; delete it or name another folder"):
        export.export(study, layout, folder)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StudyError, match="is a file"):
        export.export(study, layout, tmp_path / "file")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_the_command_names_a_folder_after_the_study(
    study: Study,
    layout: Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.json").write_text(study.canonical_json())
    assert main(["export", "study.json", "--author", "A B <0000-0002-1825-0097>"]) == 0
    assert capsys.readouterr().out.startswith("tiny-artefact: ")
    crate = json.loads((tmp_path / "tiny-artefact/ro-crate-metadata.json").read_text())
    people = [one for one in crate["@graph"] if one["@type"] == "Person"]
    assert people == [
        {"@id": "https://orcid.org/0000-0002-1825-0097", "@type": "Person", "name": "A B"}
    ]
    with pytest.raises(SystemExit) as ended:
        main(["export", "study.json", "other", "--author", "A B <0000-0002-1825-0098>"])
    assert ended.value.code == 2
    assert "0000-0002-1825-0098 is not an ORCID" in capsys.readouterr().err


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
