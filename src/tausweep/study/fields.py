"""The kinds of values that settings are made of, and the base of all settings."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _no_bool(value: Any) -> Any:
    # Otherwise YAML's `true` would pass as the number 1.
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return value


Integer = Annotated[int, BeforeValidator(_no_bool)]


Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]


Positive = Annotated[Number, Field(gt=0)]


Count = Annotated[Integer, Field(ge=1)]


Probability = Annotated[Number, Field(ge=0, le=1)]


Seed = Annotated[Integer, Field(ge=0, lt=2**31)]


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __hash__(self) -> int:
        # Options of plug-ins are dicts, which cannot be hashed.
        return hash(self.model_dump_json())


Interval = tuple[Positive, Positive]


def increasing(value: tuple[float, ...]) -> tuple[float, ...]:
    """The milestones, checked to be increasing.

    Raises:
        ValueError: They are not increasing.
    """
    if any(b <= a for a, b in itertools.pairwise(value)):
        raise ValueError("the milestones must increase")
    return value


NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


Name = Annotated[str, Field(pattern=f"^{NAME}$")]


def first_repeated(values: tuple[Any, ...]) -> Any:
    """The first value that is listed twice; none if all are different."""
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
