"""A user's own measure: a Python file whose ``measure(embeddings)`` returns names and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from tausweep.study import StudyError, plugins
from tausweep.study.columns import COLUMNS

ALLOWED = "allowed is a number: an int, a float, or an array or tensor of one element"


def take(
    name: str, module: str, embeddings: Mapping[str, Tensor], say: Callable[[str], None]
) -> dict[str, float]:
    """Apply the file's ``measure`` to a run.

    Args:
        name: What the study calls the measure.
        module: Its file.
        embeddings: The content of ``embeddings.safetensors``; the file gets a copy.
        say: Called for numbers that are not finite, whose cells stay empty.

    Raises:
        StudyError: The file cannot be used, or ``measure`` raised, did not return a mapping of
            names to numbers, or returned a name that a record has already.
    """
    field = f"measures.{name}"
    function = plugins.function(module, "measure", field)
    copies = {part: tensor.clone() for part, tensor in embeddings.items()}

    def numbers() -> dict[str, float]:
        given = function(copies)
        if not isinstance(given, Mapping):
            raise StudyError(
                f"{at}: it returned {_shown(given)}; it should return a mapping of names to numbers"
            )
        return {_name(key, at): _number(key, value, at) for key, value in given.items()}

    at = f"{field}: {plugins.place(function, module)}"
    found: dict[str, float] = plugins.guarded(numbers, module, field, defined=function)()
    for key, value in found.items():
        if not math.isfinite(value):
            say(f"{field}: {key} is {value}: its cell stays empty")
    return found


def refuse_shared(measures: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse two measures that give the same name.

    Args:
        measures: The values of each of the user's measures, by the measure's name.

    Raises:
        StudyError: They do.
    """
    owners: dict[str, str] = {}
    for measure, values in measures.items():
        for key in values:
            if key in owners:
                raise StudyError(
                    f"measures.{measure}: the name {key!r} is given by {owners[key]} too; each "
                    "column needs a name of its own"
                )
            owners[key] = measure


def _name(key: Any, at: str) -> str:
    if not isinstance(key, str) or not key.strip() or key != key.strip() or not key.isprintable():
        raise StudyError(f"{at}: the name {key!r} is not allowed; it should be a word")
    if key in COLUMNS:
        raise StudyError(f"{at}: the name {key!r} is a column of every record; choose another")
    return key


def _number(key: str, value: Any, at: str) -> float:
    number = value
    if isinstance(value, Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1:
        number = value.item()
    if not isinstance(number, Real):
        raise StudyError(f"{at}: {key!r} is {_shown(value)}; {ALLOWED}")
    return float(number)


def _shown(value: Any) -> str:
    """A value and its type, shortened."""
    if value is None:
        return "None"
    if isinstance(value, Tensor | np.ndarray):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:40] + '...'}, a {type(value).__name__}"
