"""Load a user's own Python file: a loss, a dataset or a measure that a study names."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tausweep.study import StudyError
from tausweep.study.paths import expanded


def function(module: str, name: str, field: str) -> Callable[..., Any]:
    """The function ``name`` of the Python file ``module``.

    Args:
        module: Path of the file, absolute or relative to the working directory.
        name: What the file must define.
        field: The field of the study that names the file, for error messages.

    Raises:
        StudyError: The file does not exist, cannot be imported, or lacks the function. Calls of the
            function raise it too, see ``guarded``.
    """
    path = expanded(module, field)
    if not path.is_file():
        raise StudyError(f"{field}: there is no file {path}; a Python file with {name}() is needed")
    # A unique name keeps files of the same name apart; dataclasses look up their module by it.
    unique = f"tausweep_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{field}: {path} is not allowed; a .py file is needed")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[unique] = loaded
    try:
        spec.loader.exec_module(loaded)
    except (Exception, SystemExit) as error:
        raise StudyError(_sentence(error, path, field)) from error
    found = getattr(loaded, name, None)
    if not callable(found):
        raise StudyError(f"{field}: {path} has no function {name}()")
    return guarded(found, module, field)


def guarded(
    function: Callable[..., Any],
    module: str,
    field: str,
    *,
    defined: Callable[..., Any] | None = None,
    diverges: bool = False,
) -> Callable[..., Any]:
    """Wrap a function of a user's file so that its errors become one sentence with file and line.

    Args:
        function: A function of that file, or one that calls it.
        module: The file.
        field: The field of the study that names it.
        defined: The file's own function, if ``function`` calls it.
        diverges: Whether a FloatingPointError means that a run has diverged and is passed on.

    Raises:
        StudyError: The function raised anything but a StudyError.
    """
    own = defined or function

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except StudyError:
            raise
        # SystemExit too: otherwise a file that calls sys.exit would end the command without an
        # error.
        except (Exception, SystemExit) as error:
            if diverges and isinstance(error, FloatingPointError):
                raise
            raise StudyError(_sentence(error, Path(module).expanduser(), field, own)) from error

    return call


def place(function: Callable[..., Any], module: str) -> str:
    """The file, and the line of the function if it is defined there."""
    path, own = Path(module).expanduser(), inspect.unwrap(function)
    # A callable object has its code in its class.
    code = getattr(own, "__code__", None) or getattr(type(own).__call__, "__code__", None)
    if code is not None and Path(code.co_filename).resolve() == path.resolve():
        return f"{path}, line {code.co_firstlineno}"
    return str(path)


def _sentence(
    error: BaseException, path: Path, field: str, function: Callable[..., Any] | None = None
) -> str:
    """Where in the user's file it failed, and Python's message."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == path.resolve()
    ]
    if isinstance(error, SyntaxError) and error.lineno is not None:
        lines.append(error.lineno)
    at = f"{path}, line {lines[-1]}" if lines else str(path)
    if not lines and function is not None:
        at = place(function, str(path))
    said = " ".join(traceback.format_exception_only(error)[-1].split())
    return f"{field}: {at}: {said}"
