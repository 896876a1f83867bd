"""A user's own Python file: a loss, a dataset or a measure that the study names."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tausweep.study import StudyError


def function(module: str, name: str, field: str) -> Callable[..., Any]:
    """The function ``name`` of the Python file ``module``.

    Args:
        module: Path of the file, absolute or from where the command runs.
        name: What the file must define.
        field: The study's field that names it, for the sentence of an error.

    Raises:
        StudyError: There is no such file, it cannot be imported, or it lacks the function; and
            when the function is called, see ``guarded``.
    """
    path = Path(module).expanduser()
    if not path.is_file():
        raise StudyError(f"{field}: there is no file {path}; a Python file with {name}() is needed")
    # The name keeps files of the same name apart; dataclasses look up their module by it.
    unique = f"tausweep_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{field}: {path} is not allowed; a .py file is needed")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[unique] = loaded
    try:
        spec.loader.exec_module(loaded)
    except Exception as error:
        raise StudyError(_sentence(error, path, field)) from error
    found = getattr(loaded, name, None)
    if not callable(found):
        raise StudyError(f"{field}: {path} has no function {name}()")
    return guarded(found, module, field)


def guarded(function: Callable[..., Any], module: str, field: str) -> Callable[..., Any]:
    """A function of a user's file, whose errors are told in one sentence with file and line.

    Args:
        function: Of that file.
        module: The file.
        field: The study's field that names it.

    Raises:
        StudyError: The function raised anything but a StudyError or a FloatingPointError, which
            says that a run has diverged.
    """
    path = Path(module).expanduser()

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except (StudyError, FloatingPointError):
            raise
        except Exception as error:
            raise StudyError(_sentence(error, path, field)) from error

    return call


def _sentence(error: Exception, path: Path, field: str) -> str:
    """Where in the user's file it failed, and what Python says of it."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == path.resolve()
    ]
    if isinstance(error, SyntaxError) and error.lineno is not None:
        lines.append(error.lineno)
    at = f", line {lines[-1]}" if lines else ""
    said = traceback.format_exception_only(error)[-1].strip()
    return f"{field}: {path}{at}: {said}"
