"""Measures of a trained run, one module for each file that an evaluation writes.

For a notebook: ``uniformity``, ``tolerance``, ``interclass_similarity``, ``alignment``,
``effective_dimension``, ``rankme``, ``knn_accuracy`` and ``linear_probe`` take NumPy arrays and
tensors (``tausweep.measures.of_arrays``). They are loaded on first access, and torch with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tausweep.measures.of_arrays import (
        alignment,
        effective_dimension,
        interclass_similarity,
        knn_accuracy,
        linear_probe,
        rankme,
        tolerance,
        uniformity,
    )

__all__ = [
    "alignment",
    "effective_dimension",
    "interclass_similarity",
    "knn_accuracy",
    "linear_probe",
    "rankme",
    "tolerance",
    "uniformity",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tausweep.measures import of_arrays

    return getattr(of_arrays, name)
