"""The Makefile's own lines, with commands that do nothing in the place of the installed ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("relative", [True, False])
def test_images_in_a_folder_whose_name_has_a_space_are_found(
    relative: bool, tmp_path: Path
) -> None:
    """The link that the study reads leads to them, wherever they are named from."""
    images, checkout = tmp_path / "my data", tmp_path / "checkout"
    for split in ("train", "test"):
        (images / split).mkdir(parents=True)
    installed(checkout)
    named = "../my data" if relative else str(images)
    subprocess.run(
        ["make", "cifar10-small", f"DATA={named}"], cwd=checkout, check=True, capture_output=True
    )
    assert (checkout / "data/cifar10-images").resolve() == images.resolve()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_original_images_are_fetched_once_and_are_what_the_studies_read(tmp_path: Path) -> None:
    # In the place of the command: it makes the folder and fails if that is there.
    installed(tmp_path, 'mkdir -p "$(dirname "$3")" && mkdir "$3"')
    for _ in range(2):
        subprocess.run(["make", "data-cifar10"], cwd=tmp_path, check=True, capture_output=True)
    link = tmp_path / "data/cifar10-images"
    assert link.resolve() == (tmp_path / "data/cifar10-png").resolve()
    # Other images that the studies read already are left.
    link.unlink()
    link.symlink_to(tmp_path)
    subprocess.run(["make", "data-cifar10"], cwd=tmp_path, check=True, capture_output=True)
    assert link.resolve() == tmp_path.resolve()


def installed(checkout: Path, does: str = "") -> None:
    """A checkout whose environment is ready, with commands that do this."""
    commands = checkout / ".venv/bin"
    commands.mkdir(parents=True)
    for name in (
        "Makefile",
        "install.sh",
        "requirements.lock",
        "requirements-cuda.lock",
        "requirements-dev.lock",
        "pyproject.toml",
    ):
        shutil.copyfile(ROOT / name, checkout / name)
    for name in ("snakemake", "tausweep"):
        (commands / name).write_text(f"#!/bin/sh\n{does}\n")
        (commands / name).chmod(0o755)
    ready = checkout / ".venv/.ready"
    ready.touch()
    os.utime(ready, (time.time() + 60,) * 2)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_break_it_shows_that_every_damage_of_the_kept_demo_is_noticed(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    installed(checkout, f'exec "{sys.executable}" -m tausweep.cli "$@"\n')
    (checkout / "benchmarks").symlink_to(ROOT / "benchmarks")
    done = subprocess.run(
        ["make", "break-it"],
        cwd=checkout, check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert "7 of 7 damages are noticed" in done.stdout
