"""The whole command on a few small images: an answer, a stop, its going on, and bad input."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tausweep import cli
from tausweep import study as studies
from tausweep.commands.choosing import beginning, pace, plan, session
from tausweep.results import records
from tausweep.storage.layout import File, Layout

SIDE = 12
RECORDS = "coarse/runs/*/*/*/*/record.json"
ASKED = ("--image-size", "8", "--encoder", "resnet10:8", "--minutes", "6", "--yes")


def stripes(folder: Path, count: int) -> Path:
    """Images of two classes: upright and lying stripes under noise."""
    draws = np.random.default_rng(0)
    for name in ("lying", "upright"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            wave = np.sin(np.arange(SIDE) + draws.uniform(0, 6))
            grey = np.tile(wave, (SIDE, 1)) if name == "upright" else np.tile(wave[:, None], SIDE)
            noisy = 128 + 80 * grey + draws.normal(0, 20, (SIDE, SIDE))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two temperatures, two seeds, few epochs, and no time kept for the end."""
    monkeypatch.setattr(plan, "FIRST", (0.2, 1.0))
    monkeypatch.setattr(plan, "SEEDS", (0, 1))
    monkeypatch.setattr("tausweep.commands.choosing.study_text.SEEDS", (0, 1))
    monkeypatch.setattr(plan, "MOST_EPOCHS", 4)
    monkeypatch.setattr(plan, "LEAST_EPOCHS", 1)
    monkeypatch.setattr(plan, "next_stage", lambda *given: None)
    monkeypatch.setattr(beginning, "CLOSING_SECONDS", 2.0)


def choose(*words: str) -> int:
    return cli.main(["choose", *words])


@pytest.mark.usefixtures("small")
def test_a_stopped_choice_goes_on_to_an_answer_or_none_and_leaves_all_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = stripes(tmp_path / "photos", 30), tmp_path / "choice"

    def stop() -> None:
        for _ in range(1800):
            if any((out / "results").glob(RECORDS)):
                break
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    code = choose(str(images), "--out", str(out), *ASKED)
    thread.join()
    assert code == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert "first: tau = 0.2, 1, 2 seeds, 4 epochs" in said
    assert "to go on: tausweep choose" in said
    done = {p: p.stat().st_mtime_ns for p in (out / "results").glob(RECORDS)}
    assert done
    assert session.load(out).used > 0

    assert choose(str(images), "--out", str(out), *ASKED) == 2
    assert "--continue goes on with it" in capsys.readouterr().err
    assert choose("others", "--out", str(out), "--continue") == 2
    assert "is a choice for" in capsys.readouterr().err
    assert choose(str(images), "--out", str(out), "--continue", "--image-size", "9") == 2
    assert "--image-size: what is gone on with has one" in capsys.readouterr().err

    more = ("--minutes", "20")  # it ends when all is done; a busy machine needs more than is left
    code = choose(str(images), "--out", str(out), "--continue", "--yes", "--json", *more)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    assert len([*(out / "results").glob(RECORDS)]) == 2 * 2 + 2 + 1
    document = json.loads(capsys.readouterr().out)
    assert document["document"] == "tausweep choose"
    assert code == (0 if document["answer"] is not None else 3)
    assert document["counts"] == {"train": 48, "test": 12, "classes": 2}
    assert [t["temperature"] for t in document["temperatures"]] == [0.2, 1.0]
    assert {b["baseline"] for b in document["baselines"]} == {"untrained", "raw_pixels"}
    assert json.loads((out / "answer.json").read_text())["headline"] == document["headline"]
    assert document["headline"] in (out / "report.html").read_text()
    assert f"# {document['headline']}" in (out / "study.yaml").read_text()
    for run in studies.load(str(out / "study.yaml")).runs():
        if run.loss == "contrastive":
            columns = records.read(Layout(out / "results").run(run) / File.RECORD)["columns"]
            assert columns["settings_digest"] == run.settings.digest


@pytest.mark.usefixtures("small")
def test_without_labels_there_is_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = stripes(tmp_path / "photos", 60) / "upright"
    assert choose(str(images), "--out", str(tmp_path / "out"), *ASKED) == 3
    said = capsys.readouterr()
    assert "no answer without labels; a hint only: tau = " in said.out
    assert "such a hint lost 0 to 4.5 points" in said.out
    assert "accuracy" not in said.out.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "nowhere: there is no such folder or CSV"),
        (("photos", "--minutes", "0"), "0 is not allowed; it should be 0.5 or more minutes"),
        (("photos", "--minutes", "abc"), "abc is not allowed; it should be 0.5 or more minutes"),
        (("photos", "--encoder", "vgg"), "vgg is not allowed; it should be resnet10"),
        (("photos", "--encoder", "resnet18:4"), "resnet18:4 is not allowed"),
        (("photos", "--image-size", "4"), "4 is not allowed; it should be 8 or more"),
        (("photos", "--continue"), "there is nothing to go on with in choice"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = choose(*words)
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2
    heard = capsys.readouterr().err
    assert said in heard
    assert heard.count("\n") == 1


def test_a_time_that_is_too_short_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = plan.Speed(epoch=10.0, evaluation=20.0, baseline=20.0, workers=2)
    monkeypatch.setattr(pace, "times", lambda recipes, *rest: {recipes[0]: slow})
    images = stripes(tmp_path / "photos", 30)
    assert choose(str(images), "--minutes", "2", "--out", str(tmp_path / "out"), "--yes") == 2
    assert "--minutes 2: is too short here" in capsys.readouterr().err


def test_a_damaged_session_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / session.FILE).write_text('{"images": "x"}')
    assert choose("photos", "--out", str(tmp_path), "--continue") == 2
    assert "choose again in another --out" in capsys.readouterr().err
