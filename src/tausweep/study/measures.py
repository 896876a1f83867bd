"""Measures by the names of their files, and their settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tausweep.study.fields import Count, Integer, Number, Positive, Settings, increasing


class LinearSettings(Settings):
    """Linear probe on frozen pooled features (author, InstDisc; docs/protocol.md).

    Attributes:
        epochs: Passes over the training features.
        milestones: Where lr is multiplied by ``decay``: shares of ``epochs`` (40, 60, 80 of 100).
        views: What varies between epochs: ``flip`` (both versions are cached), ``colour`` (jitter
            and grayscale, for SVHN), ``crop`` (for ImageNet100) or ``none``.
        versions: How many random versions are cached for ``colour`` and ``crop``.
    """

    epochs: Count = 100
    batch_size: Count = 256
    lr: Positive = 30.0
    milestones: tuple[Annotated[Number, Field(gt=0, lt=1)], ...] = (0.4, 0.6, 0.8)
    decay: Annotated[Number, Field(gt=0, le=1)] = 0.2
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    views: Literal["flip", "colour", "crop", "none"] = "flip"
    versions: Annotated[Integer, Field(ge=1, le=100)] = 8

    _check = field_validator("milestones")(increasing)

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0): 30, then 6, 1.2 and 0.24."""
        passed = sum(epoch >= round(share * self.epochs) for share in self.milestones)
        return self.lr * self.decay**passed


class KnnSettings(Settings):
    """Weighted kNN (InstDisc): k neighbours vote with exp(s / temperature)."""

    k: Count = 200
    temperature: Positive = 0.07


class GeometrySettings(Settings):
    """Uniformity's t (AU's default; the paper gives none, but its values fit t = 2)."""

    t: Annotated[Positive, Field(le=300)] = 2.0


class SeparationSettings(Settings):
    """Local separation and penalties (Fig. 8): how many augmented anchors meet the bank."""

    anchors: Count = 2048


MEASURES: dict[str, type[Settings]] = {
    "linear": LinearSettings,
    "knn": KnnSettings,
    "geometry": GeometrySettings,
    "separation": SeparationSettings,
}


MEASURED = (*MEASURES, "penalty")
"""The measures of a run, by the names of their files."""


OF_LABELS = ("linear", "knn")
"""Measures that need labels."""


OF_THE_LOSS = ("separation", "penalty")
"""Measures that need the bank that a loss was trained against."""
