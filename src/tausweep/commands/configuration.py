"""The study of a Snakemake command: its config files merged, with ``--config`` on top.

As usual in Snakemake, a later file is merged into the mappings of an earlier one and replaces
everything else, including lists; ``--config`` comes last. Unknown keys are refused, both in files
and in ``--config``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tausweep import study as studies
from tausweep.storage.atomic import write_text
from tausweep.study import Study, StudyError, did_you_mean, digest

SELECT = "select"
"""A key of ``--config`` that is not a setting of a study: patterns that select runs."""

AT_ONCE = "at_once"
"""The other such key, for the target ``filled``: how many runs share a GPU."""
DEFAULT_AT_ONCE = 3
"""The default: the fastest number on an H100 (docs/paper-scale.md)."""

_FILES = ("--configfile", "--configfiles")
_INTEGER = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` on top: mappings are merged at any depth, the rest is replaced."""
    found = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
            found[key] = merged(found[key], value)
        else:
            found[key] = value
    return found


def typed(value: Any) -> Any:
    """A value of ``--config`` with its numbers parsed, which Snakemake does not do in lists."""
    if isinstance(value, Mapping):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [typed(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if _INTEGER.fullmatch(value):
        return int(value)
    if _NUMBER.fullmatch(value):
        return float(value)
    return _WORDS.get(value, value)


def check_keys(config: Mapping[str, Any], of: str) -> None:
    """Refuse an unknown key of ``--config``.

    Args:
        config: The mapping to check.
        of: Where it was given, for the error: ``--config``, or a module's name.

    Raises:
        StudyError: It is neither ``select`` nor ``at_once`` nor a setting of a study.
    """
    known = (SELECT, AT_ONCE, *Study.model_fields)
    for key in config:
        if key not in known:
            raise StudyError(
                f"{of} {key}: unknown key{did_you_mean(key, known)}; known are {', '.join(known)}"
            )


def at_once(config: Mapping[str, Any]) -> int:
    """How many runs share a GPU in a job that trains several.

    Raises:
        StudyError: It is not a whole number of 1 or more.
    """
    value = typed(config.get(AT_ONCE, DEFAULT_AT_ONCE))
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise StudyError(
            f"--config at_once: {value} is not allowed; it should be a whole number of 1 or more"
        )
    return value


def _given(command: Sequence[str], *options: str) -> list[list[str]]:
    """The values after each occurrence of some options in a Snakemake command line."""
    given: list[list[str]] = []
    behind = False
    for word in command:
        option, equals, value = word.partition("=")
        if word.startswith("-"):
            behind = option in options
            if behind:
                given.append([value] if equals else [])
        elif behind:
            given[-1].append(word)
    return given


def check_given_once(command: Sequence[str]) -> None:
    """Refuse ``--configfile A --configfile B``, where Snakemake ignores A.

    Raises:
        StudyError: The option is given twice.
    """
    if len(_given(command, *_FILES)) > 1:
        raise StudyError(
            "--configfile: is given twice, and Snakemake would use only the last; name all files "
            "after one option, later ones on top: --configfile STUDY MORE"
        )


def refuse_unreadable() -> None:
    """End this process, a Snakemake command, if its study files or settings cannot be read.

    Snakemake reads them before its rules. It ends in a traceback if a file is missing, is not text
    or is nested too deeply. Profiles are read even earlier, so our profiles call this function.
    """
    command = sys.argv[1:]
    try:
        for files in _given(command, *_FILES):
            for file in files:
                studies.content_of(file)
        for settings in _given(command, "--config", "-C"):
            for word in settings:
                _check_setting(word)
    except StudyError as error:
        print(f"tausweep: error: {error}", file=sys.stderr)
        sys.exit(2)


def has_settings(config: Mapping[str, Any]) -> bool:
    """Whether there is more than ``select`` and ``at_once``."""
    return bool(config.keys() - {SELECT, AT_ONCE})


def check_module(name: str, prefixed: bool) -> None:
    """Refuse the ``prefix`` of a Snakemake module: the commands in our rules do not know it.

    Raises:
        StudyError: There is one.
    """
    if prefixed:
        raise StudyError(
            f"module {name}: takes neither prefix nor replace_prefix; results are in "
            "results/<study>/, so studies of different names do not mix"
        )


def _check_setting(word: str) -> None:
    """Refuse a ``KEY=VALUE`` of ``--config`` that would make Snakemake itself fail.

    Raises:
        StudyError: It has no value, an unknown key, or a value that is nested too deeply.
    """
    key, equals, value = word.partition("=")
    if not equals:
        raise StudyError(f"--config {word}: has no value; write --config KEY=VALUE")
    check_keys({key: value}, "--config")
    try:
        studies.check_nesting(value)
    except StudyError as error:
        raise StudyError(f"--config {key}: {error}") from None


def study_file(
    files: Sequence[str], config: Mapping[str, Any], folder: Path, of: str = "--config"
) -> str:
    """The study file that a command asks for.

    A single file without settings on top is returned unchanged. Otherwise the merged study is
    written to ``folder``, because the jobs read a file. Its name depends on its content, so the
    same command gets the same file.

    Args:
        files: Study files, later ones on top; none if ``config`` is the whole study.
        config: The settings of ``--config``, or the config of a Snakemake module.
        folder: Where a merged study goes.
        of: Where ``config`` is given, for error messages.

    Raises:
        StudyError: A file or the merged study is not valid.
    """
    check_keys(config, of)
    over = {k: typed(value) for k, value in config.items() if k not in (SELECT, AT_ONCE)}
    if len(files) == 1 and not over:
        return files[0]
    content: dict[str, Any] = {}
    for file in files:
        content = merged(content, studies.content_of(file))
    content = merged(content, over)
    try:
        asked = studies.parse(content)
    except StudyError as error:
        named = " + ".join([*files, *([of] if over else [])])
        raise StudyError(f"{named}: {error}") from None
    path = folder / f"{asked.study}-{digest(content)}.json"
    if not path.exists():
        text = json.dumps(content, indent=2, ensure_ascii=False)
        write_text(path, text + "\n")
    return str(path)
