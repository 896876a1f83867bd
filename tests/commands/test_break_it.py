"""Every damage is noticed, and by the check that is there for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import exported
from tausweep.cli import main
from tausweep.commands import break_it
from tausweep.results.equivalence import EQUIVALENCE_MARGINS

EXPECTED = {
    "one number of a record": {"contents", "records"},
    "one bit of a file": {"contents", "run files"},
    "a file is missing": {"contents"},
    "a digest in the RO-Crate": {"contents", "metadata"},
    "one number of records.csv, and all lists of files adapted to it": {"tables"},
    "a settings digest, its record sealed again and all lists adapted": {"settings"},
    "one number of a record and of both tables, sealed again and all lists adapted": {
        "same numbers"
    },
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported.demo(tmp_path_factory.mktemp("break") / "demo")


@pytest.mark.parametrize("damage", break_it.DAMAGES, ids=lambda damage: damage.name)
def test_a_damage_is_noticed(damage: break_it.Damage, whole: Path) -> None:
    assert {known.name for known in break_it.DAMAGES} == EXPECTED.keys()
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    noticed = break_it.caught_by(damage, whole, EQUIVALENCE_MARGINS)
    assert {*noticed} >= EXPECTED[damage.name]
    # Where the lists were adapted, they cannot be what notices it.
    assert ("contents" in noticed) == ("lists" not in damage.name)
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_what_is_noticed_is_printed(
    whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(break_it, "DAMAGES", break_it.DAMAGES[:2])
    assert main(["verify", str(whole), "--break-it"]) == 0
    said = capsys.readouterr().out
    assert "2 of 2 damages are noticed" in said
    assert "one bit of a file\n    noticed by contents, run files" in said


def test_a_damage_that_is_missed_is_a_failure(
    whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(break_it, "DAMAGES", (break_it.Damage("nothing", lambda root: None),))
    assert main(["verify", str(whole), "--break-it"]) == 1
    assert "nothing\n    NOT NOTICED" in capsys.readouterr().out


def test_what_does_not_hold_is_not_damaged_further(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / "demo")
    (tmp_path / "demo/demo/claims.md").write_text("mine")
    assert main(["verify", str(tmp_path / "demo"), "--break-it"]) == 2
    assert "does not hold as it is" in capsys.readouterr().err
