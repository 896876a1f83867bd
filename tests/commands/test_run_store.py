"""A run is trained and measured once for all studies, whatever they call it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lock_holder import holder
from tausweep import study as studies
from tausweep.commands import migrate, run_store, stored_runs
from tausweep.commands.evaluate import evaluate, evaluate_ahead, take_made
from tausweep.commands.import_results import restore
from tausweep.commands.pretrain import pretrain
from tausweep.commands.record_checks import check_run
from tausweep.results import records
from tausweep.storage.layout import File, Layout
from tausweep.study import Run
from tausweep.training.pretrain import StoppedError
from tiny_run import study_file

DIGITS = {"source": {"kind": "digits"}, "train_limit": 130, "test_limit": 100}
OTHER: dict[str, Any] = {"study": "other", "datasets": {"numbers": DIGITS}}
"""The run of the tiny study, in a study and of a dataset with other names."""

HOLD = """
from tausweep.storage.run_lock import run_lock
with run_lock(folder, run="x of one"):
    hold()
"""


def silent(line: str) -> None:
    """Says nothing."""


def run_of(file: str) -> Run:
    (run,) = studies.load(file).runs()
    return run


def train(file: str, results: Path, say: Callable[[str], None] = silent) -> Path:
    """Train a study's run, and return its folder."""
    run = run_of(file)
    pretrain(
        file, run.id, results, device="cpu", say=say, stop=lambda: False, checkpoint_seconds=1e9
    )
    return Layout(results).run(run)


def measure(file: str, results: Path, say: Callable[[str], None] = silent) -> Path:
    """What the evaluate job does; returns the run's folder."""
    run = run_of(file)
    if not take_made(file, run.id, results, device="cpu", threads=1, say=say):
        evaluate(file, run.id, results, device="cpu", say=say)
    return Layout(results).run(run)


def take(file: str, results: Path) -> list[str]:
    """What is said when a study is planned."""
    said: list[str] = []
    stored_runs.take_all(studies.load(file), Layout(results), said.append)
    return said


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the tiny study."""
    results = tmp_path_factory.mktemp("results")
    file = study_file(results)
    train(file, results)
    measure(file, results)
    return results


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The file of the other study."""
    return study_file(tmp_path / "elsewhere", **OTHER)


def test_a_finished_run_has_its_files_in_its_folder_and_in_the_store(finished: Path) -> None:
    layout, run = Layout(finished), run_of(study_file(finished))
    folder = layout.run(run)
    for entry in (layout.trained(run), layout.evaluated(run)):
        assert (entry / File.ENCODER).samefile(folder / File.ENCODER)
        assert not (entry / File.PRETRAIN).samefile(folder / File.PRETRAIN)
        assert (entry / File.PRETRAIN).read_bytes() == (folder / File.PRETRAIN).read_bytes()
    assert {path.name for path in layout.trained(run).iterdir()} == {
        *run_store.TRAINING, File.STORED,
    }  # fmt: skip
    assert (layout.evaluated(run) / File.EMBEDDINGS).samefile(folder / File.EMBEDDINGS)


def test_the_same_run_under_other_names_is_taken_whole(results: Path, other: str) -> None:
    (said,) = take(other, results)
    assert said.startswith(f"other: took 1 finished run from {results / 'store'}")
    run, layout = run_of(other), Layout(results)
    assert run.id == "numbers/contrastive/0.3/seed0"
    found, content = check_run(run, layout.run(run))
    assert (found.wrong, found.notes) == ([], [])
    assert content is not None
    mine = records.read(layout.run(run_of(study_file(results))) / File.RECORD)
    names = {"study": "other", "dataset": "numbers"}
    assert content["columns"] == mine["columns"] | names
    assert content["evaluate"] == mine["evaluate"]
    assert take(other, results) == []


def test_of_another_probe_the_training_is_taken(results: Path, tmp_path: Path) -> None:
    changed = study_file(tmp_path / "elsewhere", **OTHER, knn={"k": 5})
    (said,) = take(changed, results)
    assert "took 1 trained run from" in said
    run, folder = run_of(changed), Layout(results).run(run_of(changed))
    assert run_store.is_trained(run, folder)
    assert not (folder / File.RECORD).exists()
    measure(changed, results)
    columns = records.read(folder / File.RECORD)["columns"]
    assert columns["settings_digest"] == run.settings.digest


def test_of_another_training_nothing_is_taken(results: Path, tmp_path: Path) -> None:
    changed = study_file(tmp_path / "elsewhere", **OTHER, pretrain={"epochs": 2, "batch_size": 32})
    assert take(changed, results) == []
    assert not Layout(results).run(run_of(changed)).exists()


def test_a_job_takes_both_too(results: Path, other: str) -> None:
    said: list[str] = []
    train(other, results, said.append)
    assert said[-1].endswith(f"already pretrained, taken from {results / 'store'}")
    evaluate_ahead(other, run_of(other).id, results, device="cpu", say=said.append)
    folder = measure(other, results, said.append)
    assert f"already measured, taken from {results / 'store'}" in said[-2]
    assert not any("epoch" in line or line == "knn" for line in said)
    assert records.read(folder / File.RECORD)["columns"]["study"] == "other"


@pytest.mark.parametrize("name", [File.ENCODER, File.EMBEDDINGS, "knn.json", File.RECORD])
def test_what_was_altered_in_the_store_is_named_and_not_taken(
    name: str, results: Path, other: str
) -> None:
    entry = Layout(results).evaluated(run_of(other))
    with (entry / name).open("ab") as file:
        file.write(b" ")
    said = take(other, results)
    assert said[0].startswith(f"{entry / name}: is missing or does not match stored.json")
    assert "took 1 trained run" in said[1]


def test_an_altered_training_is_made_again(results: Path, other: str) -> None:
    layout, run = Layout(results), run_of(other)
    shutil.rmtree(layout.evaluated(run))
    path = layout.trained(run) / File.ENCODER
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\xff")
    assert len(take(other, results)) == 1
    assert not (layout.run(run) / File.ENCODER).exists()
    said: list[str] = []
    folder = train(other, results, said.append)
    assert any("epoch 3/3" in line for line in said)
    assert (folder / File.ENCODER).read_bytes() == path.read_bytes() == whole


def test_runs_on_other_data_are_not_taken(results: Path, other: str) -> None:
    (path,) = results.glob("data/*/manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "0"}))
    assert take(other, results) == []
    path.unlink()  # data that were deleted say nothing against them
    assert len(take(other, results)) == 1


def test_a_run_that_somebody_writes_is_left_to_its_job(results: Path, other: str) -> None:
    layout, run = Layout(results), run_of(other)
    with holder(HOLD, layout.evaluated(run)), holder(HOLD, layout.trained(run)):
        assert take(other, results) == []
    assert len(take(other, results)) == 1


def test_a_training_that_kept_no_weights_does_not_serve_a_run_that_is_measured_along_it(
    results: Path, tmp_path: Path
) -> None:
    along = study_file(tmp_path / "elsewhere", **OTHER, evaluate_at=[0.4])
    assert run_of(along).settings.kept_epochs == (1,)
    assert take(along, results) == []
    folder = train(along, results)
    mine = Layout(results).run(run_of(study_file(results)))
    assert (folder / "encoder-epoch1.safetensors").exists()
    assert Layout(results).trained(run_of(along)).name.endswith("-1")
    # The other way round it does, and its weights stay where they are.
    plain = study_file(tmp_path / "third", **OTHER | {"study": "third"})
    shutil.rmtree(Layout(results).trained(run_of(plain)))
    shutil.rmtree(Layout(results).evaluated(run_of(plain)))
    assert "took 1 trained run" in take(plain, results)[0]
    taken = Layout(results).run(run_of(plain))
    assert {path.name for path in taken.iterdir()} == {*run_store.TRAINING}
    assert (taken / File.ENCODER).read_bytes() == (mine / File.ENCODER).read_bytes()


def test_what_is_to_be_done_again_is_and_changes_no_other_study(results: Path, other: str) -> None:
    take(other, results)
    layout, run = Layout(results), run_of(other)
    folder, mine = layout.run(run), layout.run(run_of(study_file(results)))
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    # As Snakemake does with outputs of a job that it was told to do again.
    stored_runs.redo([folder / File.PRETRAIN])
    for name in run_store.TRAINING:
        (folder / name).unlink()
    (folder / File.RECORD).unlink()
    assert take(other, results) == []
    said: list[str] = []
    train(other, results, said.append)
    assert any("epoch 3/3" in line for line in said)
    assert not (folder / File.RETRAIN).exists()
    assert (folder / File.PRETRAIN).read_bytes() != before[File.PRETRAIN]
    # The stored record is of the other training.
    measure(other, results, said.append)
    assert not any("taken from" in line for line in said)
    stored_runs.redo([folder / File.RECORD])
    (folder / File.RECORD).unlink()
    assert take(other, results) == []
    measure(other, results, said.append)
    assert not any("taken from" in line for line in said)
    assert not (folder / File.REMEASURE).exists()
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before


def test_without_links_files_are_copied_and_taken_all_the_same(
    tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    file = study_file(tmp_path)
    train(file, tmp_path)
    mine = measure(file, tmp_path)
    assert (mine / File.ENCODER).stat().st_nlink == 1
    assert len(take(other, tmp_path)) == 1
    theirs = Layout(tmp_path).run(run_of(other))
    assert (theirs / File.ENCODER).read_bytes() == (mine / File.ENCODER).read_bytes()
    assert check_run(run_of(other), theirs)[0].wrong == []


def test_an_interrupted_training_of_an_earlier_version_goes_on_in_the_store(
    tmp_path: Path,
) -> None:
    file = study_file(tmp_path)
    run, layout, said = run_of(file), Layout(tmp_path), list[str]()

    def stop() -> bool:
        return any("epoch 1/3" in line for line in said)

    with pytest.raises(StoppedError):
        pretrain(
            file, run.id, tmp_path, device="cpu", say=said.append, stop=stop, checkpoint_seconds=0
        )
    entry, folder = layout.trained(run), layout.run(run)
    for path in entry.glob("checkpoint*"):
        path.rename(folder / path.name)
    said.clear()
    train(file, tmp_path, said.append)
    assert any(line.startswith("resumed at epoch 2") for line in said)
    assert not [*folder.glob("checkpoint*"), *entry.glob("checkpoint*")]


def test_migration_names_what_was_altered_and_leaves_it_out(results: Path, other: str) -> None:
    layout, run = Layout(results), run_of(study_file(results))
    shutil.rmtree(layout.store)
    assert migrate.migrate(layout, dry=True) == (
        "tiny: 1 training and 1 finished run would enter the store",
        True,
    )
    path = layout.run(run) / "knn.json"
    whole = path.read_bytes()
    path.write_bytes(whole + b" ")
    for dry in (True, False):
        said, all_of_it = migrate.migrate(layout, dry=dry)
        assert said.splitlines()[-1].startswith(f"left out: {path}: was altered")
        assert not all_of_it
    assert take(other, results) == []
    path.write_bytes(whole)
    assert migrate.migrate(layout, dry=False)[1]
    assert "took 1 finished run" in take(other, results)[0]


def test_migration_finds_which_weights_along_the_training_were_kept(tmp_path: Path) -> None:
    file = study_file(tmp_path, evaluate_at=[0.4])
    train(file, tmp_path)
    folder = measure(file, tmp_path)
    layout, run = Layout(tmp_path), run_of(file)
    (folder / "encoder-epoch1.safetensors").unlink()  # as large ones are, once they are measured
    (folder / File.RECORD).rename(folder / "kept")
    shutil.rmtree(layout.store)
    said, _ = migrate.migrate(layout, dry=False)
    assert said == "tiny: 1 training entered the store"
    assert [path.name for path in layout.trained(run).parent.iterdir()] == [
        layout.trained(run).name
    ]


def test_a_record_without_its_measures_along_the_training_is_not_taken(tmp_path: Path) -> None:
    results, file = tmp_path / "results", study_file(tmp_path, evaluate_at=[0.4])
    train(file, results)
    folder, layout, run = measure(file, results), Layout(results), run_of(file)
    entry = layout.evaluated(run)
    kept = tmp_path / "kept"
    Layout(kept).run(run).mkdir(parents=True)
    shutil.copyfile(folder / File.RECORD, Layout(kept).run(run) / File.RECORD)
    here = Layout(tmp_path / "here")
    assert "1 without along.json, which the study needs: left out" in restore(kept, file, here)
    assert not here.run(run).exists()
    # One that came to the store by an earlier version.
    (entry / File.ALONG).unlink()
    stored = json.loads((entry / File.STORED).read_text())
    run_store.seal(entry, {*stored["files"]} - {File.ALONG}, stored["data_digest"])
    other = study_file(tmp_path / "other", study="other", evaluate_at=[0.4])
    assert "took 1 trained run" in take(other, results)[0]
    assert not (layout.run(run_of(other)) / File.RECORD).exists()
    # Measured once more, it is whole.
    measure(other, results)
    assert (entry / File.ALONG).read_bytes() == (folder / File.ALONG).read_bytes()
    third = study_file(tmp_path / "third", study="third", evaluate_at=[0.4])
    assert "took 1 finished run" in take(third, results)[0]
