"""Only what no study uses is deleted, and only when asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tiny_run
from tausweep.commands import clean
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import Layout
from tausweep.storage.run_lock import run_lock
from tausweep.study import Study, StudyError

DIGITS = {"train_limit": 130, "test_limit": 100}


def study(temperatures: list[float], name: str = "tiny", limit: int = 130) -> Study:
    return tiny_run.of_the_paper(
        study=name,
        datasets={"digits": {"train_limit": limit, "test_limit": 100}},
        losses={"contrastive": {"temperature": temperatures}},
    )


def fill(asked: Study, layout: Layout) -> None:
    """Some file for all that a study has."""
    write_text(layout.study(asked.study) / "study.json", asked.canonical_json())
    for run in asked.runs():
        write_text(layout.run(run) / "record.json", "{}")
        write_text(layout.study(asked.study) / "logs" / run.id / "pretrain.log", "said")
        write_text(layout.prepared(run.settings.dataset) / "manifest.json", "{}")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "results")


def paths(asked: Study, layout: Layout) -> set[str]:
    return {str(left.path.relative_to(layout.root)) for left in clean.leftovers(asked, layout)}


def test_complete_study_has_nothing_to_clean(layout: Layout) -> None:
    asked = study([0.1, 1.0])
    fill(asked, layout)
    assert clean.leftovers(asked, layout) == []
    assert "nothing to clean" in clean.listed([])


def test_removed_temperature_is_listed_and_deleted_with_its_logs(layout: Layout) -> None:
    fill(study([0.1, 1.0]), layout)
    asked = study([1.0])
    gone = "digits/contrastive/0.1/seed0"
    assert paths(asked, layout) == {f"tiny/runs/{gone}", f"tiny/logs/{gone}"}
    found = clean.leftovers(asked, layout)
    text = clean.listed(found)
    assert "2 places" in text
    assert all(left.path.exists() for left in found)
    clean.delete(found, layout)
    assert not (layout.root / "tiny/runs/digits/contrastive/0.1").exists()
    assert (layout.root / "tiny/runs/digits/contrastive/1.0/seed0/record.json").exists()
    assert clean.leftovers(asked, layout) == []


def test_prepared_data_of_another_study_stay(layout: Layout) -> None:
    fill(study([0.1], "other", 140), layout)
    fill(study([0.1], limit=150), layout)
    asked = study([0.1])
    fill(asked, layout)
    (left,) = clean.leftovers(asked, layout)
    assert left.path == layout.prepared(study([0.1], limit=150).runs()[0].settings.dataset)
    assert "no study uses" in left.why


def test_study_that_cannot_be_read_stops_cleaning(layout: Layout) -> None:
    write_text(layout.root / "other/study.json", "{")
    with pytest.raises(StudyError, match="needed to know which data and runs"):
        clean.leftovers(study([0.1]), layout)


def test_run_that_is_being_written_stays(layout: Layout) -> None:
    fill(study([0.1, 1.0]), layout)
    asked = study([1.0])
    found = clean.leftovers(asked, layout)
    (run,) = [left for left in found if "runs" in left.path.parts]
    with run_lock(run.path):
        assert run.path not in {left.path for left in clean.leftovers(asked, layout)}
        with pytest.raises(StudyError, match="is being written now"):
            clean.delete([run], layout)
    assert (run.path / "record.json").exists()


def test_what_killed_processes_left_is_cleaned_but_no_checkpoint_in_use(layout: Layout) -> None:
    asked = study([0.1, 1.0])
    fill(asked, layout)
    complete, interrupted = (layout.run(run) for run in asked.runs())
    (interrupted / "record.json").unlink()
    for folder in (complete, interrupted):
        write_text(folder / "checkpoint.safetensors", "state")
    write_text(complete / ".encoder.safetensors.12.tmp", "half")
    clean.delete(clean.leftovers(asked, layout), layout)
    assert {path.name for path in complete.iterdir()} == {"record.json"}
    assert {path.name for path in interrupted.iterdir()} == {"checkpoint.safetensors"}


def test_weights_of_epochs_that_are_not_measured_are_cleaned(layout: Layout) -> None:
    asked = study([1.0]).model_copy(update={"evaluate_at": (0.5, 1.0)})
    fill(asked, layout)
    folder = layout.run(asked.runs()[0])
    for epoch in (50, 100):
        write_text(folder / f"encoder-epoch{epoch}.safetensors", "weights")
    write_text(folder / "encoder.safetensors", "weights")
    (found,) = clean.leftovers(asked, layout)
    assert found.path == folder / "encoder-epoch50.safetensors"
    assert "an epoch that the study does not measure" in clean.listed([found])
    assert len(clean.leftovers(study([1.0]), layout)) == 2


def test_stored_runs_that_no_study_names_or_has_are_cleaned(layout: Layout) -> None:
    fill(study([0.1, 1.0]), layout)
    gone, run = study([0.1, 1.0]).runs()
    for one in (gone, run):
        write_text(layout.trained(one) / "encoder.safetensors", "w" * 5000)
        write_text(layout.trained(one) / "stored.json", "{}")
        os.link(
            layout.trained(one) / "encoder.safetensors", layout.run(one) / "encoder.safetensors"
        )
    begun = layout.store / "trained/0000"
    write_text(begun / "checkpoint.safetensors", "state")
    asked = study([1.0])
    name = f"store/trained/{layout.trained(gone).name}"
    assert {"store/trained/0000", name, f"tiny/runs/{gone.id}"} <= paths(asked, layout)
    found = {left.path: left for left in clean.leftovers(asked, layout)}
    assert layout.trained(run) not in found
    assert "interrupted training" in found[begun].why
    assert "no study names or has" in found[layout.trained(gone)].why
    # The bytes of a file with two names are free once.
    assert 5000 < sum(left.size for left in found.values()) < 6000
    # Where a run of a study that is not known has it, it stays, and frees nothing.
    unknown = layout.root / "unknown/runs/digits/simple/none/seed0/encoder.safetensors"
    unknown.parent.mkdir(parents=True)
    os.link(layout.trained(gone) / "encoder.safetensors", unknown)
    found = {left.path: left for left in clean.leftovers(asked, layout)}
    assert layout.trained(gone) not in found
    assert found[layout.run(gone)].size < 100
    clean.delete([*found.values()], layout)
    assert unknown.read_text() == "w" * 5000
    assert (layout.run(run) / "encoder.safetensors").exists()


def test_stored_runs_of_another_study_stay(layout: Layout) -> None:
    other = study([0.5], "other")
    fill(other, layout)
    for entry in (layout.trained(other.runs()[0]), layout.evaluated(other.runs()[0])):
        write_text(entry / "stored.json", "{}")
    asked = study([1.0])
    fill(asked, layout)
    assert clean.leftovers(asked, layout) == []


def test_link_is_removed_and_not_what_it_points_at(layout: Layout, tmp_path: Path) -> None:
    fill(study([1.0]), layout)
    elsewhere = tmp_path / "elsewhere"
    write_text(elsewhere / "record.json", "{}")
    link = layout.root / "tiny/runs/digits/contrastive/0.1/seed0"
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    clean.delete(clean.leftovers(study([1.0]), layout), layout)
    assert not link.is_symlink()
    assert (elsewhere / "record.json").exists()
