"""A user's own Python file: a loss, a dataset or a measure that the study names."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
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
        StudyError: There is no such file, it cannot be imported, or it lacks the function.
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
        raise StudyError(f"{field}: {path} cannot be imported: {error!r}") from error
    found = getattr(loaded, name, None)
    if not callable(found):
        raise StudyError(f"{field}: {path} has no function {name}()")
    return found  # type: ignore[no-any-return]
