"""Errors in a user's input: one sentence that names the field, the value and what is allowed."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from tausweep.study.fields import Settings


class StudyError(ValueError):
    """An error in a user's input, in one sentence: the field, the value and what is allowed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean X`` with the nearest known word, or an empty text if none is near."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {close[0]}" if close else ""


def _known_keys(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """The field names that are allowed where an unknown key was found."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            inner = next(_models(model.model_fields[part].annotation), None)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as ``dict[str, LossGrid]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def sentence(error: ValidationError, model: type[Settings], context: Mapping[str, str]) -> str:
    """The first validation error as one sentence: field, value, what is allowed."""
    first = error.errors(include_url=False)[0]
    path = tuple(p for p in first["loc"] if p != "[key]")
    names = [context.get(str(path[0]), str(path[0])), *path[1:]] if path else []
    field = ".".join(str(n) for n in names)
    field = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", field)
    message = first["msg"].removeprefix("Value error, ")
    for section, name in context.items():
        message = message.replace(f"{section}.", f"{name}.") if not path else message
    value = first.get("input")
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        listed = f"; known keys are {', '.join(known)}" if known else ""
        return f"{field}: unknown key{did_you_mean(str(path[-1]), known)}{listed}"
    if first["type"] == "missing":
        return f"{field}: is required but missing"
    if first["type"] == "value_error" and (
        not field or isinstance(value, BaseModel) or (isinstance(value, dict) and value)
    ):
        return f"{field}: {message}" if field and not message.startswith(field) else message
    shown = json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        shown = str(value)
    if first["type"] == "string_type" and first["loc"][-1] == "[key]":
        above = ".".join(str(part) for part in path[:-1])
        return f"{above}: the name {shown} must be text; put it in quotes"
    message = message[0].lower() + message[1:].replace("a valid tuple", "a list")
    if message.startswith("input should be "):
        return f"{field}: {shown} is not allowed; it should be {message[16:]}"
    return f"{field}: {shown} is not allowed: {message}"
