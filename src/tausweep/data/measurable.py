"""Check by a dataset's counts, before decoding, that measures and settings will work on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tausweep.data import subset
from tausweep.data.sources import NO_LABEL_COUNT
from tausweep.study import DatasetSettings, Run, StudyError

Counts = Mapping[str, int]
"""Number of images by class; a class without images may be listed with 0, and images without a
label are those of ``NO_LABEL_COUNT``."""


def images_per_class(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Number of images by split and class of prepared data, from its manifest."""
    return {name: split["per_class"] for name, split in manifest["splits"].items()}


def limited(counts: Mapping[str, Counts], dataset: DatasetSettings) -> dict[str, dict[str, int]]:
    """Number of images by split and class after the limits of a dataset.

    Args:
        counts: Images at the source, by split and class.
        dataset: Has the limits.

    Raises:
        StudyError: A class has too few images for a limit.
    """
    train = there = dict(counts["train"])
    if dataset.train_limit is not None:
        train = subset.shares(there, dataset.train_limit, "train_limit")
    test = dict(counts["test"])
    if dataset.validation:
        test = {name: count - train[name] for name, count in there.items()}
    if dataset.test_limit is not None:
        test = subset.shares(test, dataset.test_limit, "test_limit")
    return {"train": train, "test": test}


@contextlib.contextmanager
def of(runs: Iterable[Run]) -> Iterator[None]:
    """Prefix any StudyError raised in the block with the names of the runs' datasets.

    Raises:
        StudyError: The error from the block, with the prefix.
    """
    *others, last = dict.fromkeys(run.dataset for run in runs)
    named = f"datasets {', '.join(others)} and {last}" if others else f"dataset {last}"
    try:
        yield
    except StudyError as error:
        raise StudyError(f"{named}: {error}") from None


def check(counts: Mapping[str, Counts], runs: Iterable[Run]) -> None:
    """Refuse data on which a measure could not be computed, or that do not fit their runs.

    Args:
        counts: Images by split and class.
        runs: Runs that use these data.

    Raises:
        StudyError: Of images with labels: a split has fewer than two classes, or no class with two
            images, which tolerance needs; or a class of the training split has no test image, so
            that its accuracy is not measured; or see ``check_size``.
    """
    train, test = (dict(counts[split]) for split in ("train", "test"))
    total = sum(train.values())
    if train.pop(NO_LABEL_COUNT, 0) and not any(train.values()):
        test.pop(NO_LABEL_COUNT, 0)
        if any(test.values()):
            raise StudyError("there are test images with a label, but no such training images")
        check_size(runs, total)  # no measure needs a class
        return
    if test.get(NO_LABEL_COUNT):
        raise StudyError("there are training images with a label and test images without one")
    for name, split, limit in (("training", train, "train_limit"), ("test", test, "test_limit")):
        there = {label: count for label, count in split.items() if count}
        if len(there) < 2:
            found = f"one class ({next(iter(there))})" if there else "no classes"
            raise StudyError(f"the {name} images have {found}; two or more are needed")
        if max(there.values()) < 2:
            raise StudyError(
                f"no class has two {name} images, which tolerance needs; more images, or a larger "
                f"{limit} if one is set, are needed"
            )
    if lacking := [label for label, count in train.items() if count and not test.get(label)]:
        shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if lacking[3:] else "")
        raise StudyError(
            f"{len(lacking)} of {len(train)} classes have no test image ({shown}); each class "
            "needs one, or take the class out of the training split"
        )
    check_size(runs, total)
    for settings in {run.settings: None for run in runs}:
        if settings.knn.k > (labelled := sum(train.values())):
            raise StudyError(
                f"knn.k: {settings.knn.k} is more than the {labelled} training images with a "
                f"label; allowed is 1 to {labelled}"
            )


def check_size(runs: Iterable[Run], count: int) -> None:
    """Refuse runs whose settings do not fit the number of training images.

    Args:
        runs: Runs that use the same data.
        count: Number of training images N.

    Raises:
        StudyError: The hard set is larger than there are negatives, a queue does not fit, batch
            norm would get a single image, or kNN asks for more than N neighbours.
    """
    for settings in {run.settings: None for run in runs}:
        settings.loss.check_source(count, settings.pretrain.batch_size)
        settings.check_batches(count)
        if settings.knn.k > count:
            raise StudyError(
                f"knn.k: {settings.knn.k} is more than the {count} training images; "
                f"allowed is 1 to {count}"
            )
