"""What verify says of exports, tables and results, and with which exit code it ends."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import exported
from tausweep.cli import main
from tausweep.commands import archive, verification
from tausweep.commands.verification import Verification
from tausweep.results import parquet, records
from tausweep.results.equivalence import EQUIVALENCE_MARGINS
from tausweep.study import StudyError

KEPT = exported.MEASURED / "demo/records.csv"
RUN = "demo/runs/translated_digits/contrastive/0.07/seed0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export; copy it, don't edit it."""
    return exported.demo(tmp_path_factory.mktemp("verify") / "demo")


@pytest.fixture
def export(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "demo")
    return tmp_path / "demo"


def verified(what: Path, against: Path | None = None) -> Verification:
    chosen = None if against is None else str(against)
    return verification.verify(str(what), Path("results"), chosen, EQUIVALENCE_MARGINS)


def outcomes(found: Verification) -> dict[str, str]:
    return {check.name: check.outcome for check in found.checks}


def failed(found: Verification) -> dict[str, tuple[str, ...]]:
    return {check.name: check.details for check in found.checks if check.outcome == "fails"}


def test_a_whole_export_holds_in_one_line_a_check(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(whole)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{whole}: export of the study demo by tausweep 0.1.0, 27 runs"
    assert lines[-1] == "everything that could be checked is right"
    held = {line.split()[1] for line in lines if line.startswith("holds")}
    assert held > {"contents", "metadata", "records", "settings", "schema", "tables", "data"}
    assert held > EQUIVALENCE_MARGINS.keys()
    assert any("all 1,245 numbers of 27 runs are those of ours" in line for line in lines)
    assert any("within ±1.4; 7 of 7 cells" in line for line in lines)


def test_json_says_the_same(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(whole), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["document"], said["holds"]) == ("tausweep verify", True)
    assert outcomes(verified(whole)) == {c["name"]: c["outcome"] for c in said["checks"]}


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_an_archive_is_checked_like_a_folder(suffix: str, whole: Path, tmp_path: Path) -> None:
    packed = exported.demo(tmp_path / f"demo{suffix}")
    assert outcomes(verified(packed)) == outcomes(verified(whole))


def test_an_altered_file_of_an_archive_is_named(whole: Path, tmp_path: Path) -> None:
    packed = tmp_path / "demo.zip"
    with zipfile.ZipFile(packed, "w") as written:
        for path in sorted(whole.rglob("*")):
            name = str(path.relative_to(whole))
            if path.is_dir():
                written.writestr(f"{name}/", "")
            elif name == "demo/claims.md":
                written.writestr(name, path.read_bytes() + b"!")
            else:
                written.write(path, name)
    assert failed(verified(packed)) == {"contents": ("demo/claims.md was altered",)}


def test_what_is_added_to_a_folder_is_said_and_is_no_failure(export: Path) -> None:
    (export / "codecheck").mkdir()
    (export / "codecheck/notes.md").write_text("mine")
    found = verified(export)
    assert found.holds
    assert any("codecheck/notes.md" in check.said for check in found.checks)


def test_names_in_the_list_that_lead_outside_are_refused(export: Path) -> None:
    outside = export.parent / "outside"
    outside.write_text("x")
    index = json.loads((export / archive.CONTENTS).read_text())
    index["files"]["../outside"] = {"bytes": 1, "sha256": records.file_digest(outside)}
    (export / archive.CONTENTS).write_text(json.dumps(index))
    assert "../outside is outside of the export" in failed(verified(export))["contents"]


def test_a_study_that_cannot_be_read_is_a_failure_among_others(export: Path) -> None:
    (export / "demo/study.json").write_text("{")
    found = failed(verified(export))
    assert found.keys() == {"contents", "study"}


def test_metadata_that_contradict_the_files_are_named(export: Path) -> None:
    (path,) = export.glob("data/*/croissant.json")
    content = json.loads(path.read_text())
    content["distribution"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    (export / "codecheck.yml").write_text("---\nmanifest: [{file: gone.csv}]\n")
    details = failed(verified(export))["metadata"]
    assert any("croissant.json: has other digests" in line for line in details)
    assert "codecheck.yml: gone.csv is missing" in details
    (export / "ro-crate-metadata.json").write_text("[]")
    assert "cannot be read" in failed(verified(export))["metadata"][0]


def test_a_parquet_table_of_other_numbers_is_noticed(export: Path) -> None:
    path = export / "demo/records.parquet"
    table = records.read_table(path)
    table["uniformity"] = table["uniformity"] * (1 + 1e-12)
    path.write_bytes(parquet.to_parquet(table))
    assert "tables" in failed(verified(export))
    path.write_bytes(b"PAR1")
    assert "not a parquet file" in failed(verified(export))["tables"][0]


def test_a_pickle_in_place_of_a_file_is_not_opened(export: Path) -> None:
    """What runs code when it is unpickled is a damaged file here, and nothing else."""
    marker = export.parent / "ran"
    pickled = f"cbuiltins\nexec\n(S'open({str(marker)!r}, \"w\")'\ntR.".encode()
    for name in (f"{RUN}/record.json", "demo/records.csv", "demo/records.parquet",
                 "demo/study.json", f"{RUN}/correct.safetensors"):  # fmt: skip
        (export / name).write_bytes(pickled)
    assert not verified(export).holds
    assert not marker.exists()


def test_a_missing_record_hides_no_other_number(export: Path) -> None:
    (export / f"{RUN}/record.json").unlink()
    found = verified(export)
    assert failed(found).keys() == {"contents"}
    assert outcomes(found)["tables"] == "note"
    path = export / "demo/records.csv"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*rows[:-1], rows[-1].replace(",complete,", ",diverged,")]))
    assert "tables" in failed(verified(export))


def test_records_that_are_all_damaged_fail(export: Path) -> None:
    for path in export.rglob("record.json"):
        path.write_text("{}")
    assert len(failed(verified(export))["records"]) == 27


def a_colleagues(tmp_path: Path, change: pd.Series[float] | float, column: str) -> Path:
    table = records.read_table(KEPT)
    table[column] = table[column] + change
    path = tmp_path / "records.parquet"
    path.write_bytes(parquet.to_parquet(table))
    return path


def test_a_colleagues_table_is_equivalent_within_the_margin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A difference of 0.5 points with some noise: not the same numbers, but within 1.4."""
    rows = len(records.read_table(KEPT))
    noise = pd.Series([0.5 + 0.3 * (-1) ** row for row in range(rows)])
    path = a_colleagues(tmp_path, noise, "linear_accuracy")
    assert main(["verify", str(path)]) == 0
    said = capsys.readouterr().out
    assert "1,218 of 1,245 numbers of 27 runs are those of ours, to the last digit" in said
    assert "within ±1.4" in said
    assert main(["verify", str(path), "--margin", "linear_accuracy=0.2"]) == 1
    assert "not shown to be within ±0.2" in capsys.readouterr().out


def test_a_table_that_scatters_too_much_is_undecided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hardly a difference in the mean, but larger ones than the margin between single seeds."""
    seeds = records.read_table(KEPT)["seed"]
    path = a_colleagues(tmp_path, (seeds - 0.9) * 2.0, "linear_accuracy")
    assert main(["verify", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("undecided linear_accuracy") for line in lines)
    assert lines[-1].startswith("nothing is shown to be wrong, but")


def test_one_run_of_other_numbers_among_exact_ones_fails(tmp_path: Path) -> None:
    """However small the difference: the other runs show that training repeats exactly."""
    table = records.read_table(KEPT)
    one = ((table["loss"] == "simple") & (table["seed"] == 1)).astype(float)
    path = a_colleagues(tmp_path, one * 1e-3, "tolerance")
    (detail,) = failed(verified(path))["same numbers"]
    assert detail.startswith("translated_digits/simple, seed 1: tolerance is 0.")
    # Last digits may differ between CPUs, and baselines are the same everywhere.
    assert verified(a_colleagues(tmp_path, one * 1e-12, "tolerance")).holds
    trained = (~table["loss"].isin(["raw_pixels", "untrained"])).astype(float)
    assert verified(a_colleagues(tmp_path, trained * 1e-3, "tolerance")).holds


def test_a_colleagues_table_that_differs_fails_and_names_the_cells(tmp_path: Path) -> None:
    found = verified(a_colleagues(tmp_path, 0.3, "uniformity"))
    (details,) = failed(found).values()
    assert len(details) == 7
    assert "translated_digits/contrastive at 0.07: +0.3, shown to be beyond ±0.1" in details


def test_other_records_are_compared_by_name(whole: Path, tmp_path: Path) -> None:
    theirs = a_colleagues(tmp_path, 0.3, "uniformity")
    assert "uniformity" in failed(verified(whole, against=theirs))
    for other in (whole, exported.MEASURED / "demo", exported.MEASURED, KEPT):
        assert outcomes(verified(whole, against=other))["same numbers"] == "holds"
    with pytest.raises(StudyError, match=r"--against .*: has neither records\.csv nor"):
        verified(whole, against=tmp_path)


def test_a_table_with_impossible_values_fails(tmp_path: Path) -> None:
    found = verified(a_colleagues(tmp_path, 50.0, "knn_accuracy"))
    assert "is not between 0 and 100" in failed(found)["schema"][0]


def test_a_study_without_records_of_ours_is_said_not_to_be_compared(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_text(KEPT.read_text().replace("\ndemo,", "\nother,"))
    found = verified(path)
    assert found.holds
    assert "we keep no records of a study other" in found.checks[-1].said


def test_the_folder_of_a_study_is_checked_too() -> None:
    found = verified(exported.MEASURED / "demo")
    assert found.holds
    assert "contents" not in outcomes(found)
    assert outcomes(found)["tables"] == "holds"


@pytest.fixture
def bad_inputs(tmp_path: Path) -> list[list[str]]:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    newer = tmp_path / "newer"
    newer.mkdir()
    index = {"format": "tausweep-archive-2", "version": "9.9.9", "study": "demo", "files": {}}
    (newer / archive.CONTENTS).write_text(json.dumps(index))
    return [
        [str(tmp_path / "empty")],
        [str(tmp_path / "bad.zip")],
        [str(tmp_path / "bad.csv")],
        [str(tmp_path / "missing.parquet")],
        [str(newer)],
        ["no-such-study"],
        [str(KEPT), "--against", "nowhere.csv"],
        [str(KEPT), "--break-it"],
    ]


def test_bad_input_is_one_sentence_and_exit_code_2(
    bad_inputs: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in bad_inputs:
        assert main(["verify", *arguments]) == 2, arguments
        said = capsys.readouterr().err
        assert said.startswith("tausweep: error: "), said
        assert len(said.splitlines()) == 1, said
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(KEPT), "--margin", "seed=1"])
    assert ended.value.code == 2
    assert "seed=1 is not allowed" in capsys.readouterr().err
