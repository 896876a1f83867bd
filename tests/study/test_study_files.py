"""Study files are read as written: YAML 1.2's numbers, JSON with tabs; else one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tausweep import cli, study
from tausweep.study import StudyError

STUDY: dict[str, Any] = {
    "study": "s",
    "datasets": {"digits": {}},
    "losses": {"simple": None},
    "baselines": False,
}


def written(folder: Path, **sections: str) -> Path:
    """A study file whose last sections are the texts given."""
    lines = [f"{name}: {json.dumps(value)}" for name, value in STUDY.items()]
    lines += [f"{name}: {text}" for name, text in sections.items()]
    file = folder / "s.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_options_of_a_plug_in_are_the_numbers_that_are_written(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def make(temperature, negatives, **options): pass\n")
    file = tmp_path / "s.yaml"
    options = "{a: 1e-3, b: 010, c: 0x1F, d: 0o17, e: -2.5E+3, f: 1:30, g: 2024-01-01, h: .5, i: 7}"
    module = tmp_path / "m.py"
    file.write_text(
        "study: s\ndatasets: {digits: {}}\nbaselines: false\n"
        f"losses: {{mine: {{module: {module}, options: {options}}}}}\n"
    )
    (run,) = [run for run in study.load(file).runs() if run.seed == 0]
    assert run.settings.loss.options == {
        "a": 0.001, "b": 10, "c": 31, "d": 15, "e": -2500.0, "f": "1:30", "g": "2024-01-01",
        "h": 0.5, "i": 7,
    }  # fmt: skip


def test_seeds_and_epochs_are_read_as_written_or_refused(tmp_path: Path) -> None:
    assert study.load(written(tmp_path, seeds="[010]")).seeds == (10,)
    with pytest.raises(StudyError, match="1:30"):
        study.load(written(tmp_path, pretrain="{epochs: 1:30}"))
    assert (
        study.load(written(tmp_path, pretrain="{lr: 1e-3}")).runs()[0].settings.pretrain.lr == 1e-3
    )


def test_a_json_study_may_be_indented_by_tabs(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps(STUDY, indent="\t"))
    assert study.load(file) == study.parse(STUDY)
    file.write_text('{\n\t"study": "s",\n\t"study": "t"\n}')
    with pytest.raises(StudyError, match="is listed twice"):
        study.load(file)


def test_a_study_that_is_nested_too_deeply_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="nested too deeply"):
        study.load(written(tmp_path, views="[" * 3000 + "]" * 3000))


@pytest.mark.parametrize("body", ["[" * 300 + "]" * 300, "{a: " * 300 + "1" + "}" * 300, "&x [*x]"])
def test_options_that_no_json_would_hold_are_refused_too(tmp_path: Path, body: str) -> None:
    with pytest.raises(StudyError, match="nested too deeply; 60 levels are allowed"):
        study.load(written(tmp_path, views=f"{{a: {body}}}"))


def test_a_list_is_called_a_list(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"views.crop_ratio: 3 is not allowed; .* a list"):
        study.load(written(tmp_path, views="{crop_ratio: 3}"))


def test_a_path_is_the_same_however_it_is_spelt() -> None:
    def digest(path: str) -> str:
        datasets = {"mine": {"source": {"kind": "folder", "path": path}}}
        return study.parse(STUDY | {"datasets": datasets}).runs()[0].settings.digest

    spelt = ("data/odd", "./data/odd/", "data//odd", "data/x/../odd")
    assert len({digest(path) for path in spelt}) == 1
    assert digest("data/odd") != digest("data/even")


@pytest.mark.parametrize("threads", ["-1", "0"])
def test_a_number_of_threads_below_one_is_refused(
    threads: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(written(tmp_path))
    for command in (["prepare", file], ["pretrain", file, "--run", "digits/simple/none/seed0"]):
        results = ["--results", str(tmp_path / "results")]
        with pytest.raises(SystemExit, match="2"):
            cli.main([*command, "--threads", threads, *results])
        assert f"error: --threads: {threads} is not allowed; it should be 1 or more" in (
            capsys.readouterr().err
        )


@pytest.mark.parametrize("name", ["null", "True", "1e3", "007", "0.5"])
def test_a_name_that_yaml_takes_for_something_else_is_to_be_quoted(
    tmp_path: Path, name: str
) -> None:
    text = f"study: s\nbaselines: false\nlosses: {{simple: null}}\ndatasets: {{{name}: {{}}}}\n"
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(StudyError, match=r"datasets: the name .* must be text; put it in quotes"):
        study.load(tmp_path / "s.yaml")
