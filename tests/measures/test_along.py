"""Measures along training leave the training alone, and are those of a run that had ended there."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from tausweep import study as studies
from tausweep.commands import evaluate as evaluating
from tausweep.commands import pretrain as pretraining
from tausweep.commands.collect import collect
from tausweep.commands.filling import Filling, Training
from tausweep.commands.partial import partial
from tausweep.commands.prepare import prepared_data
from tausweep.measures import along
from tausweep.results import records
from tausweep.storage.layout import Layout, kept_weights
from tausweep.study import LinearSettings, RunSettings, StudyError
from tausweep.training.pretrain import StoppedError
from tiny_run import run_settings, study_file

RUN = "digits/hard_contrastive/0.3/seed0"
EPOCHS = 4
STEPS = 5
"""130 images in batches of 32."""
LOSSES = {"hard_contrastive": {"temperature": 0.3, "negatives": 20}}


def study(folder: Path, **changes: Any) -> str:
    """A study file of one run."""
    own = {
        "losses": LOSSES,
        "pretrain": {"epochs": EPOCHS, "batch_size": 32},
        # All of them, so that the sample is the same whatever the length of the training.
        "separation": {"anchors": 130},
    }
    return study_file(folder, **(own | changes))


def train(folder: Path, stops: tuple[int, ...] = (), **changes: Any) -> Path:
    """Pretrain the run, stopped after so many steps of each start; returns its folder."""
    path = study(folder, **changes)

    def start(stop: Callable[[], bool]) -> None:
        pretraining.pretrain(
            path, RUN, folder, device="cpu", say=lambda line: None, stop=stop,
            checkpoint_seconds=1e9,
        )  # fmt: skip

    for steps in stops:
        count = itertools.count(1)
        with pytest.raises(StoppedError):
            start(lambda count=count, steps=steps: next(count) >= steps)  # type: ignore[misc]
    start(lambda: False)
    return Layout(folder).run(studies.load(path).runs()[0])


def evaluate(folder: Path, **changes: Any) -> list[str]:
    """Evaluate the run; what was said."""
    said: list[str] = []
    evaluating.evaluate(study(folder, **changes), RUN, folder, device="cpu", say=said.append)
    return said


def rows(folder: Path, **changes: Any) -> dict[int, dict[str, Any]]:
    """The run's rows of ``along.csv`` by epoch."""
    run = studies.load(study(folder, **changes)).runs()[0]
    found = records.along(run, Layout(folder).run(run) / "along.json")
    return {row["epoch"]: row for row in found}


def copied(source: Path, target: Path) -> Path:
    """A copy of a folder of results."""
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return target


AT: dict[str, Any] = {"evaluate_at": [0.25, 0.5]}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is measured along its training, trained and evaluated. Copy it, don't edit it."""
    folder = tmp_path_factory.mktemp("asked")
    train(folder, **AT)
    evaluate(folder, **AT)
    return folder


def untimed(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "images_per_second")}
        for line in lines
    ]


# ---------------------------------------------------------------------------------- the training


@pytest.mark.parametrize(
    "stops",
    [(), (2,), (STEPS,), (STEPS + 2, 1), (1, 4, 5, 6)],
    ids=["undisturbed", "before", "on an epoch's end", "after, twice", "four times"],
)
def test_a_run_is_the_same_bytes_with_and_without_and_keeps_all_epochs_across_stops(
    stops: tuple[int, ...], asked: Path, tmp_path: Path
) -> None:
    plain = train(tmp_path / "plain")
    whole = Layout(asked).run(studies.load(asked / "study.yaml").runs()[0])
    stopped = train(tmp_path / "stopped", stops, **AT)
    for folder in (whole, stopped):
        for name in ("encoder.safetensors", "settings.json"):
            assert (folder / name).read_bytes() == (plain / name).read_bytes()
        assert untimed(folder) == untimed(plain)
        assert [*kept_weights(folder)] == [1, 2]
    for epoch, path in kept_weights(stopped).items():
        assert path.read_bytes() == kept_weights(whole)[epoch].read_bytes()
    assert kept_weights(plain) == {}


def test_runs_that_fill_a_given_time_keep_the_same(asked: Path, tmp_path: Path) -> None:
    filling = Filling(1e18, 0.0, 1, "cpu", 1, False, False, 1e9)
    run = studies.load(study(tmp_path, **AT)).runs()[0]
    data, layout = prepared_data([run], tmp_path), Layout(tmp_path)
    training = Training(run, data, layout, torch.device("cpu"), filling, lambda line: None)
    while (trained := training.step()) is None:
        pass
    training.finish(trained)
    (whole,) = asked.glob("tiny/runs/*/*/*/*")
    for name in ("encoder", "encoder-epoch1", "encoder-epoch2"):
        path = Layout(tmp_path).run(run) / f"{name}.safetensors"
        assert path.read_bytes() == (whole / path.name).read_bytes()


def test_what_is_kept_is_what_a_shorter_run_ends_with(asked: Path, tmp_path: Path) -> None:
    """The learning rate falls in epochs 3 and 4: until then a run of 2 epochs is the same."""
    shorter = train(tmp_path, pretrain={"epochs": 2, "batch_size": 32, "milestones": []})
    ended = load_file(shorter / "encoder.safetensors")
    kept = load_file(kept_weights(next(asked.glob("tiny/runs/*/*/*/*")))[2])
    assert kept.keys() == ended.keys()
    assert all((kept[name] == ended[name]).all() for name in ended)


def test_settings_of_the_training_do_not_know_of_it(tmp_path: Path) -> None:
    plain = studies.load(study(tmp_path)).runs()[0].settings
    with_it = studies.load(study(tmp_path, **AT)).runs()[0].settings
    assert with_it.pretrain_digest == plain.pretrain_digest
    assert with_it.pretrain_json() == plain.pretrain_json()
    assert with_it.digest != plain.digest
    assert "evaluate_at" not in plain.evaluate_json()


def test_weights_of_epochs_that_are_not_asked_for_go_when_a_run_is_trained_again(
    asked: Path, tmp_path: Path
) -> None:
    copied(asked, tmp_path)
    (folder,) = tmp_path.glob("tiny/runs/*/*/*/*")
    (folder / "pretrain.json").unlink()
    train(tmp_path, evaluate_at=[0.5])
    assert [*kept_weights(folder)] == [2]
    (folder / "pretrain.json").unlink()
    train(tmp_path, evaluate_at=[0.5], pretrain={"epochs": 4, "batch_size": 32, "lr": 1e30})
    described = json.loads((folder / "pretrain.json").read_text())
    assert described["outcome"] == "diverged"
    assert kept_weights(folder) == {}


# ---------------------------------------------------------------------------------- the measures


def test_a_row_is_what_the_record_of_a_run_of_that_length_says(asked: Path, tmp_path: Path) -> None:
    length: dict[str, Any] = {"pretrain": {"epochs": 2, "batch_size": 32, "milestones": []}}
    shorter = train(tmp_path, **length)
    evaluate(tmp_path, **length)
    ended = records.read(shorter / "record.json")["columns"]
    row = rows(asked, **AT)[2]
    assert row.keys() == {*records.ALONG_IDENTITY, *studies.ALONG}
    assert row["share"] == 0.5
    for name in {*studies.ALONG} - {"linear_accuracy_short"}:
        # Sums over the anchors of the separation run in another order.
        assert row[name] == pytest.approx(ended[name], rel=1e-12, abs=1e-12), name


def test_the_last_row_is_the_record(asked: Path) -> None:
    (path,) = asked.glob("tiny/runs/*/*/*/*/record.json")
    ended = records.read(path)["columns"]
    row = rows(asked, **AT)[EPOCHS]
    assert row["share"] == 1.0
    for name in {*studies.ALONG} - {"linear_accuracy_short"}:
        assert row[name] == ended[name], name
    # 500 steps are more than the whole probe has here, on the same features without their flips.
    assert abs(row["linear_accuracy_short"] - ended["linear_accuracy"]) < 15


def test_the_short_probe_is_a_tenth_of_the_whole_or_500_steps() -> None:
    whole = LinearSettings()
    assert along.short(whole, 50_000).epochs == 10
    assert along.short(whole, 1437).epochs == 84
    assert along.short(whole, 200).epochs == 100
    assert along.short(LinearSettings(epochs=3), 50_000).epochs == 3
    assert along.short(whole, 50_000).model_copy(update={"epochs": 100}) == whole
    rates = [along.short(whole, 50_000).lr_at(epoch) for epoch in (3, 4, 6, 8)]
    assert rates == pytest.approx([30.0, 6.0, 1.2, 0.24])


def test_a_second_evaluation_measures_nothing_and_a_changed_setting_measures_all(
    asked: Path, tmp_path: Path
) -> None:
    copied(asked, tmp_path)
    before = rows(tmp_path, **AT)
    assert not [line for line in evaluate(tmp_path, **AT) if line.startswith("along")]
    assert rows(tmp_path, **AT) == before
    said = evaluate(tmp_path, **AT, knn={"k": 3})
    assert len([line for line in said if line.startswith("along")]) == 3
    after = rows(tmp_path, **AT, knn={"k": 3})
    different = {name for e in after for name in after[e] if after[e][name] != before[e][name]}
    assert different == {"knn_accuracy"}


def test_large_weights_go_when_they_are_measured_and_their_rows_stay(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(asked, tmp_path)
    (folder,) = tmp_path.glob("tiny/runs/*/*/*/*")
    before = rows(tmp_path, **AT)
    # Another code is no reason to lose what cannot be measured again.
    monkeypatch.setattr(along, "KEPT_BYTES", max(p.stat().st_size for p in folder.iterdir()))
    evaluate(tmp_path, **AT)
    assert [*kept_weights(folder)] == [1, 2]
    monkeypatch.setattr(along, "KEPT_BYTES", 1000)
    evaluate(tmp_path, **AT)
    assert kept_weights(folder) == {}
    assert (folder / "encoder.safetensors").exists()
    assert rows(tmp_path, **AT) == before
    monkeypatch.setattr(along, "code_version", lambda stage: "other")
    said = evaluate(tmp_path, **AT)
    assert len([line for line in said if "stays as it was measured by other code" in line]) == 2
    assert rows(tmp_path, **AT) == before
    # Other settings are: numbers of two kinds of kNN must not stand in one table.
    said = evaluate(tmp_path, **AT, knn={"k": 3})
    left_out = [line for line in said if "is left out: its weights were not kept" in line]
    assert len(left_out) == 2
    assert [*rows(tmp_path, **AT, knn={"k": 3})] == [EPOCHS]


def test_an_epoch_asked_for_after_it_had_passed_is_named_and_the_end_is_there(
    tmp_path: Path,
) -> None:
    folder = train(tmp_path)
    evaluate(tmp_path)
    assert not (folder / "along.json").exists()
    said = evaluate(tmp_path, **AT)
    assert [line.split(":")[0] for line in said if "left out" in line] == [
        "epoch 1 is left out",
        "epoch 2 is left out",
    ]
    assert "--forcerun" in "".join(said)
    assert [*rows(tmp_path, **AT)] == [EPOCHS]
    content = json.loads((folder / "along.json").read_text())
    assert content["not_kept"] == [{"share": 0.25, "epoch": 1}, {"share": 0.5, "epoch": 2}]
    # Trained again on demand, it has them.
    (folder / "pretrain.json").unlink()
    train(tmp_path, **AT)
    evaluate(tmp_path, **AT)
    assert [*rows(tmp_path, **AT)] == [1, 2, EPOCHS]


@pytest.mark.parametrize("fault", ["damaged", "of other settings"])
def test_weights_that_cannot_be_trusted_are_not_measured(
    fault: str, asked: Path, tmp_path: Path
) -> None:
    copied(asked, tmp_path)
    (folder,) = tmp_path.glob("tiny/runs/*/*/*/*")
    (folder / "along.json").unlink()
    path = kept_weights(folder)[1]
    if fault == "damaged":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        other = train(tmp_path / "other", **AT, pretrain={"epochs": 4, "lr": 0.5})
        path.write_bytes(kept_weights(other)[1].read_bytes())
    said = evaluate(tmp_path, **AT)
    word = "damaged" if fault == "damaged" else "its settings_digest is"
    assert [line for line in said if line.startswith("epoch 1 is left out") and word in line]
    assert [*rows(tmp_path, **AT)] == [2, EPOCHS]


def test_a_baseline_has_no_training_to_be_measured_along(tmp_path: Path) -> None:
    asked = studies.load(study(tmp_path, **AT, losses={"untrained": None, **LOSSES}))
    measured = {run.loss: bool(run.settings.along) for run in asked.runs()}
    assert measured == {"untrained": False, "hard_contrastive": True}


# ------------------------------------------------------------------------------------- the table


def test_table_reads_back_and_goes_when_it_is_not_asked_for(asked: Path, tmp_path: Path) -> None:
    copied(asked, tmp_path)
    path, table = study(tmp_path, **AT), tmp_path / "tiny/records.csv"
    evaluate(tmp_path, **AT)
    collect(path, tmp_path, table)
    frame = records.read_along(tmp_path / "tiny/along.csv")
    assert frame is not None
    assert list(frame.columns) == [*records.ALONG_IDENTITY, *studies.ALONG]
    expected = pd.DataFrame(rows(tmp_path, **AT).values())
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False, check_exact=True)
    (run,) = tmp_path.glob("tiny/runs/*/*/*/*")
    (run / "along.json").write_text("{")
    with pytest.raises(StudyError, match=r"along\.json: is missing or damaged"):
        collect(path, tmp_path, table)
    evaluate(tmp_path)
    collect(study(tmp_path), tmp_path, table)
    assert records.read_along(tmp_path / "tiny/along.csv") is None


def test_figure_and_page_are_there_as_long_as_the_study_asks(asked: Path, tmp_path: Path) -> None:
    copied(asked, tmp_path)
    figure, page = (
        tmp_path / "tiny/partial/figures/along.svg",
        tmp_path / "tiny/partial/report.html",
    )
    for changes in (AT, {}):
        path = study(tmp_path, **changes)
        evaluate(tmp_path, **changes)
        partial(path, tmp_path)
        assert figure.exists() == bool(changes)
        assert ("Measures along training" in page.read_text("utf-8")) == bool(changes)


def test_what_is_no_such_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "along.csv"
    path.write_text("study,dataset\na,b\n")
    with pytest.raises(StudyError, match="it has no column loss"):
        records.read_along(path)
    path.write_text("")
    with pytest.raises(StudyError, match="not a table along training"):
        records.read_along(path)


# ----------------------------------------------------------------------------------- the setting


def settings_at(shares: Any, epochs: int = 100) -> RunSettings:
    return run_settings("simple", None, pretrain={"epochs": epochs}, evaluate_at=shares)


@pytest.mark.parametrize(
    ("shares", "epochs", "expected"),
    [
        ([0.25, 0.5, 1.0], 200, {50: 0.25, 100: 0.5, 200: 1.0}),
        ([0.25, 0.5], 200, {50: 0.25, 100: 0.5, 200: 1.0}),
        ([1], 200, {200: 1.0}),
        (None, 200, {}),
        # Too short for all of them: the largest share counts, none falls before the first epoch.
        ([0.1, 0.25, 0.5], 2, {1: 0.5, 2: 1.0}),
        ([0.25, 0.5], 1, {1: 1.0}),
        ([0.5], 0, {}),
    ],
)
def test_shares_are_epochs(shares: Any, epochs: int, expected: dict[int, float]) -> None:
    assert settings_at(shares, epochs).along == expected


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ([], "at least one share is needed"),
        ([0.5, 0.25], "the shares must increase"),
        ([0.5, 0.5], "the shares must increase"),
        ([0.0, 1.0], r"evaluate_at\[0\]: 0.0 is not allowed; it should be greater than 0"),
        ([0.5, 1.5], r"evaluate_at\[1\]: 1.5 is not allowed; it should be less than or equal to 1"),
        ([True], r"evaluate_at\[0\]: true is not allowed: a number is needed"),
        (0.5, "evaluate_at: 0.5 is not allowed"),
        ("end", "evaluate_at"),
    ],
)
def test_shares_that_make_no_sense_are_refused_in_a_sentence(shares: Any, sentence: str) -> None:
    with pytest.raises(StudyError, match=sentence):
        settings_at(shares)
