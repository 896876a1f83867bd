"""A record that pretraining makes ahead is the one that the evaluation makes, or is not taken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tausweep import study as studies
from tausweep.commands import ahead
from tausweep.commands.evaluate import evaluate, evaluate_ahead, take_made
from tausweep.commands.pretrain import pretrain
from tausweep.machine import instructions
from tausweep.results import records
from tausweep.storage import provenance
from tausweep.storage.layout import File, Layout
from tiny_run import study_file

RUN = "digits/contrastive/0.3/seed0"


def silent(line: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with one run that is trained, and measured ahead of its evaluation."""
    results = tmp_path_factory.mktemp("results")
    file = study_file(results)
    pretrain(
        file, RUN, results, device="cpu", say=silent, stop=lambda: False, checkpoint_seconds=1e9
    )
    (results / "tiny/runs" / RUN / File.CHECKPOINT).write_bytes(b"of the training")
    evaluate_ahead(file, RUN, results, device="cpu", say=silent)
    return results


@pytest.fixture
def results(trained: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def take(results: Path, file: str | None = None, **given: Any) -> bool:
    """Take the record that was made ahead."""
    own: dict[str, Any] = {"device": "auto", "threads": torch.get_num_threads()}
    return take_made(file or study_file(results), RUN, results, say=silent, **own | given)


def folder_of(results: Path) -> Path:
    """The run's folder."""
    return results / "tiny/runs" / RUN


def test_it_is_the_record_that_the_evaluation_makes(results: Path, tmp_path: Path) -> None:
    folder = folder_of(results)
    assert not (folder / File.RECORD).exists(), "it is Snakemake's sign that the job is done"
    assert take(results)
    taken = records.read(folder / File.RECORD)
    assert not {File.AHEAD, File.CHECKPOINT} & {path.name for path in folder.iterdir()}
    for name in {*taken["digests"]["files"]} - {File.PRETRAIN, File.SETTINGS, File.HISTORY}:
        if name != File.ENCODER:
            (folder / name).unlink()
    evaluate(study_file(results), RUN, results, device="cpu", say=silent)
    made = records.read(folder / File.RECORD)
    assert made["columns"] == taken["columns"]
    assert made["digests"]["files"] == taken["digests"]["files"]


def edited(name: str) -> Callable[[Path], None]:
    """Puts a byte at the end of a file of the run."""

    def edit(results: Path) -> None:
        with (folder_of(results) / name).open("ab") as file:
            file.write(b" ")

    return edit


def trained_again(results: Path) -> None:
    """Pretraining has ended once more since, at another time."""
    path = folder_of(results) / File.PRETRAIN
    described = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(described | {"ended": "later"}), encoding="utf-8")


def other_data(results: Path) -> None:
    """The data are prepared anew, from other images."""
    (path,) = results.glob("data/*/manifest.json")
    made = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(made | {"digest": "0"}), encoding="utf-8")


def better_number(results: Path) -> None:
    """The record says more than was measured."""
    path = folder_of(results) / File.AHEAD
    content = json.loads(path.read_text(encoding="utf-8"))
    content["columns"]["linear_accuracy"] = 99.9
    path.write_text(json.dumps(content), encoding="utf-8")


def no_json(results: Path) -> None:
    """The process was killed while it wrote by a program that does not write atomically."""
    (folder_of(results) / File.AHEAD).write_text("{", encoding="utf-8")


def assert_not_taken(results: Path, **given: Any) -> None:
    """The run is to be measured: there is no record, and none ahead."""
    assert not take(results, **given)
    assert not {File.AHEAD, File.RECORD} & {path.name for path in folder_of(results).iterdir()}


@pytest.mark.parametrize(
    "change",
    [edited(File.ENCODER), edited(File.EMBEDDINGS), edited("knn.json"), trained_again, other_data,
     better_number, no_json],
    ids=["encoder", "embeddings", "measure", "training", "data", "number", "damaged"],
)  # fmt: skip
def test_with_other_files_it_is_not_taken(results: Path, change: Callable[[Path], None]) -> None:
    change(results)
    assert_not_taken(results)


def test_of_other_settings_it_is_not_taken(results: Path) -> None:
    assert_not_taken(results, file=study_file(results, knn={"k": 5}))


@pytest.mark.parametrize("given", [{"threads": 7}, {"device": "cuda"}], ids=str)
def test_of_another_machine_it_is_not_taken(results: Path, given: dict[str, Any]) -> None:
    assert_not_taken(results, **given)


def test_of_other_code_or_instructions_it_is_not_taken(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = studies.load(study_file(results)).runs()

    def fits() -> bool:
        threads = torch.get_num_threads()
        return ahead.fitting(run, Layout(results), device="cpu", threads=threads) is not None

    assert fits()
    with monkeypatch.context() as patched:
        patched.setattr(provenance, "code_version", lambda stage: "other")
        assert not fits()
    with monkeypatch.context() as patched:
        patched.setattr(instructions, "in_use", lambda: "other")
        assert not fits()


def test_an_evaluation_that_fails_ahead_costs_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tausweep.measures import evaluate as measures

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    folder, said = folder_of(results), list[str]()
    ahead.forget(folder)
    shutil.rmtree(results / "store")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(measures, "evaluate", full)
    evaluate_ahead(study_file(results), RUN, results, device="cpu", say=said.append)
    assert "not measured ahead of its evaluation: " in said[-1]
    assert "No space left" in said[-1]
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_taking_it_imports_no_torch(results: Path) -> None:
    code = (
        "import sys\nfrom tausweep.cli import main\n"
        f"code = main(['evaluate', {study_file(results)!r}, '--run', {RUN!r},"
        f" '--results', {str(results)!r}])\n"
        "sys.exit(code or bool({'torch', 'numpy', 'pandas'} & sys.modules.keys()))"
    )
    # As the jobs that Snakemake starts, and as this process measured.
    held = {**os.environ, instructions.VARIABLE: instructions.in_use()}
    threads = str(torch.get_num_threads())
    assert threads == "1", "the default of the command"
    subprocess.run([sys.executable, "-c", code], check=True, env=held)
    assert (folder_of(results) / File.RECORD).exists()
