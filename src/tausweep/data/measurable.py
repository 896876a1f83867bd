"""Check, from the number of images, that the measures can be computed, before any training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tausweep.data import subset
from tausweep.study import DatasetSettings, RunSettings, StudyError

Counts = Mapping[str, int]
"""Number of images by class; a class without images may be listed with 0."""


def per_class(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
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


def check_size(settings: Iterable[RunSettings], count: int) -> None:
    """Refuse settings that do not fit the number of training images.

    Args:
        settings: Settings of runs on the same data.
        count: Number of training images N.

    Raises:
        StudyError: The hard set is larger than the N - 1 negatives, batch norm would get a single
            image, or kNN asks for more than N neighbours.
    """
    for one in settings:
        one.loss.hard_set_size(count)
        one.check_batches(count)
        if one.knn.k > count:
            raise StudyError(
                f"knn.k: {one.knn.k} is more than the {count} training images; "
                f"1 to {count} are allowed"
            )


def check(dataset: str, train: Counts, test: Counts) -> None:
    """Refuse data on which a measure could not be computed.

    Args:
        dataset: Its name, for error messages.
        train: Images of the training split.
        test: Images of the test split.

    Raises:
        StudyError: A split has fewer than two classes, or no class with two images, which
            tolerance needs; or a class of the training split has no test image, so its accuracy
            could not be measured.
    """
    for name, counts, limit in (("training", train, "train_limit"), ("test", test, "test_limit")):
        there = {label: count for label, count in counts.items() if count}
        if len(there) < 2:
            found = f"one class ({next(iter(there))})" if there else "no class"
            raise StudyError(
                f"dataset {dataset}: its {name} images have {found}; two or more classes are needed"
            )
        if max(there.values()) < 2:
            raise StudyError(
                f"dataset {dataset}: no class has two {name} images, which tolerance needs; add "
                f"images, or raise {limit} if it is set"
            )
    if lacking := [label for label, count in train.items() if count and not test.get(label)]:
        shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if lacking[3:] else "")
        raise StudyError(
            f"dataset {dataset}: {len(lacking)} of {len(train)} classes have no test image "
            f"({shown}); add one for each, or remove these classes from the training split"
        )
