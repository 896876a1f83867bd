"""Class-balanced, seeded choices of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tausweep.study import StudyError


def balanced(
    labels: NDArray[np.int64], classes: Sequence[str], limit: int, seed: int, field: str
) -> NDArray[np.int64]:
    """Ascending indices of ``limit`` images, equally many of each class.

    Each of the C classes gives floor(limit / C); what remains is spread over the first classes,
    one each. Which images of a class: those with the smallest of N random keys, so that with one
    seed a smaller choice is part of every larger one.

    Args:
        labels: N class ids.
        classes: The C class names.
        limit: Size of the choice, at least C.
        seed: Seed of the keys.
        field: What the limit is called in the study file, for the error's sentence.

    Raises:
        StudyError: The limit is below C, or a class has too few images; the sentence names both.
    """
    if limit < len(classes):
        raise StudyError(
            f"{field}: {limit} is not allowed: it is less than one for each of the "
            f"{len(classes)} classes"
        )
    # Raw output of a bit generator is the one stream that numpy promises never to change.
    keys = np.random.PCG64(seed).random_raw(len(labels))
    share, remainder = divmod(limit, len(classes))
    chosen = []
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        wanted = share + (label < remainder)
        if len(members) < wanted:
            raise StudyError(
                f"{field}: {limit} is not allowed: a balanced subset needs {wanted} images of "
                f"class {name!r}, which has {len(members)}"
            )
        chosen.append(members[np.argsort(keys[members], kind="stable")[:wanted]])
    return np.sort(np.concatenate(chosen))
