"""Shell completion: a script for bash, zsh or fish with all commands, flags and shipped studies.

The script is made once (``tausweep --print-completion SHELL``) and asks no process while a user
types, so it answers at once.
"""

from __future__ import annotations

import argparse
from typing import Any

import shtab

from tausweep.storage import shipped

OF_METAVAR: dict[str, Any] = {
    "DIR": shtab.DIRECTORY,
    "FILE": shtab.FILE,
    "FOLDER": shtab.DIRECTORY,
    "INPUT": shtab.FILE,
    "OUTPUT": shtab.FILE,
    "RECORDS": shtab.FILE,
    "RECORDS_A": shtab.FILE,
    "RECORDS_B": shtab.FILE,
    "SOURCE": shtab.FILE,
    "WHAT": shtab.FILE,
}
"""What completes an argument, by its name in the help page; ``STUDY`` is a study."""


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The completion script of a parser and of the commands below it.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
        parser: Of all commands.
    """
    _mark(parser, OF_METAVAR | {"STUDY": _study()})
    return shtab.complete(parser, shell)


def _mark(parser: argparse.ArgumentParser, known: dict[str, Any]) -> None:
    """Say of each argument what completes it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _mark(below, known)
        elif isinstance(action.metavar, str) and action.metavar in known:
            action.complete = known[action.metavar]  # type: ignore[attr-defined]


def _study() -> dict[str, Any]:
    """Completes a study: a YAML or JSON file, a folder on the way to one, or a shipped name."""
    names = " ".join(shipped.studies())
    return {
        "bash": "_tausweep_studies",
        "zsh": "_tausweep_studies",
        "fish": "(_tausweep_studies)",
        "preamble": {
            "bash": f"""
_tausweep_studies() {{
  compgen -W "{names}" -- "$1"
  local suffix
  for suffix in yaml yml json; do
    compgen -f -X "!*.$suffix" -- "$1"
  done
  compgen -d -S / -- "$1"
}}
""",
            "zsh": f"""
_tausweep_studies() {{
  _alternative 'studies:study:({names})' 'files:study file:_files -g "*.(yaml|yml|json)"'
}}
""",
            "fish": f"""
function _tausweep_studies
  string split ' ' '{names}'
  for suffix in .yaml .yml .json
    __fish_complete_suffix $suffix
  end
end
""",
        },
    }
