"""`tausweep init` writes a study file that runs as it is, and never over a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tausweep import study as studies
from tausweep.cli import main
from tausweep.commands import init, plan
from tausweep.storage import shipped
from tausweep.storage.layout import Layout


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_study_is_written_that_a_plan_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"tausweep (\w+) (\S+)", said) == [
        ("plan", "study.yaml"), ("run", "study.yaml")
    ]  # fmt: skip
    asked = studies.load("study.yaml")
    assert asked.study == "study"
    plan.check(asked, Layout())
    assert [path.name for path in Path().iterdir()] == ["study.yaml"]


def test_what_is_commented_out_is_a_study_too() -> None:
    """Each comment that is a setting can be uncommented, all of them at once."""
    lines = []
    for line in shipped.path(init.TEMPLATE).read_text("utf-8").splitlines():
        setting = re.fullmatch(r"( *)# ( *\w+:( .*)?)", line)
        lines.append(setting[1] + setting[2] if setting else line)
    text = "\n".join(lines)
    for name in ("photos", "cifar10", "hard_contrastive", "hard_simple", "evaluate_at"):
        assert re.search(rf"^ *{name}:", text, re.MULTILINE)
    # A plug-in's file would have to be there.
    text = re.sub(r"^ +mine: .*\n", "", text, flags=re.MULTILINE)
    Path("all.yaml").write_text(text)
    asked = studies.load("all.yaml")
    assert {*asked.datasets} == {"translated_digits", "photos", "cifar10"}


def test_a_file_that_is_there_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Path("study.yaml").write_text("study: precious\n")
    assert main(["init"]) == 2
    assert capsys.readouterr().err == (
        "tausweep: error: study.yaml: already exists; nothing was written\n"
    )
    assert Path("study.yaml").read_text() == "study: precious\n"


def test_a_link_that_leads_nowhere_is_not_replaced() -> None:
    Path("study.yaml").symlink_to("elsewhere.yaml")
    assert main(["init"]) == 2
    assert Path("study.yaml").is_symlink()


@pytest.mark.parametrize("name", ["photos", "2024", "true", "1e3", "a.b-c_d"])
def test_the_study_is_called_after_its_file(name: str) -> None:
    assert main(["init", f"studies/{name}.yaml"]) == 0
    assert studies.load(f"studies/{name}.yaml").study == name


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("my study.yaml", "my study: a study cannot be called that"),
        ("data.yaml", "data: a study cannot be called that"),
        ("notes.txt", "notes.txt: a study file ends in .yaml or .yml"),
    ],
)
def test_a_file_that_no_study_can_be_called_after_is_refused(
    file: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", file]) == 2
    assert says in capsys.readouterr().err
    assert not Path(file).exists()
