"""What `tausweep measure` measures: embeddings from a file, or from an encoder and images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tausweep.study import StudyError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Embedded:
    """Embeddings that can be measured.

    Attributes:
        name: What they are called.
        x: n x d, float32 or float64.
        labels: n int64, or none.
        train: N x d of a training split, or none.
        train_labels: N int64, or none.
        views: Embeddings of two views of the same images, or none.
        what: In words, what the rows are.
        compares: In words, what alignment compares.
    """

    name: str
    x: Tensor
    labels: Tensor | None = None
    train: Tensor | None = None
    train_labels: Tensor | None = None
    views: tuple[Tensor, Tensor] | None = None
    what: str | None = None
    compares: str | None = None


def matrix(values: Any, name: str) -> Tensor:
    """Embeddings of any number type as n x d float32; float64 stays float64.

    Args:
        values: An array or a tensor; float16, bfloat16 and integers become float32.
        name: What error messages call it.

    Raises:
        StudyError: It is not an n x d array of numbers with n >= 2, or a row is zero or not finite.
    """
    import torch

    if not isinstance(values, torch.Tensor):
        found = np.asarray(values)
        if found.dtype.kind not in "fiub":
            raise StudyError(f"{name}: {found.dtype} values are not allowed; numbers are needed")
        wide = found.dtype.kind == "f" and found.dtype.itemsize >= 8
        values = torch.from_numpy(np.array(found, dtype=np.float64 if wide else np.float32))
    elif values.is_complex():
        raise StudyError(f"{name}: {values.dtype} values are not allowed; real ones are needed")
    x: Tensor = values.detach().cpu()
    x = x if x.dtype == torch.float64 else x.to(torch.float32)
    if x.ndim != 2 or x.shape[1] == 0:
        shape = " x ".join(map(str, x.shape)) or "one number"
        raise StudyError(
            f"{name}: a {x.ndim}-dimensional array ({shape}) is not allowed; n x d is needed, one "
            "embedding a row"
        )
    if len(x) < 2:
        raise StudyError(f"{name}: {len(x)} rows given; two or more are needed")
    for bad, fault in (
        (~torch.isfinite(x).all(dim=1), "hold NaN or infinity"),
        ((x == 0).all(dim=1), "are zero and have no direction"),
    ):
        if count := int(bad.sum()):
            first = int(bad.nonzero()[0])
            raise StudyError(
                f"{name}: {count:,} of {len(x):,} rows {fault}, the first is row {first} (counted "
                "from 0); take such rows out, and their labels"
            )
    return x


def codes(values: Any, count: int, name: str, of: str) -> NDArray[np.int64]:
    """Labels (integers or texts) as int64 codes: the position of each among the sorted values.

    Args:
        values: One label per embedding.
        count: Number of embeddings.
        name: Where the labels come from, for errors.
        of: What the embeddings are called.

    Raises:
        StudyError: The number of labels is not that of the embeddings, or a label is empty.
    """
    labels = np.asarray(values)
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.reshape(-1)
    if labels.ndim != 1:
        raise StudyError(
            f"{name}: labels of shape {labels.shape} are not allowed; one a row is needed"
        )
    if len(labels) != count:
        raise StudyError(f"{name}: {len(labels):,} labels given, but {of} has {count:,} embeddings")
    empty = None
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels))
        empty = np.flatnonzero(~whole)
    elif labels.dtype.kind == "O":
        empty = np.array([i for i, v in enumerate(labels) if v is None or v != v], dtype=np.int64)
        labels = labels if len(empty) else labels.astype(str)
    elif labels.dtype.kind not in "iubUST":
        raise StudyError(f"{name}: {labels.dtype} labels are not allowed; integers or texts are")
    if empty is not None and len(empty):
        raise StudyError(
            f"{name}: the label at row {empty[0]} (counted from 0) is {labels[empty[0]]}; each "
            "needs an integer or a text"
        )
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
