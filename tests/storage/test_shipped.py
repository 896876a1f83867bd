"""What comes with the package is found in a checkout and in an installed package."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tausweep.storage import shipped
from tausweep.study import StudyError, load

ROOT = Path(__file__).resolve().parents[2]
CARRIED = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"][
    "targets"
]["wheel"]["force-include"]


def carried() -> Iterator[tuple[str, str]]:
    """Files of the checkout that a wheel has, and where."""
    for source, place in CARRIED.items():
        if (ROOT / source).is_file():
            yield source, place
        for file in (ROOT / source).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                inner = file.relative_to(ROOT / source)
                yield str(Path(source) / inner), str(Path(place) / inner)


@pytest.fixture
def installed(tmp_path: Path) -> ModuleType:
    """The module as a wheel has it, with the files that a wheel has beside it."""
    for source, place in carried():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, tmp_path / place)
    folder = tmp_path / "tausweep/storage"
    folder.mkdir(exist_ok=True)
    file = shutil.copy(shipped.__file__, folder)
    spec = importlib.util.spec_from_file_location("installed_shipped", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_checkout_has_it_at_its_root() -> None:
    assert shipped.root() == ROOT


def test_a_wheel_has_the_same_files_under_the_same_paths(
    installed: ModuleType, tmp_path: Path
) -> None:
    root = installed.root()
    assert root == (tmp_path / "tausweep/_shipped").resolve()
    assert all(place == f"tausweep/_shipped/{source}" for source, place in CARRIED.items())
    assert installed.studies().keys() == shipped.studies().keys()
    assert load(installed.study_file("demo")) == load(ROOT / "benchmarks/demo.yaml")
    for relative in ("benchmarks/published", "benchmarks/measured/gpu/rates.csv"):
        assert installed.path(relative).exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_wheel_has_the_whole_workflow_and_every_study() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "workflow", "config", "benchmarks/*.yaml", "benchmarks/published"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    assert {source for source, _ in carried()} >= {*listed}
    assert {"workflow/Snakefile", "workflow/profiles/default/profile.yaml"} <= {
        source for source, _ in carried()
    }


def test_without_the_files_the_package_says_so(installed: ModuleType, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "tausweep/_shipped")
    with pytest.raises(FileNotFoundError, match="install tausweep again"):
        installed.root()


def test_a_name_stands_for_a_shipped_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.study_file("demo") == str(ROOT / "benchmarks/demo.yaml")
    assert shipped.study_file("options/flip") == str(ROOT / "benchmarks/options/flip.yaml")
    assert shipped.study_name(shipped.study_file("demo")) == "demo"


def test_every_study_has_the_name_of_its_file() -> None:
    assert "demo" in shipped.studies()
    for name, file in shipped.studies().items():
        assert load(file).study == name.rpartition("/")[2]


def test_a_file_comes_before_a_shipped_study_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").write_text("study: other\n")
    assert shipped.study_file("demo") == "demo"
    # Else a job that is given the name would read the other file.
    path = str(ROOT / "benchmarks/demo.yaml")
    assert shipped.study_name(path) == path


@pytest.mark.parametrize("given", ["mine.yaml", "demo.json", "folder/demo", "/demo"])
def test_a_path_stays_as_it_was_typed(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.study_file(given) == given
    assert shipped.study_name(given) == given


def test_a_word_that_names_no_study_is_refused_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"^study dmo: .*; did you mean demo; these are .*paper"):
        shipped.study_file("dmo")
