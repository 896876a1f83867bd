"""A visit to a GPU machine without a network, from the kit to what is planned at home, on a CPU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from checkout import REPOSITORY, Checkout

IMAGES = "TAUSWEEP_CIFAR10_IMAGES"
"""Names a folder of CIFAR-10's images: train/<class>/ and test/<class>/."""

ON_THE_MACHINE = (
    "torch", "torchvision", "scikit-learn", "pandas", "scipy", "safetensors", "pyyaml", "psutil",
    "matplotlib", "jinja2", "pillow", "numpy",
)  # fmt: skip
"""What a bare GPU machine has, with all that these need; neither pydantic nor Snakemake."""

STUDY: dict[str, Any] = {
    "study": "cifar10-paper",
    "seeds": [0],
    "datasets": {"cifar10": {"source": {"kind": "folder", "path": "data/cifar10-images"}}},
    "baselines": False,
    "losses": {"contrastive": {"temperature": 0.3}, "simple": {}},
    "encoder": {"trunk": "resnet10", "width": 8, "dim": 16},
    "pretrain": {"epochs": 2, "precision": "bf16"},
    "linear": {"epochs": 2, "lr": 1.0},
    "knn": {"k": 10},
    "separation": {"anchors": 64},
    "order": ["cifar10/simple/none/seed0", "cifar10/contrastive/0.3/seed0"],
}


def few_images(folder: Path) -> None:
    """Thirty training and ten test images a class."""
    source = Path(os.environ.get(IMAGES, REPOSITORY / "data/cifar10-images"))
    if not (source / "train").is_dir():
        pytest.skip(f"{IMAGES} names no folder of CIFAR-10's images")
    for split, count in (("train", 30), ("test", 10)):
        for place in sorted((source / split).iterdir()):
            (folder / split / place.name).mkdir(parents=True)
            for path in sorted(place.iterdir())[:count]:
                shutil.copy(path, folder / split / place.name)


def bare_python(folder: Path) -> Path:
    """A Python that has ``ON_THE_MACHINE``, as links to what this one has, and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)  # with pip
    (site,) = folder.glob("lib/python*/site-packages")
    waiting, linked = [*ON_THE_MACHINE], set[str]()
    while waiting:
        try:
            found = metadata.distribution(waiting.pop())
        except metadata.PackageNotFoundError:
            continue  # for other systems
        if found.name in linked:
            continue
        linked.add(found.name)
        waiting += [
            re.split(r"[^\w.-]", needed)[0]
            for needed in found.requires or []
            if "extra ==" not in needed
        ]
        for path in found.files or []:
            top = path.parts[0]
            origin = Path(str(found.locate_file(top)))
            if top != ".." and origin.exists() and not (site / top).exists():
                (site / top).symlink_to(origin)
    return folder / "bin/python"


def test_the_machine_of_this_test_is_bare(tmp_path: Path) -> None:
    """Quickly, and without the images."""
    python = bare_python(tmp_path / "venv")
    for name, there in (("torch", 0), ("sklearn", 0), ("pydantic", 1), ("snakemake", 1)):
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{name}') is None)"
        done = subprocess.run([python, "-c", code], env={}, check=False)
        assert done.returncode == there, name


@pytest.mark.slow
def test_a_visit_from_the_kit_to_what_is_planned_at_home(tmp_path: Path) -> None:
    home, machine = tmp_path / "home", tmp_path / "machine"
    few_images(tmp_path / "images")
    subprocess.run(["git", "clone", "-q", REPOSITORY, home], check=True)
    checkout = Checkout(home)
    checkout.write_study(STUDY, "benchmarks/cifar10-paper.yaml")
    for command in (
        ["git", "add", "-A"],
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "tiny"],
    ):
        subprocess.run(command, cwd=home, check=True)
    with tarfile.open(tmp_path / "images.tar.xz", "w:xz") as tar:
        for split in ("train", "test"):
            tar.add(tmp_path / "images" / split, split)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    code, said = checkout.run(
        "bash", "benchmarks/gpu/kit.sh", str(tmp_path / "images.tar.xz"),
        environment={"PYTHON": sys.executable, "VERSION": version},
    )  # fmt: skip
    assert code == 0, said

    shutil.copytree(home / ".gpu-kit", machine / ".gpu-kit")
    shutil.rmtree(home / ".gpu-kit")
    bare = {
        "PATH": os.environ["PATH"].partition(f"{Path(sys.executable).parent}:")[2]
        or os.environ["PATH"],
        "PYTHON": str(bare_python(tmp_path / "venv")),
        "WORK": str(tmp_path / "work"),
        "OUT": str(tmp_path / "out"),
        "THREADS": "1",
    }
    small = ["--device", "cpu", "--width", "8", "--count", "300", "--steps", "2", "--no-compile"]
    on_cpu = ["--device", "cpu", "--at-once", "2"]
    for what in (["check", "15", *small], ["fill", "400", "120", *on_cpu]):
        done = subprocess.run(
            ["bash", ".gpu-kit/benchmarks/gpu/visit.sh", *what],
            cwd=machine, env=bare, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "FAILED" not in done.stdout
    assert "2 of 2 runs have records" in done.stdout
    assert "a step: loss " in (tmp_path / "out/check.log").read_text()

    brought = tmp_path / "brought"
    brought.mkdir()
    with tarfile.open(tmp_path / "out/cifar10-paper.tar.gz") as tar:
        tar.extractall(brought, filter="data")
    study = "benchmarks/cifar10-paper.yaml"
    code, said = checkout.run("tausweep", "import", str(brought), study)
    assert code == 0, said
    assert "2 of 2 runs from" in said
    (home / "data").mkdir()
    (home / "data/cifar10-images").symlink_to(tmp_path / "images")
    code, said = checkout.run("tausweep", "status", study)
    assert "2 runs: 2 complete" in said
    # By the same code, whose digest does not depend on the Python.
    assert "other code" not in said
    code, said = checkout.run(*checkout.command("-n", study=study))
    assert code == 0, said
    assert "collect" in said
    assert not re.search(r"^(pretrain|evaluate) ", said, re.MULTILINE), said
