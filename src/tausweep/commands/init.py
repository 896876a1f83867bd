"""`tausweep init`: a commented study file to begin with."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path

import yaml

from tausweep.storage import shipped
from tausweep.storage.atomic import write_text
from tausweep.study import NAME, RESERVED_STUDIES, StudyError
from tausweep.study.loader import StudyLoader

TEMPLATE = "config/config.yaml"
"""The same file that the workflow catalogue deploys."""

_NAMED = "\nstudy: mine\n"
_SUFFIXES = (".yaml", ".yml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "file", nargs="?", default="study.yaml", metavar="FILE", help="where (%(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Write the file and say what to do with it.

    Raises:
        StudyError: The file already exists, or its name cannot be the name of a study.
    """
    file = Path(options.file)
    if file.exists() or file.is_symlink():
        raise StudyError(f"{file}: already exists; nothing was written")
    if file.suffix not in _SUFFIXES:
        raise StudyError(f"{file}: a study file ends in .yaml or .yml")
    write_text(file, content(file.stem))
    shown = shlex.quote(str(file))
    print(f"wrote {file}: a study that runs as it is, to be edited")
    print(f"  tausweep plan {shown}   checks it, and says what it costs")
    print(f"  tausweep run {shown}    runs it")


def content(name: str) -> str:
    """A study file.

    Args:
        name: Name of the study.

    Raises:
        StudyError: A study cannot have this name.
    """
    if not re.fullmatch(NAME, name) or name in RESERVED_STUDIES:
        raise StudyError(
            f"{name}: a study cannot be called that; a name has letters, digits, dots, dashes and "
            f"underscores, begins with a letter or digit, and is not "
            f"{' or '.join(sorted(RESERVED_STUDIES))}"
        )
    text = shipped.path(TEMPLATE).read_text(encoding="utf-8")
    assert text.count(_NAMED) == 1
    # A name that YAML would read as a number or a truth value is quoted.
    plain = yaml.load(name, StudyLoader) == name
    return text.replace(_NAMED, f"\nstudy: {name if plain else json.dumps(name)}\n")
