"""The command line: what a newcomer reads, and one sentence with exit code 2 for bad input."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tausweep.cli import COMMANDS, GROUPS, main, parser_of

REPOSITORY = Path(__file__).parents[1]

STUDY = """
study: tiny
seeds: [0]
datasets: {digits: {train_limit: 130, test_limit: 100}}
baselines: false
losses: {contrastive: {temperature: [0.2]}, hard_simple: {negatives: 20}}
encoder: {trunk: resnet10, width: 8, dim: 16}
pretrain: {epochs: 2, batch_size: 32}
linear: {epochs: 5, lr: 0.01}
knn: {k: 10}
separation: {anchors: 64}
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def edited(path: Path, old: str, new: str) -> str:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return str(path)


@pytest.mark.usefixtures("no_network")
def test_stages_one_by_one_end_with_tables_and_verdicts(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole pipeline through the commands, with no network."""
    runs = ["digits/contrastive/0.2/seed0", "digits/hard_simple/none/seed0"]
    assert main(["prepare", str(study)]) == 0
    for run in runs:
        assert main(["pretrain", str(study), "--run", run]) == 0
        assert main(["evaluate", str(study), "--run", run]) == 0
    folder = Path("results/tiny")
    assert main(["collect", str(study), str(folder / "records.csv")]) == 0
    assert main(["tables", str(study)]) == 0
    assert main(["claims", str(study)]) == 0
    capsys.readouterr()
    assert main(["show", str(study)]) == 0
    shown = capsys.readouterr().out
    assert "hard simple" in shown
    assert "of the paper's 14 empirical claims" in shown
    table = (folder / "tables/table1.md").read_text()
    assert "contrastive" in table
    assert len((folder / "records.csv").read_text().splitlines()) == 3
    assert not list(folder.rglob("checkpoint*"))
    assert not list(folder.rglob("lock.json"))

    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert main(["pretrain", str(study), "--run", runs[0]]) == 0
    assert "already pretrained, nothing to do" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_unfinished_study_is_reported_as_partial_and_nothing_is_trained(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = "digits/contrastive/0.2/seed0"
    assert main(["prepare", str(study)]) == 0
    assert main(["pretrain", str(study), "--run", run]) == 0
    assert main(["evaluate", str(study), "--run", run]) == 0
    folder = Path("results/tiny")
    before = {p for p in folder.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert main(["partial", str(study)]) == 0
    assert "partial: 1 of 2 runs; 1 missing" in capsys.readouterr().out
    made = {p for p in folder.rglob("*") if p.is_file()} - before
    assert all(p.is_relative_to(folder / "partial") for p in made)
    lines = (folder / "partial/records.csv").read_text().splitlines()
    assert [line.split(",")[5] for line in lines[1:]] == ["complete", "missing"]
    page = (folder / "partial/report.html").read_text()
    assert "snakemake" in page
    assert "missing" in page
    assert main(["status", str(study)]) == 0
    assert "1 complete, 1 missing" in capsys.readouterr().out
    assert main(["export", str(study), "tiny.tar.gz"]) == 2
    assert "the study is not complete" in capsys.readouterr().err
    assert main(["clean", str(study)]) == 0
    assert (folder / "runs" / run / "record.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("epochs: 2", "epoch: 2", "pretrain.epoch: unknown key; did you mean epochs"),
        ("[0.2]", "[0]", "losses.contrastive.temperature[0]: 0 is not allowed"),
        ("[0.2]", "[-0.1]", "losses.contrastive.temperature[0]: -0.1 is not allowed"),
        ("[0.2]", "[abc]", 'losses.contrastive.temperature[0]: "abc" is not allowed'),
        ("negatives: 20", "negatives: 130", "130 is more than the bank's 129 negatives"),
        ("batch_size: 32", "batch_size: 0", "pretrain.batch_size: 0 is not allowed"),
        ("seeds: [0]", "seeds: [0, 0]", "seed 0 is listed twice"),
        ("train_limit: 130", "image_size: 7", "datasets.digits.image_size: 7 is too small"),
        ("{train_limit: 130, test_limit: 100}", "{source: {kind: folder, path: none}}",
         "there is no folder none"),
    ],
)  # fmt: skip
def test_bad_study_is_one_sentence_and_exit_code_2(
    study: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, sentence: str
) -> None:
    assert main(["plan", edited(study, old, new)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("epochs: 2", "epoch: 2", "pretrain.epoch: unknown key; did you mean epochs"),
        ("negatives: 20", "negatives: 130", "130 is more than the bank's 129 negatives"),
    ],
)
def test_snakemake_refuses_a_bad_study_in_the_same_words(
    study: Path, old: str, new: str, sentence: str
) -> None:
    root = Path(__file__).parent.parent
    options = ["-s", str(root / "workflow/Snakefile"), "--cores", "1", "-n"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *options, "--configfile", edited(study, old, new)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("results").exists()


def test_truncated_archive_is_named_with_exit_code_2(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = Path("data/cifar10/cifar-10-python.tar.gz")
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"\x1f\x8b truncated")
    content = yaml.safe_load(STUDY) | {"datasets": {"cifar10": {}}}
    study.write_text(yaml.safe_dump(content))
    assert main(["prepare", str(study)]) == 2
    assert str(archive) in capsys.readouterr().err


def test_removed_prepared_file_is_named_with_what_to_do(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", str(study)]) == 0
    next(Path("results/data").rglob("train_images.npy")).unlink()
    assert main(["pretrain", str(study), "--run", "digits/contrastive/0.2/seed0"]) == 2
    error = capsys.readouterr().err
    assert "train_images.npy" in error
    assert "Traceback" not in error


def test_incomplete_study_is_not_collected(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", str(study), "out.csv"]) == 2
    assert "the study is not complete" in capsys.readouterr().err
    assert not Path("out.csv").exists()


def test_unknown_run_is_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(study)]) == 0
    assert main(["pretrain", str(study), "--run", "digits/contrastive/0.3/seed0"]) == 2
    assert "did you mean digits/contrastive/0.2/seed0" in capsys.readouterr().err


def test_help_names_every_stage_and_each_has_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("plan", "prepare", "pretrain", "evaluate", "collect", "tables", "claims"):
        assert command in text
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2


@pytest.mark.parametrize("typed", [[], ["-h"]])
def test_a_bare_tausweep_lists_every_command_on_a_line_of_its_own(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == list(COMMANDS)
    for title in GROUPS:
        assert f"{title}:" in lines


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("pretain", "pretain is not a command; did you mean pretrain; see `tausweep --help`"),
        ("zzzz", "zzzz is not a command; see `tausweep --help`"),
        ("--verison", "unrecognized arguments: --verison; see `tausweep --help`"),
    ],
)
def test_a_misspelt_command_names_the_nearest(
    typed: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([typed, "study.yaml"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"tausweep: error: {sentence}\n"


def test_no_command_loads_what_computes_to_read_its_arguments() -> None:
    """What computes reads the CPU instructions when it is loaded, and they are chosen after."""
    code = (
        "import sys; from tausweep import cli\n"
        "for command in cli.COMMANDS.values():\n"
        "    cli.parser_of(command, command.load())\n"
        "    heavy = {'torch', 'numpy', 'scipy', 'pandas', 'snakemake'} & sys.modules.keys()\n"
        "    assert not heavy, (command.name, heavy)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_of_every_command_fits_into_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "82")  # argparse leaves two of them empty
    for command in COMMANDS.values():
        text = parser_of(command, command.load()).format_help()
        assert max(map(len, text.splitlines())) <= 80, command.name


def test_page_of_the_commands_is_written_from_their_parsers() -> None:
    """docs/tools/command_list.py writes it."""
    sys.path.insert(0, str(REPOSITORY / "docs/tools"))
    try:
        command_list = importlib.import_module("command_list")
    finally:
        sys.path.pop(0)
    text = command_list.PAGE.read_text(encoding="utf-8")
    assert command_list.page(text) == text
    for name in COMMANDS:
        assert f"\n#### `tausweep {name}`\n" in text


def test_reader_that_goes_away_is_no_error(study: Path) -> None:
    plan = f"{sys.executable} -m tausweep.cli plan --no-measure {study}"
    command = f"{plan} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("study tiny")


def test_page_of_published_verdicts_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["published"]) == 0
    page = Path(__file__).parent.parent / "docs" / "published.md"
    assert page.read_text(encoding="utf-8") == capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["pretrain", "--threads", "0"], "--threads: 0 is not allowed; it should be 1 or more"),
        (
            ["evaluate", "--threads", "1.5"],
            "--threads: 1.5 is not allowed; it should be a whole nu",
        ),
        (
            ["pretrain", "--processes", "-3"],
            "--processes: -3 is not allowed; it should be 0 or mor",
        ),
        (["pretrain", "--checkpoint-seconds", "nan"], "--checkpoint-seconds: nan is not allowed"),
        (["pretrain", "--device", "tpu"], "--device: tpu is not allowed; it should be auto, cpu"),
        (["fill", "--seconds", "-1"], "--seconds: -1 is not allowed; it should be a number of sec"),
        (["fill", "--seconds", "1", "--at-once", "0"], "--at-once: 0 is not allowed"),
        (["prepare", "--threads", "x"], "--threads: x is not allowed; it should be a whole number"),
        (
            ["plan", "--run", "digits/simple/none/seed0"],
            "--run digits/simple/none/seed0: the study",
        ),
        (["plan", "--results", "study.yaml"], "--results study.yaml: is a file; it should be a fo"),
        (["plan", "--resutls", "x"], "unrecognized arguments: --resutls x"),
    ],
)
def test_a_bad_flag_is_one_sentence_that_names_it_as_typed(
    study: Path, capsys: pytest.CaptureFixture[str], command: list[str], says: str
) -> None:
    name, *flags = command
    if name in ("pretrain", "evaluate"):
        flags += ["--run", "digits/contrastive/0.2/seed0"]
    try:
        code: object = main([name, "study.yaml", *flags])
    except SystemExit as end:
        code = end.code
    assert code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tausweep: error: {says}")
    assert len(error.splitlines()) == 1
    assert not Path("results").exists()


def test_a_bad_device_of_the_environment_is_named(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAUSWEEP_DEVICE", "tpu")
    assert main(["evaluate", "study.yaml", "--run", "digits/contrastive/0.2/seed0"]) == 2
    assert "error: TAUSWEEP_DEVICE: tpu is not allowed" in capsys.readouterr().err


def test_what_cannot_be_written_is_called_by_its_own_name(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out.json").mkdir()
    assert main(["resolve", "study.yaml", "out.json"]) == 1
    assert capsys.readouterr().err == "tausweep: error: out.json: Is a directory\n"
    assert not [path for path in Path().iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("command", ["plan", "prepare", "tables", "status", "verify"])
def test_ctrl_c_ends_a_command_in_one_sentence(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def interrupted(path: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tausweep.study.load", interrupted)
    assert main([command, "study.yaml"]) == 130
    assert capsys.readouterr().err.startswith(
        "tausweep: error: interrupted; nothing finished is lo"
    )
