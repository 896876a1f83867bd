"""A user's own Python file: a loss, a dataset or a measure that the study names."""

from __future__ import annotations

import importlib.util
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
    path = Path(module)
    if not path.is_file():
        raise StudyError(f"{field}: {module} is not a file; a Python file with {name}() is needed")
    spec = importlib.util.spec_from_file_location(f"tausweep_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{field}: {module} is not a Python file; its name must end in .py")
    loaded = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except Exception as error:
        raise StudyError(f"{field}: {module} cannot be imported: {error!r}") from error
    found = getattr(loaded, name, None)
    if not callable(found):
        raise StudyError(f"{field}: {module} defines no function {name}()")
    return found  # type: ignore[no-any-return]
