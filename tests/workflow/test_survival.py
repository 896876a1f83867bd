"""Whatever ends a job or Snakemake, the documented command finishes the study to the same bytes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from checkout import LONE, Checkout, save_always

FOLDER = f"results/tiny/runs/{LONE}"
LOG = f"results/tiny/logs/{LONE}/pretrain.log"
SECONDS = 25
"""About what the lone run takes, its evaluation included: signals come at moments up to it."""
TARGET = f"{FOLDER}/pretrain.json"


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Checkout:
    """The tiny study with its data prepared, whose run saves after every step."""
    checkout = finished.copy(tmp_path / "checkout")
    checkout.forget_runs()
    save_always(checkout)
    return checkout


@pytest.fixture
def expected(finished: Checkout) -> dict[str, bytes]:
    """What the undisturbed study ends with."""
    return finished.results()


def started(checkout: Checkout, target: str = TARGET) -> subprocess.Popen[str]:
    return checkout.start(checkout.command("--cores", "1", target))


def finish(checkout: Checkout, target: str = TARGET) -> None:
    """What the documentation says to do after a crash: the same command; --unlock if it says so."""
    command = checkout.command("--cores", "1", target)
    code, said = checkout.run(*command)
    if code != 0:
        assert "cannot be locked" in said, said
        assert "--unlock" in said
        checkout.complete("--unlock")
        checkout.complete(*command[3:])


def assert_same(checkout: Checkout, expected: dict[str, bytes]) -> None:
    """All that pretraining made is the same to the byte."""
    made = checkout.results()
    assert {Path(name).name for name in made} >= {"encoder.safetensors", "history.csv"}
    # A record that was made ahead has times, and is gone once it is taken.
    passing = ("checkpoint", ".ahead")
    made = {name: made[name] for name in made if not any(mark in name for mark in passing)}
    assert made == {name: expected[name] for name in made}


def wait_for(condition: object, process: subprocess.Popen[str], seconds: float = 120) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def trainings(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "pretrain" in child.cmdline():
                    found.append(child)
    return found


def read(checkout: Checkout) -> str:
    path = checkout.folder / LOG
    return path.read_text(encoding="utf-8") if path.exists() else ""


def at_epoch(checkout: Checkout, epoch: int) -> bool:
    return f"epoch {epoch}/" in read(checkout)


def end(process: subprocess.Popen[str]) -> None:
    """Wait for Snakemake; whoever survives it in its group goes on, as after a real kill."""
    process.wait(timeout=120)
    assert process.stdout is not None
    process.stdout.close()


def disturb(process: subprocess.Popen[str], whom: str, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        if whom == "group":
            os.killpg(process.pid, number)
        elif whom == "snakemake":
            os.kill(process.pid, number)
        else:
            for child in trainings(process):
                child.send_signal(number)


def resumed(checkout: Checkout) -> int:
    """The epoch at which the last start of the pretraining went on."""
    text = read(checkout)
    assert "resumed at epoch " in text, text
    return int(text.split("resumed at epoch ")[1].split(",")[0])


@pytest.mark.parametrize(
    ("whom", "number"),
    [
        ("group", signal.SIGKILL),
        pytest.param("training", signal.SIGTERM, marks=pytest.mark.slow),
    ],
    ids=["kill -9 of all", "kill of the training"],
)
def test_a_disturbed_run_goes_on_where_it_was_and_ends_with_the_same_bytes(
    whom: str, number: signal.Signals, checkout: Checkout, expected: dict[str, bytes]
) -> None:
    process = started(checkout)
    wait_for(lambda: at_epoch(checkout, 3), process)
    disturb(process, whom, number)
    end(process)
    assert not (checkout.folder / FOLDER / "pretrain.json").exists()
    finish(checkout)
    assert resumed(checkout) >= 3
    assert_same(checkout, expected)


def test_training_that_outlives_its_snakemake_is_waited_for(
    checkout: Checkout, expected: dict[str, bytes]
) -> None:
    process = started(checkout)
    wait_for(lambda: at_epoch(checkout, 2), process)
    (orphan,) = trainings(process)
    # Held for as long as the new Snakemake needs to start the same job.
    orphan.suspend()
    disturb(process, "snakemake", signal.SIGKILL)
    end(process)
    checkout.complete("--unlock")
    process = started(checkout)
    wait_for(lambda: f"process {orphan.pid} on" in read(checkout), process)
    orphan.resume()
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "already pretrained" in read(checkout)
    assert_same(checkout, expected)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(int(os.environ.get("SURVIVAL_TRIALS", "36"))))
def test_random_signals_at_random_moments_change_no_byte(
    trial: int, lone: Checkout, lone_results: dict[str, bytes], tmp_path: Path
) -> None:
    checkout, draw = lone.copy(tmp_path / "checkout"), random.Random(trial)
    for _ in range(draw.randint(1, 3)):
        process = started(checkout, checkout.records())
        # Trials go through all nine pairs in turn; only the moments are drawn.
        whom = ("training", "snakemake", "group")[trial % 3]
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[trial // 3 % 3]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=draw.uniform(0, SECONDS))
        disturb(process, whom, number)
        end(process)
    finish(checkout, checkout.records())
    assert checkout.results() == lone_results
    left = {path.name for path in (checkout.folder / FOLDER).iterdir()}
    left |= {path.name for path in (checkout.folder / "results/store").glob("*/*/*")}
    assert not [name for name in left if "checkpoint" in name or name.startswith((".", "lock"))]


@pytest.mark.slow
def test_truncated_checkpoint_is_named_and_the_one_before_is_used(
    checkout: Checkout, expected: dict[str, bytes]
) -> None:
    process = started(checkout)
    wait_for(lambda: at_epoch(checkout, 3), process)
    disturb(process, "group", signal.SIGKILL)
    end(process)
    (last,) = (checkout.folder / "results/store/trained").glob("*/checkpoint.safetensors")
    last.write_bytes(last.read_bytes()[:-100])
    last.with_name("checkpoint.new.safetensors").unlink(missing_ok=True)
    finish(checkout)
    assert "checkpoint not used" in read(checkout)
    assert resumed(checkout) >= 3
    assert_same(checkout, expected)


@pytest.mark.slow
def test_second_snakemake_on_one_folder_is_refused_with_the_command_that_unlocks(
    checkout: Checkout, expected: dict[str, bytes]
) -> None:
    process = started(checkout)
    wait_for(lambda: at_epoch(checkout, 1), process)
    code, said = checkout.run(*checkout.command("--cores", "1", TARGET))
    assert code == 1
    assert "Directory cannot be locked" in said
    assert "--unlock" in said
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert_same(checkout, expected)


@pytest.mark.slow
def test_place_with_spaces_and_other_letters(
    checkout: Checkout, expected: dict[str, bytes], tmp_path: Path
) -> None:
    moved = checkout.copy(tmp_path / "übung eins" / "Ergebnisse κ'τ")
    study = (moved.folder / "study.yaml").read_text(encoding="utf-8")
    pictures = (moved.folder / "pictures").rename(moved.folder / "Bilder ä b")
    (moved.folder / "meine studie ü.yaml").write_text(
        study.replace("path: pictures", f"path: {pictures.name}"), encoding="utf-8"
    )
    moved.complete(study="meine studie ü.yaml")
    shown = moved.results()
    # The place of the pictures is part of the settings, hence of what was made of them.
    same = [name for name in shown if name.endswith(("history.csv",))]
    assert same
    assert all(shown[name] == expected[name] for name in same)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own of 1 MB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_full_disk_ends_in_a_sentence_and_with_room_the_run_goes_on(
    checkout: Checkout, expected: dict[str, bytes], small_disk: Path
) -> None:
    shutil.copytree(checkout.folder / "results", small_disk / "results")
    shutil.rmtree(checkout.folder / "results")
    (checkout.folder / "results").symlink_to(small_disk / "results")
    code, said = checkout.run(*checkout.command("--cores", "1", TARGET))
    assert code == 1
    assert "nothing finished is lost: free some space and start again" in said
    assert "Traceback" not in said
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    finish(checkout)
    assert_same(checkout, expected)


def test_read_only_results_are_named(checkout: Checkout, small_disk: Path) -> None:
    shutil.rmtree(checkout.folder / "results")
    (checkout.folder / "results").symlink_to(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, said = checkout.run(*checkout.command("--cores", "1", checkout.records()))
    assert code == 1
    assert "Read-only file system" in said
    assert "results/" in said


@pytest.mark.slow
def test_removed_prepared_file_is_named_and_made_again(
    checkout: Checkout, expected: dict[str, bytes]
) -> None:
    (images,) = (checkout.folder / "results/data").glob("*/train_images.npy")
    images.unlink()
    code, said = checkout.run(*checkout.command("--cores", "1", checkout.records()))
    assert code == 1
    assert "train_images.npy" in said
    assert "remove" in said
    (images.parent / "manifest.json").unlink()
    finish(checkout)
    assert_same(checkout, expected)


@pytest.mark.slow
def test_truncated_record_is_named_and_made_again(finished: Checkout, tmp_path: Path) -> None:
    checkout = finished.copy(tmp_path / "checkout")
    record = checkout.folder / FOLDER / "record.json"
    expected, whole = checkout.results(), record.read_bytes()
    record.write_bytes(whole[: len(whole) // 2])
    code, said = checkout.run(*checkout.command("--cores", "1", checkout.records()))
    assert code == 1
    assert "record.json" in said
    assert "delete it, and the next start makes it again" in said
    record.unlink()
    checkout.complete()
    assert checkout.results() == expected
