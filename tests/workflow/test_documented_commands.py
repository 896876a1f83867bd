"""Every command of the README and the docs is run here, or the test that runs it is named.

Commands of tausweep are run on a small finished study, those of Snakemake are planned, and those of
make are expanded. Names that stand for something of the reader's (STUDY, FILE, cifar10/*) are
replaced by something that is there.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from checkout import REPOSITORY, TINY, Checkout, DryRuns
from tausweep import study as studies
from tausweep.cli import COMMANDS, main, parser_of

PAGES = [
    REPOSITORY / name
    for name in ("README.md", "CONTRIBUTING.md", "config/README.md")
] + sorted(
    path for path in (REPOSITORY / "docs").glob("*.md") if path.name != "artefact.md"
)  # fmt: skip
"""All but docs/artefact.md, whose commands tests/test_artefact_page.py runs."""

FENCED = re.compile(r"^```(?:console)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(
    r"(?<!`)`((?:[A-Z_]+=[^\s`]+ )*(?:\.venv/bin/)?[a-z]+ [^`]*?[^`\s])`(?!`)", re.DOTALL
)
PROGRAMS = ("tausweep", "snakemake", "make", "python", "pip", "bash", "git", "mkdir", ".")

ELSEWHERE = {
    "snakemake --cores all --rerun-triggers mtime params":
        "workflow/test_module.py::test_the_documented_snakefile_is_planned",
    "bash benchmarks/gpu/kit.sh IMAGES.tar.xz benchmarks/measured":
        "workflow/test_kit.py::test_a_visit_from_the_kit_to_what_is_planned_at_home",
    "bash $V fill":
        "workflow/test_kit.py::test_a_visit_from_the_kit_to_what_is_planned_at_home",
    "mkdir home && tar xzf OUT/precision.tar.gz -C home":
        "workflow/test_kit.py::test_a_visit_from_the_kit_to_what_is_planned_at_home",
}  # fmt: skip
"""Commands that another test runs, by their beginning. Those of a visit to a GPU machine are run on
a CPU, by a slow test that needs CIFAR-10's images."""

NOT_RUN = {
    ". .venv/bin/activate": "a part of Python; the shell alone has it",
    "V=": "the shell's",
    "R=": "the shell's",
    "git tag": "of a release",
    "python -m build": "of a release; needs the packages that a wheel is built with",
    "python benchmarks/verdicts": "an hour of simulations; tests/claims/test_registration.py "
    "holds its page and its rules together",
    "python -m pytest": "pytest's own; test_named_tests_and_marks_are_there looks at its arguments",
}
"""Commands that no test runs, by their beginning, and why."""


def commands(page: Path) -> list[str]:
    """The commands of a page, in order: lines of its console blocks, and code between the words."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in FENCED.findall(text) for line in block.splitlines()]
    lines += [" ".join(code.split()) for code in NAMED.findall(ANY_FENCED.sub("", text))]
    found = []
    for line in lines:
        command = re.sub(r"\s+#.*", "", line).strip()
        # Of the shell: what takes the output.
        command = re.sub(r'^eval "\$\((.*)\)"$', r"\1", command)
        command = re.sub(r" (?:\||>) .*", "", command)
        if words(command)[:1] and (program(command) in PROGRAMS or re.match("[A-Z]+=", command)):
            found.append(command)
    return found


def words(command: str) -> list[str]:
    """The words of a command, without variables that are set before it."""
    try:
        split = shlex.split(command)
    except ValueError:  # code that is no command
        return []
    while len(split) > 1 and re.match(r"[A-Z_]+=", split[0]):
        split.pop(0)
    return split


def program(command: str) -> str:
    return words(command)[0].removeprefix(".venv/bin/")


ALL = {command: page.name for page in reversed(PAGES) for command in commands(page)}
"""Each command once, with a page that has it."""


def of(name: str) -> list[str]:
    """All commands of a program that are run here, in the order of the pages."""
    known = (*ELSEWHERE, *NOT_RUN)
    ordered = [command for page in PAGES for command in commands(page)]
    return [
        command
        for command in dict.fromkeys(ordered)
        if program(command) == name and not command.removeprefix(".venv/bin/").startswith(known)
    ]


def test_commands_are_found() -> None:
    assert {"make demo", "tausweep partial STUDY"} <= ALL.keys()
    assert len(of("tausweep")) > 40
    assert len(of("snakemake")) > 12


def test_every_command_has_something_that_runs_it() -> None:
    run_here = {
        command for name in ("tausweep", "snakemake", "make", "pip") for command in of(name)
    }
    run_here |= {command for command in of("python") if "keep.py" in command}
    known = (*ELSEWHERE, *NOT_RUN)
    plain = {command: re.sub(r"^[A-Z_]+=\S+ |^\.venv/bin/", "", command) for command in ALL}
    left = {
        f"{page}: {command}"
        for command, page in ALL.items()
        if command not in run_here and not plain[command].startswith(known)
        and not command.startswith(known)
    }  # fmt: skip
    assert left == set()


def test_the_tests_that_run_the_others_are_there() -> None:
    assert all((REPOSITORY / "tests" / file).exists() for file in PARSED.values())
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        text = (REPOSITORY / "tests" / file).read_text("utf-8")
        assert f"def {name}" in text
    for beginning in (*ELSEWHERE, *NOT_RUN):
        assert any(beginning in command for command in ALL), f"no page has {beginning}"


# What stands for something of the reader's, and what is there in its place.
STANDS_FOR = (
    (r"\bDATASET/LOSS/TAU/seedK\b", "pictures/simple/none/seed0"),
    (r"\bruns/cifar10/", "runs/pictures/"),
    (r"\bresults/(?:STUDY|cifar10-small|paper|first-gpu|flip)/", "results/tiny/"),
    (r"\$R\b", "results/tiny/records.csv"),
    (r"\b[AB]/records\.csv", "results/tiny/records.csv"),
    (r"--datasets \S+ \S+", "--datasets pictures pictures"),
    (r"'cifar10/contrastive/0\.3/\*'", "'pictures/simple/none/*'"),
    (r"'cifar10/\*'", "'pictures/*'"),
    (r"'\*/0\.07/\*,", "'*/0.1/*,"),
    (r"\bpretrain \.\.\.", "pretrain study.yaml --run pictures/simple/none/seed0"),
    (r"\bCOMMAND\b", "plan"),
    (r"(?<=claims FILE --results )benchmarks/measured", "results"),
    (r"\bMORE\b", "more.yaml"),
    (r"(?<=show )demo\b|(?<=status )demo\b|(?<=plan )paper\b", "study.yaml"),
    (r"--seconds S\b", "--seconds 1"),
    (r"\bFOLDER\b|(?<=import )home\b", "elsewhere"),
    (r"\bbenchmarks/(?:STUDY|first-gpu|precision|paper|options/flip)\.yaml\b", "study.yaml"),
    (r"\b(?:STUDY|FILE)\b", "study.yaml"),
)


def standing(command: str) -> str:
    """A command on what is there."""
    for pattern, there in STANDS_FOR:
        command = re.sub(pattern, there, command)
    return command


@pytest.fixture
def worked(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Checkout:
    """The finished study with its tables and verdicts, and what a reader has beside it."""
    folder = checkout.folder
    monkeypatch.chdir(folder)
    assert main(["tables", "study.yaml"]) == 0
    assert main(["claims", "study.yaml"]) == 0
    # A results folder of another machine.
    shutil.copytree("results", "elsewhere", symlinks=True)
    # The study of docs/study.md, on images of its own.
    draws = np.random.default_rng(0)
    for split, count in (("train", 210), ("test", 6)):
        for name in ("cats", "dogs"):
            place = folder / "data/photos" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 256, (8, 8, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    page = (REPOSITORY / "docs/study.md").read_text(encoding="utf-8")
    (folder / "mine.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0], "utf-8")
    # Embeddings, weights and images for `tausweep measure`.
    labels = np.arange(60) % 3
    Path("labels.csv").write_text("label\n" + "".join(f"{label}\n" for label in labels))
    for name in ("embeddings", "before", "after"):
        np.save(f"{name}.npy", draws.normal(size=(60, 8)) + labels[:, None])
    from torchvision.models import resnet18

    torch.save(resnet18().state_dict(), "resnet18.pth")
    shutil.copytree("pictures", "photos")
    capsys.readouterr()
    return checkout


PARSED = {
    "run": "workflow/test_run.py",
    "choose": "commands/test_choose.py",
    "redo": "commands/test_redo.py",
    "fetch": "commands/test_fetch.py",
}
"""Commands that take long or need a network, and the tests that run them. Here their flags are
parsed, and Snakemake plans what `tausweep run` would run."""


def parsed_only(typed: list[str]) -> bool:
    """Whether a command is only parsed. Several processes for one run need as many GPUs."""
    return typed[0] in PARSED or "--processes" in typed


def test_commands_of_tausweep_work(
    worked: Checkout, dry: DryRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {}
    done: list[list[str]] = []
    for command in of("tausweep"):
        typed = words(standing(command))[1:]
        if typed in done:
            continue  # another command that stands for the same
        done.append(typed)
        if typed[0] == "...":
            continue
        if len(typed) == 1 and typed[0] not in ("schema", "published"):
            continue  # a name in a sentence
        if typed[:2] == ["init", "mine.yaml"]:
            typed = ["init", "begun.yaml"]
        if parsed_only(typed):
            said, code = "", planned(typed, worked, dry)
        else:
            # Times no steps, which has tests of its own.
            code = ended([*typed, "--no-measure"] if typed[0] == "plan" else typed)
            said = capsys.readouterr().err
        if code:
            failed[command] = f"{code}: {said}"
    assert failed == {}


def ended(typed: list[str]) -> int:
    try:
        return main(typed)
    except SystemExit as ending:
        return int(ending.code or 0)


def planned(typed: list[str], checkout: Checkout, dry: DryRuns) -> int:
    """Parse a command; what `tausweep run` hands to Snakemake is planned."""
    command = COMMANDS[typed[0]]
    options = parser_of(command, command.load()).parse_args(typed[1:])
    if typed[0] == "run":
        study = (
            options.study if Path(options.study).exists() else f"benchmarks/{options.study}.yaml"
        )
        dry(checkout, *options.passed_on, study=study)
    return 0


def test_names_of_commands_in_sentences_are_names_of_commands() -> None:
    for command in of("tausweep"):
        name = words(command)[1]
        assert name in COMMANDS or name in ("...", "COMMAND") or name.startswith("--"), command


def test_commands_of_snakemake_are_planned(checkout: Checkout, dry: DryRuns) -> None:
    more = {"knn": {"k": 4}}
    (checkout.folder / "more.yaml").write_text(yaml.safe_dump(more), encoding="utf-8")
    failed = {}
    done: list[list[str]] = []
    for command in of("snakemake"):
        typed = [word for word in words(standing(command))[1:] if word not in ("...", "-n")]
        if typed in done:
            continue
        done.append(typed.copy())
        study = "study.yaml"
        if "--configfile" in typed:
            at = typed.index("--configfile")
            study, typed = typed[at + 1], typed[:at] + typed[at + 2 :]
        # What else follows the study file is merged onto it.
        merged = tuple(word for word in typed if word.endswith(".yaml"))
        typed = [word for word in typed if word not in merged]
        try:
            dry(checkout, *typed, study=study, more=merged)
        except AssertionError as error:
            failed[command] = str(error)[-2000:]
    assert failed == {}


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_commands_of_make_have_a_target() -> None:
    """.ci/run runs demo, test, lint and others of them."""
    for command in of("make"):
        typed = words(command)
        if len(typed) > 1 and not typed[1].startswith("("):
            done = subprocess.run(
                ["make", "--dry-run", *typed[1:]],
                cwd=REPOSITORY, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}: {done.stderr}"


def test_what_pip_is_asked_for_is_this_package_with_extras_that_it_has() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    for command in of("pip"):
        asked = re.fullmatch(r"pip install (\w+)(?:\[(\w+)\])?", " ".join(words(command)))
        assert asked is not None, command
        assert asked[1] == project["name"]
        assert asked[2] is None or asked[2] in project["optional-dependencies"]


def test_records_are_kept_by_the_program_for_it(worked: Checkout) -> None:
    for command in of("python"):
        if "keep.py" not in command:
            continue
        script, *_ = words(command)[1:]
        done = subprocess.run(
            [sys.executable, script, "study.yaml"],
            env=worked.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (worked.folder / "benchmarks/measured/tiny/records.csv").exists()
        return


def test_named_tests_and_marks_are_there() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    marks = [line.partition(":")[0] for line in project["tool"]["pytest"]["ini_options"]["markers"]]
    asked = [words(command) for command in ALL if "-m pytest" in command]
    assert asked
    for typed in asked:
        assert typed[typed.index("-m", 2) + 1] in marks
        assert all((REPOSITORY / word).exists() for word in typed if word.startswith("tests/"))


@pytest.mark.parametrize("page", ["data", "losses"])
def test_parts_of_a_study_in_the_docs_are_valid(page: str) -> None:
    text = (REPOSITORY / f"docs/{page}.md").read_text(encoding="utf-8")
    parts = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert parts
    for part in parts:
        assert studies.parse(TINY | part).runs()


def test_the_example_of_measuring_in_a_notebook_runs() -> None:
    text = (REPOSITORY / "docs/measure.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 3
    names = ("embeddings", "a", "b", "test", "train", "one", "two")
    given: dict[str, Any] = {name: draws.normal(size=(60, 8)) + labels[:, None] for name in names}
    given |= {"labels": labels, "test_labels": labels, "train_labels": labels}
    exec(compile(code, "docs/measure.md", "exec"), given)
