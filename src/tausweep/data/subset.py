"""Class-balanced random subsets of images, by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tausweep.study import StudyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def shares(available: Mapping[str, int], limit: int, field: str) -> dict[str, int]:
    """How many images of each class a balanced subset takes; see ``balanced``.

    Args:
        available: Images of each class, in the order of the class ids.
        limit: Size of the subset.
        field: Name of the limit in the study file, for error messages.

    Raises:
        StudyError: As for ``balanced``.
    """
    if limit < len(available):
        raise StudyError(
            f"{field}: {limit} is not allowed: it is less than one image for each of the "
            f"{len(available)} classes"
        )
    share, remainder = divmod(limit, len(available))
    wanted = {name: share + (label < remainder) for label, name in enumerate(available)}
    for name, count in wanted.items():
        if available[name] < count:
            raise StudyError(
                f"{field}: {limit} is not allowed: a balanced subset needs {count} images of "
                f"class {name!r}, which has {available[name]}"
            )
    return wanted


def balanced(
    labels: NDArray[np.int64], classes: Sequence[str], limit: int, seed: int, field: str
) -> NDArray[np.int64]:
    """Ascending indices of ``limit`` images, with equally many of each class.

    Each of the C classes gives floor(limit / C) images; the first classes give one more each until
    the limit is reached. Every image has a random key, and each class gives the images with the
    smallest keys. So for one seed, a smaller subset is part of every larger one.

    Args:
        labels: N class ids; images without a label (-1) are one more class.
        classes: The C class names.
        limit: Size of the subset, at least C.
        seed: Seed of the keys.
        field: Name of the limit in the study file, for error messages.

    Raises:
        StudyError: The limit is below C, or a class has too few images.
    """
    import numpy as np  # not above: a job sets its threads before NumPy is loaded

    if (labels < 0).any():
        labels = np.where(labels < 0, len(classes), labels)
        classes = [*classes, ""]
    there = np.bincount(labels, minlength=len(classes)).tolist()
    wanted = shares(dict(zip(classes, there, strict=True)), limit, field)
    # NumPy guarantees only the raw output of a bit generator to stay the same in all versions.
    keys = np.random.PCG64(seed).random_raw(len(labels))
    chosen = []
    for label, count in enumerate(wanted.values()):
        members = np.flatnonzero(labels == label)
        chosen.append(members[np.argsort(keys[members], kind="stable")[:count]])
    return np.sort(np.concatenate(chosen))
