"""One run: its resolved settings and its name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import model_validator

from tausweep.study.canonical_form import canonical, digest
from tausweep.study.dataset import DatasetSettings
from tausweep.study.encoder import SMALLEST_IMAGE, EncoderSettings
from tausweep.study.errors import StudyError
from tausweep.study.fields import Seed, Settings
from tausweep.study.loss import LossSettings
from tausweep.study.measures import (
    MEASURES,
    GeometrySettings,
    KnnSettings,
    LinearSettings,
    SeparationSettings,
)
from tausweep.study.pretrain import PretrainSettings
from tausweep.study.views import ViewSettings

RAW_SIDE = 32
"""Side in pixels to which ``raw_pixels`` averages larger images. At 224 pixels an image would have
150,528 features, and a probe of 126,689 images would need 76 GB."""


EVALUATED = {*MEASURES, "measures", "measure_digests", "evaluate_at"}
"""Sections of a run's settings that affect its measures but not its encoder."""


class RunSettings(Settings):
    """Everything that decides a run's numbers, with every default filled in."""

    dataset: DatasetSettings
    views: ViewSettings
    loss: LossSettings
    encoder: EncoderSettings
    pretrain: PretrainSettings
    seed: Seed
    linear: LinearSettings
    knn: KnnSettings
    geometry: GeometrySettings
    separation: SeparationSettings
    measures: dict[str, str] | None = None
    measure_digests: dict[str, str] | None = None
    evaluate_at: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _fits(self) -> RunSettings:
        smallest = SMALLEST_IMAGE[self.encoder.stem]
        if self.dataset.image_size < smallest:
            raise ValueError(
                f"dataset.image_size: {self.dataset.image_size} is too small for the trunk "
                f"{self.encoder.trunk} with a {self.encoder.stem} stem; {smallest} pixels or more "
                "are needed"
            )
        if self.encoder.trunk == "pixels" and self.pretrain.epochs > 0:
            raise ValueError(
                "encoder.trunk: pixels has nothing to train; it is only for the baseline raw_pixels"
            )
        return self

    def as_baseline(self) -> RunSettings:
        """These settings without training and, for ``raw_pixels``, with the image as embedding."""
        epochs = self.pretrain.model_copy(update={"epochs": 0})
        untrained = {"pretrain": epochs, "evaluate_at": None}
        if self.loss.name == "untrained":
            return self.model_copy(update=untrained)
        side = min(self.dataset.image_size, RAW_SIDE)
        pixels = EncoderSettings(trunk="pixels", dim=3 * side**2)
        return self.model_copy(update={**untrained, "encoder": pixels})

    @property
    def along(self) -> dict[int, float]:
        """Epochs after which the run is measured along its training, with their shares, ascending.

        The last is the end of training. In a short training, several shares can fall on the same
        epoch; the largest counts then. The first possible epoch is 1.
        """
        epochs = self.pretrain.epochs
        shares = self.evaluate_at if epochs and self.evaluate_at else ()
        return {max(1, round(share * epochs)): share for share in shares}

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """Epochs of ``along`` but the last: training keeps encoder and bank after each of them."""
        return tuple(epoch for epoch in self.along if epoch != self.pretrain.epochs)

    def check_batches(self, count: int) -> None:
        """Refuse batches that batch norm cannot normalise: one image whose last map is one pixel.

        Args:
            count: Number of training images.

        Raises:
            StudyError: A batch, or a group of ghost batch norm, has a single image.
        """
        if self.dataset.image_size > SMALLEST_IMAGE[self.encoder.stem]:
            return
        batch, group = self.pretrain.batch_size, self.pretrain.bn_group
        for size in {min(batch, count), count % batch}:
            if size == 1 or (group is not None and size % group == 1):
                what = f"bn_group: {group}" if group is not None else f"batch_size: {batch}"
                raise StudyError(
                    f"pretrain.{what} leaves one of the {count} images alone in a batch, which "
                    "batch norm cannot normalise at this image size; choose a size that leaves two "
                    "or more"
                )

    def pretrain_json(self) -> dict[str, Any]:
        """The settings that decide the encoder, ready for JSON, without unset options.

        So a new option that is not set does not change the digests of finished runs.
        """
        content = self.model_dump(mode="json", exclude_none=True, exclude=EVALUATED)
        # Here null has a meaning: `crop_scale: null` is not the default view.
        content["views"] = self.views.model_dump(mode="json")
        return content | {"dataset": self.dataset.identity_json()}

    def evaluate_json(self) -> dict[str, Any]:
        """The settings that decide the measures apart from the encoder, ready for JSON."""
        return self.model_dump(mode="json", exclude_none=True, include=EVALUATED)

    @cached_property
    def pretrain_digest(self) -> str:
        """Digest of ``pretrain_json``."""
        return digest(self.pretrain_json())

    @cached_property
    def digest(self) -> str:
        """Digest of all settings: the record's ``settings_digest``."""
        return digest([self.pretrain_json(), self.evaluate_json()])


@dataclass(frozen=True)
class Run:
    """One cell and seed: what Snakemake schedules and a record describes.

    Examples:
        >>> from tausweep.study import load
        >>> run = load("benchmarks/demo.yaml").runs()[0]
        >>> run.id, run.settings.pretrain.batch_size
        ('translated_digits/contrastive/0.07/seed0', 64)
    """

    study: str
    dataset: str
    settings: RunSettings

    @property
    def loss(self) -> str:
        """Name of the loss."""
        return self.settings.loss.name

    @property
    def temperature(self) -> float | None:
        """Temperature, or none."""
        return self.settings.loss.temperature

    @property
    def seed(self) -> int:
        """Seed of the initialisation, the order of images and the views."""
        return self.settings.seed

    @property
    def id(self) -> str:
        """``<dataset>/<loss>/<tau or none>/seed<k>``."""
        return f"{self.dataset}/{self.loss}/{canonical(self.temperature)}/seed{self.seed}"
