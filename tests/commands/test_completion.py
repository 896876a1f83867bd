"""Shell completion, as a shell of the user reads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tausweep import cli
from tausweep.storage import shipped

COMPLETE = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
function=$(complete -p tausweep | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$function
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The script of each shell, as a file."""
    folder = tmp_path_factory.mktemp("completion")
    paths = {}
    for shell in ("bash", "zsh", "fish"):
        paths[shell] = folder / shell
        paths[shell].write_text(cli.answer(["--print-completion", shell]), encoding="utf-8")
    return paths


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ([""], set(cli.COMMANDS)),
        (["pl"], {"plan"}),
        (["plan", "demo", "--r"], {"--results", "--run"}),
        (["plan", ""], {*shipped.studies(), "mine.yaml", "sub/"}),
        (["run", "options/f"], {"options/flip"}),
        (["plan", "demo", "--results", "s"], {"sub"}),
        (["measure", "o"], {"other.npy"}),
        (["--print-completion", ""], {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes_commands_flags_and_studies(
    scripts: dict[str, Path], typed: list[str], found: set[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "other.npy").touch()
    (tmp_path / "sub").mkdir()
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", str(scripts["bash"]), "tausweep", *typed],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert (set(done.stdout.split()), done.stderr) == (found, "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_script_has_every_command_flag_and_study(scripts: dict[str, Path], shell: str) -> None:
    text = scripts[shell].read_text(encoding="utf-8")
    for command in cli.COMMANDS.values():
        assert command.name in text
        for action in cli.parser_of(command, command.load())._actions:
            for flag in action.option_strings:
                assert (
                    flag if shell == "zsh" else f"-l {flag.lstrip('-')}"
                ) in text or flag == "-h"
    for study in shipped.studies():
        assert study in text
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(scripts[shell])], check=True)


def test_nothing_that_computes_is_loaded_to_make_a_script() -> None:
    code = (
        "import sys; from tausweep import cli\n"
        "assert '_shtab_tausweep' in cli.answer(['--print-completion', 'bash'])\n"
        "assert not {'torch', 'numpy', 'pandas', 'snakemake'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_shells_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--print-completion", "tcsh"])
    assert ended.value.code == 2
    assert "--print-completion: invalid choice: 'tcsh'" in capsys.readouterr().err
