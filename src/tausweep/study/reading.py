"""Read study files and validate them."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from tausweep.study.errors import StudyError, sentence
from tausweep.study.fields import Settings
from tausweep.study.grid import Study
from tausweep.study.loader import StudyLoader

DEEPEST = 60
"""Allowed levels of mappings and lists. tausweep's own settings need six; options may need more."""

TOO_DEEP = f"it is nested too deeply; {DEEPEST} levels are allowed"


def load(path: str | Path) -> Study:
    """Read, validate and fully resolve a study file.

    Raises:
        StudyError: The file cannot be read, is not a YAML mapping, names a key twice or an unknown
            one, or has a value that is not allowed.

    Examples:
        >>> from tausweep.study import load
        >>> len(load("benchmarks/demo.yaml").runs())
        27
    """
    content = content_of(path)
    try:
        return parse(content)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None


def content_of(path: str | Path) -> dict[str, Any]:
    """Read a study file without validating its settings.

    Raises:
        StudyError: The file cannot be read, is not a YAML mapping, or names a key twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise StudyError(f"study file {path}: cannot be read: {reason}") from None
    try:
        content = _read(text)
        _check_depth(content)
    except RecursionError:
        raise StudyError(f"study file {path}: {TOO_DEEP}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", "it is not YAML")
        raise StudyError(f"study file {path}{where}: {problem}") from None
    if not isinstance(content, dict):
        raise StudyError(f"study file {path}: must be a mapping of settings, such as `study: name`")
    return content


def check_nesting(text: str) -> None:
    """Refuse YAML or JSON that is nested so deeply that a library would not read or write it.

    Raises:
        StudyError: It is. Text that is neither passes.
    """
    try:
        _check_depth(_read(text))
    except RecursionError:
        raise StudyError(TOO_DEEP) from None
    except yaml.YAMLError:
        return


def _read(text: str) -> Any:
    """Parse YAML, or JSON, which is YAML too except for tabs between its parts."""
    if text.lstrip().startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):
            json.loads(text)
            # JSON strings cannot contain tabs, so these only indent.
            text = text.replace("\t", "  ")
    return yaml.load(text, StudyLoader)


def _check_depth(content: Any) -> None:
    """Refuse content that contains itself, or is nested too deeply to be written as JSON.

    Raises:
        RecursionError: It does, or is.
    """
    level = [content]
    for _ in range(DEEPEST):
        mappings = (part.values() for part in level if isinstance(part, Mapping))
        lists = (part for part in level if isinstance(part, list | tuple))
        # By identity, because YAML aliases repeat what is written once.
        inner = {id(part): part for part in itertools.chain(*mappings, *lists)}
        level = list(inner.values())
    if level:
        raise RecursionError


def parse(content: Mapping[str, Any]) -> Study:
    """Validate a study given as a mapping, including the settings of every run.

    Raises:
        StudyError: As for ``load``.
    """
    try:
        _check_depth(content)
        study = Study.model_validate(content)
    except RecursionError:
        raise StudyError(TOO_DEEP) from None
    except ValidationError as error:
        raise StudyError(sentence(error, Study, {})) from None
    study.by_worth()
    return study


Model = TypeVar("Model", bound=Settings)


def parse_settings(model: type[Model], content: Any) -> Model:
    """Validate one section of settings.

    Raises:
        StudyError: As for ``load``.
    """
    try:
        _check_depth(content)
        return model.model_validate(content)
    except RecursionError:
        raise StudyError(TOO_DEEP) from None
    except ValidationError as error:
        raise StudyError(sentence(error, model, {})) from None
