"""What `make` installs: which build of PyTorch, from where, and that every file has its hash.

install.sh runs with a Python that only notes what it is asked to do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("install.sh", "requirements.lock", "requirements-cuda.lock", "requirements-dev.lock")
INDEX = "https://download.pytorch.org/whl/cpu"
NVIDIA = Path("/dev/nvidia0")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a shell")


def requirements(name: str) -> dict[str, str]:
    """The requirements of a lock by their names."""
    blocks = re.split(r"\n(?=[a-z])", (ROOT / name).read_text("utf-8").strip())
    return {block.partition("==")[0]: block for block in blocks}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with install.sh and the locks, and commands that do nothing but note themselves."""
    for name in FILES:
        shutil.copyfile(ROOT / name, tmp_path / name)
    commands = tmp_path / "commands"
    commands.mkdir()
    scripts = {
        "python": 'case "$1" in\n-c) exit ${UNREACHABLE:-0} ;;\n'
        '-m) mkdir -p "$3/bin" && cp "$COMMANDS/pip" "$3/bin/python" ;;\nesac\n',
        "pip": 'echo pip "$@" >> noted\n',
        "uname": "echo ${SYSTEM:-Linux}\n",
    }
    for name, script in scripts.items():
        (commands / name).write_text(f"#!/bin/sh\n{script}")
        (commands / name).chmod(0o755)
    return tmp_path


def install(checkout: Path, code: int = 0, **environment: str) -> tuple[str, list[str]]:
    """Run install.sh; what it says, and the packages that it asks for, a command a line."""
    commands = str(checkout / "commands")
    done = subprocess.run(
        ["sh", "install.sh"],
        cwd=checkout,
        env={"PATH": f"{commands}:/usr/bin:/bin", "PYTHON": f"{commands}/python",
             "COMMANDS": commands, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    noted = checkout / "noted"
    return done.stdout + done.stderr, noted.read_text().splitlines() if noted.exists() else []


def add_command(checkout: Path, name: str, text: str) -> None:
    path = checkout / "commands" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.skipif(NVIDIA.exists(), reason="there is a GPU")
def test_without_a_gpu_pytorch_comes_from_the_index_for_cpus(checkout: Path) -> None:
    said, asked = install(checkout)
    assert "no NVIDIA GPU is seen" in said
    assert re.search(r"GB to download, .* GB on disk, .* minute", said)
    torch, locked, own = asked
    assert f"--index-url {INDEX} torch==" in torch
    assert " torchvision==" in torch
    assert "--require-hashes --requirement requirements.lock" in locked
    assert "cuda" not in locked
    assert own.endswith("--editable .")
    assert all("--no-deps" in line for line in asked)
    assert (checkout / ".venv/.torch").read_text() == "cpu\n"


@pytest.mark.skipif(NVIDIA.exists(), reason="there is a GPU")
def test_where_that_index_is_not_reached_pypi_s_build_is_taken_and_said(checkout: Path) -> None:
    said, asked = install(checkout, UNREACHABLE="1")
    assert "cannot be reached: PyPI's build with CUDA" in said
    assert "--requirement requirements.lock --requirement requirements-cuda.lock" in asked[0]
    assert len(asked) == 2


def test_a_gpu_takes_cuda_s_build(checkout: Path) -> None:
    add_command(checkout, "nvidia-smi", "exit 0")
    said, asked = install(checkout)
    assert "an NVIDIA GPU is seen" in said
    assert "requirements-cuda.lock" in asked[0]
    assert INDEX not in " ".join(asked)


def test_one_variable_chooses_whatever_is_seen(checkout: Path) -> None:
    add_command(checkout, "nvidia-smi", "exit 0")
    said, asked = install(checkout, TORCH="cpu")
    assert "as asked by TORCH=cpu" in said
    assert INDEX in asked[0]
    (checkout / "noted").unlink()
    (checkout / ".venv/old").touch()
    _, asked = install(checkout, TORCH="cuda")
    assert "requirements-cuda.lock" in asked[0]
    # One build does not replace another of the same version, so the folder is made anew.
    assert not (checkout / ".venv/old").exists()


def test_another_word_is_refused_before_anything_is_made(checkout: Path) -> None:
    said, asked = install(checkout, code=2, TORCH="gpu")
    assert "TORCH=gpu is not allowed; it should be cpu or cuda" in said
    assert asked == []
    assert not (checkout / ".venv").exists()


def test_elsewhere_than_on_linux_pypi_s_build_is_for_cpus(checkout: Path) -> None:
    _, asked = install(checkout, SYSTEM="Darwin", TORCH="cpu")
    assert "requirements-cuda.lock" not in asked[0]
    assert INDEX not in asked[0]


def test_uv_installs_where_it_is_there(checkout: Path) -> None:
    add_command(checkout, "uv", 'echo uv "$@" >> noted')
    _, asked = install(checkout, TORCH="cuda")
    assert all(line.startswith("uv pip install") and ".venv/bin/python" in line for line in asked)


def test_every_requirement_is_pinned_and_has_its_hashes() -> None:
    for name in FILES[1:]:
        for requirement, block in requirements(name).items():
            assert re.match(rf"{re.escape(requirement)}==\S+", block), block
            assert "--hash=sha256:" in block, f"{name}: {requirement}: run `make lock`"


def test_what_tests_need_is_installed_when_it_is_asked_for(checkout: Path) -> None:
    _, asked = install(checkout, TORCH="cuda")
    assert "requirements-dev.lock" not in " ".join(asked)
    _, asked = install(checkout, TORCH="cuda", DEV="1")
    assert "requirements-dev.lock" in asked[-2]


def test_the_locks_have_all_that_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]

    def names(lines: list[str]) -> set[str]:
        return {normal(re.split(r"[\[><=]", line)[0]) for line in lines}

    studies, tests = (requirements(f"requirements{of}.lock").keys() for of in ("", "-dev"))
    assert names([*project["dependencies"], *extras["slurm"]]) <= studies, "run `make lock`"
    assert names(extras["dev"]) <= studies | tests, "run `make lock`"


def test_what_cuda_alone_needs_is_apart() -> None:
    cuda = requirements("requirements-cuda.lock").keys()
    assert {"triton", "nvidia-cublas", "nvidia-cudnn-cu13"} <= cuda
    assert not any(name.startswith("nvidia") for name in requirements("requirements.lock"))
