"""How the sentences of verdicts name columns, losses, cells and counts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tausweep.claims.columns import Column, column_name
from tausweep.results.cells import printed

WORDS = {
    "linear_accuracy": "accuracy",
    "gradient_balance": "the gradient balance error",
    "entropy_rises": "the share of anchors whose entropy rises with tau",
    "interval_narrows": "the share of anchors whose interval narrows",
    "limit_low_error": "the error at tau -> 0+",
    "limit_high_error": "the error at tau -> inf",
    "exchange_difference": "the change of the loss on exchange",
    "nearest_interclass_similarity": "similarity to the ten nearest images of other classes",
    "interclass_similarity": "mean similarity between classes",
}
"""Words for columns whose names are not words."""


def in_words(column: Column) -> str:
    """A column as a sentence names it."""
    name = column_name(column)
    return WORDS.get(name, name.replace("_", " "))


def cell_name(loss: str, temperature: float | None, stands_for: float | None = None) -> str:
    """``contrastive at 0.3``; a stand-in also names the requested temperature."""
    if temperature is None:
        return loss_words(loss)
    name = f"{loss_words(loss)} at {printed(temperature)}"
    if stands_for is None or math.isclose(temperature, stands_for):
        return name
    return f"{name} (nearest to {printed(stands_for)})"


def loss_words(loss: str) -> str:
    """A loss as a sentence names it: ``hard contrastive``."""
    return loss.replace("_", " ")


def count_of(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``, ``1,200 runs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def comma_separated(items: Iterable[object]) -> str:
    """``0, 1, 2``."""
    return ", ".join(str(item) for item in items)
